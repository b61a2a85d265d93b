"""Flows are run on the workspaces of the stages they run."""

from tests.mixes.conftest import cuts, empty, footage, labelled, template

__all__ = ["cuts", "empty", "footage", "labelled", "template"]
