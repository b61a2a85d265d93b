"""What our servers have in common: a port that is taken at once or not at all, and a log that a person reads."""

import logging
import socket

from curate.errors import InputError

_WAITING = 512
"""Connections that the kernel holds while the server is at others."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address of this machine; port 0 is one that is free.

    Raises:
        InputError: the port is taken, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_WAITING)
    except OSError as error:
        fix = "Name another with --port, or another address of this machine with --host"
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise InputError(f"cannot listen: {reason}", where=f"{host}:{port}", fix=fix) from None


def log_to_stderr(log: logging.Logger) -> None:
    """A line for each thing worth knowing, with its time."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
