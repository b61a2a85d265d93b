"""The command line: answers at once, documents itself, and fails in one line with the right status."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from curate.cli import app
from curate.workspace import Workspace
from tests.conftest import REPOSITORY

HEAVY = {"torch", "polars", "pydantic", "av", "faiss", "open_clip", "datasets", "dvc", "prefect", "rich.progress"}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from curate.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def commands() -> dict[str, object]:
    found: dict[str, object] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        nested = getattr(command, "commands", None)
        found |= {f"{name} {inner}": each for inner, each in nested.items()} if nested else {name: command}
    return found


def test_help_loads_no_heavy_library() -> None:
    code = "import sys, curate, curate.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_every_command_and_option_has_help() -> None:
    for name, command in commands().items():
        assert command.help, name  # type: ignore[attr-defined]
        for parameter in command.params:  # type: ignore[attr-defined]
            if parameter.name not in ("help", "seed", "limit"):
                assert parameter.help, f"{name} {parameter.name}"


def test_the_command_reference_is_the_one_generated_from_help(tmp_path: Path) -> None:
    reference = tmp_path / "commands.md"
    generate = [sys.executable, "-m", "typer", "curate.cli", "utils", "docs", "--name", "curate", "--title", "Commands"]
    subprocess.run([*generate, "--output", str(reference)], check=True, capture_output=True, cwd=REPOSITORY)
    assert (REPOSITORY / "docs/commands.md").read_text() == reference.read_text(), "run `make docs`"


PAGES = ("targeting", "engineer", "annotator", "mixes", "researcher", "operator")
WRITTEN_BY_HAND = ["README.md", *(f"docs/{name}.md" for name in PAGES)]


@pytest.mark.parametrize("page", WRITTEN_BY_HAND)
def test_every_documented_command_exists(page: str) -> None:
    known = set(commands())
    for words in re.findall(r"^\s*\$? ?curate ((?:[a-z-]+ ?)+)", (REPOSITORY / page).read_text(), re.MULTILINE):
        first, second = (*words.split(), "")[:2]
        assert first in known or f"{first} {second}" in known, f"{page}: curate {words}"


def test_the_readme_shows_every_command_of_the_main_path() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    for command in (
        "init", "collect", "gaps", "label push", "label pull", "mix build", "train", "segment", "status",
    ):  # fmt: skip
        assert f"curate {command}" in readme


def test_outside_a_workspace_one_line_says_so_with_status_2(tmp_path: Path) -> None:
    done = run("gaps", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("curate: ") and done.stderr.count("\n") == 1 and "curate init" in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in run("--debug", "gaps", cwd=tmp_path).stderr


def test_a_wrong_config_is_one_line_with_its_place(workspace: Workspace) -> None:
    (workspace.configs / "analysis.yaml").write_text("clips: {max: 3}\n")
    done = run("check", cwd=workspace.root)
    assert done.returncode == 2
    assert "analysis.yaml:1: unknown key 'clips.max'. Allowed here: max_s, min_s" in done.stderr


def test_an_unknown_flow_parameter_is_refused_by_name(workspace: Workspace) -> None:
    done = run("flow", "build", "--set", "mixx=base", cwd=workspace.root)
    assert done.returncode == 2
    assert "no parameter 'mixx'" in done.stderr


def test_check_lists_every_config_with_its_version(workspace: Workspace) -> None:
    done = run("check", cwd=workspace.root)
    assert done.returncode == 0
    assert re.search(r"^capability +bounce +[0-9a-f]{12}$", done.stdout, re.MULTILINE)
