"""What docs/operations.md lists as broken is broken here for real: the alert that it names comes, and no other."""

import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import requests
from animals import KNOWN
from handmade import Network, make
from prometheus import Prometheus, await_true, scraping
from serving import ROOT, Server, serving

from models import bundle
from service.settings import SHIPPED_STORE

RULES = ROOT / "deploy" / "monitoring" / "rules.yml"
KEY = "situation"
KEYS = {"MENAGERIE_API_KEYS": "1df0"}
_SECONDS = 90.0


class Scene:
    """Where a situation is brought about: a folder of its own, what it opens, and which ports are looked at."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.ports: list[int] = []
        self.acts: list[Callable[[], object]] = []

    def serve(self, **settings: str) -> Server:
        """A service, which is looked at."""
        server = self.stack.enter_context(serving(**{"WEB_CONCURRENCY": "1"} | settings))
        self.ports.append(server.port)
        return server

    def again(self, act: Callable[[], object]) -> None:
        """Something that goes on happening."""
        self.acts.append(act)
