"""With its folder on PYTHONPATH, a Python that lacks what only Linux has, as on macOS: names, /proc and /dev/shm.

Not hidden: what C code of the libraries uses, and the behaviour of the kernel.
"""

# ruff: noqa: F401 (modules that choose between systems when they are imported: they must find Linux)

import asyncio
import ctypes.util
import multiprocessing.util
import os
import platform
import resource
import select
import selectors
import socket
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
import uuid
import webbrowser
import zoneinfo
from typing import Any

_NAMES = {
    os: (
        "memfd_create sched_getaffinity sched_setaffinity sched_getparam sched_setscheduler pidfd_open eventfd "
        "posix_fadvise posix_fallocate splice copy_file_range setns unshare getrandom O_PATH O_NOATIME "
        "MFD_CLOEXEC getxattr setxattr listxattr"
    ),
    socket: (
        "TCP_USER_TIMEOUT TCP_INFO TCP_QUICKACK TCP_DEFER_ACCEPT TCP_CORK TCP_SYNCNT TCP_LINGER2 TCP_WINDOW_CLAMP "
        "TCP_CONGESTION SOCK_CLOEXEC SOCK_NONBLOCK SO_INCOMING_CPU SO_PEERCRED SO_ACCEPTCONN AF_NETLINK AF_VSOCK"
    ),
    resource: "prlimit RUSAGE_THREAD RLIMIT_OFILE RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_SIGPENDING",
    select: "epoll",
}
_FOLDERS = ("/proc", "/dev/shm")  # noqa: S108


def _is_hidden(path: Any) -> bool:
    name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    return any(name == folder or name.startswith(f"{folder}/") for folder in _FOLDERS)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"open", "os.listdir", "os.scandir"} and _is_hidden(arguments[0]):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


def _hide_from_stat(stat: Any) -> Any:
    def call(path: Any, *arguments: Any, **options: Any) -> Any:
        if _is_hidden(path):
            raise FileNotFoundError(2, "No such file or directory", path)
        return stat(path, *arguments, **options)

    return call


for _module, _names in _NAMES.items():
    for _name in _names.split():
        if hasattr(_module, _name):
            delattr(_module, _name)
sysconfig.get_config_vars()  # reads a file whose name has the platform in it
setattr(selectors, "DefaultSelector", selectors.PollSelector)  # noqa: B010 (a type checker takes the name for a type)
sys.addaudithook(_refuse)
os.stat = _hide_from_stat(os.stat)
sys.platform = os.environ.get("PRETENDED_PLATFORM", sys.platform)
