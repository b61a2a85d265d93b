"""The workspace of the duplicates' tests serves here too."""

from tests.dedupe.conftest import workspace

__all__ = ["workspace"]
