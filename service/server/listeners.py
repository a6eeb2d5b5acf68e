"""The sockets that the service listens on: opened at the start, named in the log, their files removed at the end.

gunicorn by itself tries an address for 5 s, a line each; it takes a unix socket's file from a server that still listens
there; and it removes files that are not its own, or fails where they are gone.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.http.errors import StartupError
from service.server import gunicorn_compat

_FIRST_OF_SYSTEMD = 3  # sd_listen_fds(3)
_LOWEST_UNPRIVILEGED = 1024

Address = tuple[str, int] | str  # a host and a port, or the path of a unix socket; an abstract one begins with a NUL
SocketFiles = dict[str, tuple[int, int]]  # the paths of unix sockets, each with its device and inode


def open_listeners(arbiter: Any) -> None:
    """Open the sockets, unless they are handed over or each worker opens its own (``--reuse-port``).

    Raises:
        StartupError: one of them cannot be used; none is left open, and no file of one either.
    """
    addresses = arbiter.cfg.address
    if "GUNICORN_FD" in os.environ:  # the older master of a SIGUSR2 hands them over
        if arbiter.cfg.reuse_port:
            raise StartupError("with --reuse-port no new master can take over: start a second instance instead")
    elif descriptors := _handed_over(addresses):
        for descriptor in descriptors:
            _require_stream_socket(descriptor)
    elif arbiter.cfg.reuse_port:
        for address in addresses:
            _require_shareable(address)
    else:
        gunicorn_compat.use_listeners(arbiter, _open_all(arbiter, addresses))
    arbiter.socket_files = _identify_files(addresses)


def close_listeners(arbiter: Any) -> None:
    """Close the master's sockets; the workers still have theirs, so the files stay until `remove_files`."""
    for listener in gunicorn_compat.take_listeners(arbiter):
        listener.close()


def remove_files(arbiter: Any) -> None:
    """Remove the files of the unix sockets at the end, except for those that another server or master now uses."""
    if gunicorn_compat.is_only_master(arbiter):
        for path, identity in _identify_files(list(arbiter.socket_files)).items():
            if identity == arbiter.socket_files[path]:
                with suppress(OSError):  # the folder is no longer ours to write to
                    Path(path).unlink()


def listening_addresses(arbiter: Any) -> list[Address]:
    """Where the service listens, by the sockets themselves; by the settings if each worker opens its own."""
    listeners = gunicorn_compat.master_sockets(arbiter)
    return [_address(one.getsockname()) for one in listeners] or list(arbiter.cfg.address)


def _handed_over(addresses: list[Any]) -> list[int]:
    """The file descriptors of sockets that systemd or another parent has opened."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and (count := int(os.environ.get("LISTEN_FDS", "0"))):
        return list(range(_FIRST_OF_SYSTEMD, _FIRST_OF_SYSTEMD + count))
    descriptors = [address for address in addresses if isinstance(address, int)]
    if descriptors and len(descriptors) < len(addresses):
        raise StartupError("--bind with fd:// and with an address do not go together: gunicorn ignores the address")
    return descriptors


def _require_stream_socket(descriptor: int) -> None:
    """Raise a StartupError if a file descriptor is none on which connections can be accepted."""
    try:
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        is_socket = False
    if is_socket:
        with socket.socket(fileno=os.dup(descriptor)) as one:
            is_socket = one.type == socket.SOCK_STREAM
    if not is_socket:
        raise StartupError(
            f"cannot listen on file descriptor {descriptor}: it is not an open stream socket; check what systemd "
            "(ListenStream=) or the parent process hands over, and --bind fd://"
        )


def _open_all(arbiter: Any, addresses: list[Address]) -> list[Any]:
    listeners: list[Any] = []
    for address in addresses:
        try:
            if isinstance(address, str):
                _require_no_server(address)
            listeners.append(gunicorn_compat.open_listener(arbiter, address))
        except (OSError, OverflowError, ValueError) as error:
            _close_with_files(listeners)
            raise _error(address, error) from None
    return listeners


def _close_with_files(listeners: list[Any]) -> None:
    for listener in listeners:
        name = listener.getsockname()
        listener.close()
        if isinstance(name, str):
            Path(name).unlink(missing_ok=True)


def _require_no_server(path: str) -> None:
    """Raise an OSError if a server listens at the path; gunicorn removes the file that another has left behind."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0)
        with suppress(BlockingIOError):  # its listen backlog is full
            try:
                client.connect(path)
            except (FileNotFoundError, ConnectionRefusedError):
                return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _require_shareable(address: Address) -> None:
    """Raise a StartupError if workers cannot each bind the address.

    The probe does not listen, so that no connection goes to it.
    """
    if isinstance(address, str):
        raise StartupError("--reuse-port works with ports only, not with unix sockets: remove one of the two options")
    if not address[1]:
        raise StartupError("with --reuse-port each worker would get another port: set PORT or --bind to a port")
    try:
        with socket.socket(gunicorn_compat.family(address)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        raise _error(address, error) from None


def _error(address: Address, error: Exception) -> StartupError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".")
    name = address_name(address)
    remedy = _path_remedy(error) if isinstance(address, str) else _port_remedy(address, error)
    return StartupError(f"cannot listen on {name} ({reason}): {remedy}")


def _port_remedy(address: tuple[str, int], error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OverflowError) or number == errno.EADDRINUSE:
        return "set PORT or --bind to a free port"
    if number in {errno.EACCES, errno.EPERM} and address[1] < _LOWEST_UNPRIVILEGED:
        return "set PORT or --bind to a port from 1024, or grant the capability CAP_NET_BIND_SERVICE"
    return "set --bind to an address of this machine, such as 0.0.0.0:8000 for all"


def _path_remedy(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return "another server listens there; end it, or set --bind to another path"
    if number in {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS}:
        return "set --bind to a path in a folder that exists and can be written to"
    return "set --bind to another path"


def address_name(address: Address) -> str:
    """An address as people write it."""
    if isinstance(address, str):
        return f"unix:{address.replace(chr(0), '@', 1)}"  # as ss and systemd write an abstract one
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(name: Any) -> Address:
    """An address from what ``getsockname`` returns."""
    if isinstance(name, tuple):
        return name[0], name[1]
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)


def _identify_files(addresses: list[Any]) -> SocketFiles:
    return dict(_identities(addresses))


def _identities(addresses: list[Any]) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in addresses:
        if isinstance(path, str) and not path.startswith("\0"):
            with suppress(OSError):
                status = os.lstat(path)
                yield path, (status.st_dev, status.st_ino)
