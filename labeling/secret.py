"""Secrets, which come from the environment alone, and are long enough to be some."""

import os

from curate.errors import InputError

_SHORTEST = 16


def read_secret(variable: str, purpose: str) -> str:
    """The secret in an environment variable.

    Args:
        purpose: what it does, as the error says it.

    Raises:
        InputError: it is not set, or too short to be one.
    """
    found = os.environ.get(variable, "")
    if len(found) < _SHORTEST:
        raise InputError(
            f"${variable} is {'too short' if found else 'not set'}, and {purpose}",
            fix=f"Set it to {_SHORTEST} characters or more (`openssl rand -hex 32`), the same wherever it is used",
        )
    return found
