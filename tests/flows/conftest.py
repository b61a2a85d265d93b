"""Flows are run on the workspaces of the stages they run."""

from tests.mixes.conftest import labelled, template

__all__ = ["labelled", "template"]
