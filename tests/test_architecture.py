"""The house rule: curate/ holds the algorithms and knows neither Prefect nor Label Studio; they know it."""

import ast
from pathlib import Path

from tests.conftest import REPOSITORY

SHELLS = {"prefect", "label_studio_sdk", "flows", "labeling"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_the_core_imports_no_shell() -> None:
    for path in (REPOSITORY / "curate").rglob("*.py"):
        if path.name not in ("cli.py", "cli_label.py"):
            assert not imports(path) & SHELLS, path


def test_prefect_is_in_flows_alone_and_label_studio_in_labeling_alone() -> None:
    for folder, library in (("labeling", "prefect"), ("flows", "label_studio_sdk")):
        for path in (REPOSITORY / folder).rglob("*.py"):
            assert library not in imports(path), path
