"""What DVC, a remote, the disk or git raises, as one line that says what it was.

Each kind of remote has errors of its own, and of a transfer that failed DVC raises how many files it was, and says why
in its log alone: that log is read for the reason, and not shown beside the line.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from curate.errors import CurateError

_LOGS = ("dvc", "dvc_data", "dvc_objects")


@contextmanager
def in_one_line(what: str, *, where: object, fix: str, kinds: type[Exception] = Exception) -> Iterator[None]:
    """What of these kinds is raised within becomes a CurateError: `what`, and the first reason that was given."""
    reasons: list[str] = []

    def heard(record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR:
            return True
        error = record.exc_info[1] if record.exc_info else None
        reasons.append(_words(error) if error else record.getMessage())
        return False

    handlers = [handler for name in _LOGS for handler in logging.getLogger(name).handlers]
    for handler in handlers:
        handler.filters.insert(0, heard)  # before those of one that this is within
    try:
        yield
    except CurateError:
        raise
    except kinds as error:
        raise CurateError(f"{what}: {next(iter(reasons), _words(error))}", where=where, fix=fix) from error
    finally:
        for handler in handlers:
            handler.removeFilter(heard)


def _words(error: BaseException) -> str:
    """What an error says, or where it was raised for another one, what that said; it may say nothing but its name."""
    first = error.__cause__ or error
    return " ".join(str(first).split()) or type(first).__name__
