"""Flows are run on the workspaces of the stages they run."""

from tests.mixes.conftest import cuts, footage, labelled, template

__all__ = ["cuts", "footage", "labelled", "template"]
