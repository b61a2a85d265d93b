"""Errors a person can act on: one line that says what is wrong, where, and what to do next."""

import json
from typing import Any


class CurateError(Exception):
    """A run that could not finish. The command line prints it as one line and exits with `exit_status`.

    Args:
        what: what is wrong, quoting the offending value.
        where: the file, line, clip or address it was found at.
        fix: what to do next.
    """

    exit_status = 1

    def __init__(self, what: str, *, where: object = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        line = f"{where}: {what}" if where is not None else what
        super().__init__(f"{line}. {fix}" if fix else line)


class InputError(CurateError):
    """The user's input (a config, an argument, a file) cannot be used as it is."""

    exit_status = 2


class DecodeError(CurateError):
    """A video cannot be decoded. It becomes a `failed` outcome, never a score."""


class RunError(CurateError):
    """What every other item would meet too: raised while the engine works on one, it ends the run."""


def quoted(value: Any) -> str:
    """A value that was given, as JSON, for an error's line: the beginning of a long one."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
