"""How long work tells what it has done, so that the library prints nothing and the command line draws bars."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is counted ("videos"), how many are done, and how many there are."""


def silent(what: str, done: int, total: int) -> None:
    """Tells no one."""
