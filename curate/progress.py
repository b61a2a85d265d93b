"""How long work tells what it has done, so that the library prints nothing and the command line draws bars."""

from typing import Protocol


class Progress(Protocol):
    """Called with what is counted ("videos"), how many are done, how many there are, and a few words on how it goes."""

    def __call__(self, what: str, done: int, total: int, note: str = "", /) -> None: ...


def silent(what: str, done: int, total: int, note: str = "") -> None:
    """Tells no one."""
