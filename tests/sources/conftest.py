"""Sources are collected in the same small worlds as the analysis is tested on."""

from tests.analyze.conftest import make_workspace, world

__all__ = ["make_workspace", "world"]
