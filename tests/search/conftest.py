"""The workspace and footage of the duplicates' tests serve here too."""

from tests.dedupe.conftest import footage, workspace

__all__ = ["footage", "workspace"]
