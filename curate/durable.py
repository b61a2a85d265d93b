"""What a crash must not undo: a name is on disk once its directory is."""

import os
from pathlib import Path


def sync(directory: Path) -> None:
    """Makes the names in a directory last."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
