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


def packages_imported(path: Path, within: str) -> set[str]:
    """The packages of `within` ("curate", "curate.targets") that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    folder, prefix = REPOSITORY.joinpath(*within.split(".")), f"{within}."
    parts = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
    return {part for part in parts if (folder / part).is_dir()}


def imports_of_packages(within: str) -> dict[str, set[str]]:
    packages = [path.parent for path in REPOSITORY.joinpath(*within.split(".")).glob("*/__init__.py")]
    return {
        package.name: set().union(*(packages_imported(path, within) for path in package.rglob("*.py"))) - {package.name}
        for package in packages
    }


def test_packages_import_each_other_in_one_direction() -> None:
    graph = imports_of_packages("curate")
    assert graph["targets"] >= {"search", "dedupe"}
    TopologicalSorter(graph).prepare()
    inner = imports_of_packages("curate.targets")
    assert inner["choosing"] >= {"gaps", "scoring"}
    TopologicalSorter(inner).prepare()
