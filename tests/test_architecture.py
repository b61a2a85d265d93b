"""The house rules: curate/ holds the algorithms and knows neither Prefect nor Label Studio; they know it. Its packages
import each other in one direction."""

import ast
from graphlib import TopologicalSorter
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
        if not path.name.startswith("cli"):
            assert not imports(path) & SHELLS, path


def test_prefect_is_in_flows_alone_and_label_studio_in_labeling_alone() -> None:
    for folder, library in (("labeling", "prefect"), ("flows", "label_studio_sdk")):
        for path in (REPOSITORY / folder).rglob("*.py"):
            assert library not in imports(path), path


def packages_imported(path: Path) -> set[str]:
    """The packages of curate/ that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names if name.startswith("curate.")]
    return {part[1] for part in parts if (REPOSITORY / "curate" / part[1]).is_dir()}


def test_packages_import_each_other_in_one_direction() -> None:
    packages = [path.parent for path in (REPOSITORY / "curate").glob("*/__init__.py")]
    graph = {
        package.name: set().union(*map(packages_imported, package.rglob("*.py"))) - {package.name}
        for package in packages
    }
    assert graph["targets"] >= {"search", "dedupe"}
    TopologicalSorter(graph).prepare()
