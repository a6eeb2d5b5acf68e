"""CPU time, memory and termination of the servers that run now.

No load generator runs while these functions are called, so every descendant of this process belongs to a server, also
one that daemonized: this process adopts orphans (`adopt_orphans`) in the place of process 1.
"""

import ctypes
import os
import time
from contextlib import suppress

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_SAMPLING_SECONDS = 0.2


class SubreaperError(Exception):
    """The kernel does not let this process adopt orphans."""


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that each is measured and terminated.

    Raises:
        SubreaperError: the kernel refuses.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SubreaperError(os.strerror(ctypes.get_errno()))


def cpu_seconds() -> float:
    """User and system time of all processes so far, including ended ones; the resolution is 10 ms per process."""
    total = 0.0
    for process in _descendants():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb() -> float:
    """Proportional set size of all processes in 10^6 bytes: a page that n processes share counts 1/n in each."""
    total = 0
    for process in _descendants():
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total / 1e6


def wait_until_idle(timeout: float = 10) -> None:
    """Return once all processes together use less than a quarter of a core, or after ``timeout`` seconds.

    A load generator that stops leaves requests behind, which the server still answers.
    """
    deadline, before = time.monotonic() + timeout, cpu_seconds()
    while time.monotonic() < deadline:
        time.sleep(_SAMPLING_SECONDS)
        now = cpu_seconds()
        if now - before < _SAMPLING_SECONDS / 4:
            return
        before = now


def terminate(grace: float = 10) -> None:
    """Send SIGTERM to every process, and SIGKILL to those that remain after ``grace`` seconds."""
    processes = _descendants()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(processes, timeout=grace)
    while remaining := _descendants():
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(remaining, timeout=1)


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)
