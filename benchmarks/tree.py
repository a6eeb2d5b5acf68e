"""The processes of the servers that run now: what they used, and how they are ended.

No load generator runs while these functions are called, so every descendant of this process belongs to a server, also
one that daemonized: this process adopts orphans (`adopt_orphans`) in the place of process 1.
"""

import ctypes
import os
import time
from contextlib import suppress

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_GLANCE = 0.2  # seconds


class NoSubreaperError(Exception):
    """The kernel does not let this process adopt orphans."""


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none escapes count or kill."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise NoSubreaperError(os.strerror(ctypes.get_errno()))


def cpu_seconds() -> float:
    """User and system time of every process of the server so far, ended ones included; to 10 ms a process."""
    total = 0.0
    for process in _processes():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb() -> float:
    """Proportional set size of all of it, in 10^6 bytes: a page that n processes share counts 1/n in each."""
    total = 0
    for process in _processes():
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total / 1e6


def await_idle(limit: float = 10) -> None:
    """Return once the server uses less than a quarter of a core, or after ``limit`` seconds.

    A load generator that stops leaves requests behind, which a server answers to nobody.
    """
    deadline, before = time.monotonic() + limit, cpu_seconds()
    while time.monotonic() < deadline:
        time.sleep(_GLANCE)
        now = cpu_seconds()
        if now - before < _GLANCE / 4:
            return
        before = now


def end(grace: float = 10) -> None:
    """Ask every process to end, and kill what has not after ``grace`` seconds."""
    processes = _processes()
    for process in processes:
        _signal(process, kill=False)
    psutil.wait_procs(processes, timeout=grace)
    while left := _processes():
        for process in left:
            _signal(process, kill=True)
        psutil.wait_procs(left, timeout=1)


def _processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill() if kill else process.terminate()
