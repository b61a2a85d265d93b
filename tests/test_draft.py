"""A capability's first file: valid at once, whatever is said, and never written over another."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.specs import Capability, read_specs
from curate.specs.draft import write_draft
from curate.workspace import Workspace


def read(path: Path) -> Capability:
    return read_specs(path.parent, Capability)[path.stem]


def test_a_name_alone_makes_a_valid_file(tmp_path: Path) -> None:
    path = write_draft(tmp_path, "open_door")
    spec = read(path)
    assert path == tmp_path / "capabilities" / "open_door.yaml"
    assert (spec.id, spec.title, spec.match.text, spec.target.clips) == ("open_door", "Open door", ["open door"], 50)
    assert path.read_text().startswith("# yaml-language-server: $schema=../schemas/capability.schema.json\n")


def test_the_schema_that_it_names_is_there_in_a_workspace(workspace: Workspace) -> None:
    path = write_draft(workspace.configs, "open_door")
    assert (path.parent / "../schemas/capability.schema.json").is_file()
    assert "open_door" in workspace.capabilities()


def test_examples_alone_need_no_text(tmp_path: Path) -> None:
    spec = read(write_draft(tmp_path, "open_door", like=["door.jpg", "hall.mp4@12.5-15"]))
    assert (spec.match.text, spec.match.like) == ([], ["door.jpg", "hall.mp4@12.5-15"])


def test_what_is_commented_out_is_valid_too(tmp_path: Path) -> None:
    path = write_draft(tmp_path, "open_door")
    lines = path.read_text().splitlines()
    commented = [line for line in lines if line.lstrip().startswith("# ") and ":" in line]
    suggested = [
        line for line in commented if line.lstrip("# ").split(":")[0] in ("where", "level", "sources", "licences")
    ]
    content = yaml.safe_load("\n".join(lines))
    content["match"] |= yaml.safe_load("\n".join(line.replace("# ", "", 1).strip() for line in suggested))
    [fields] = [at for at, line in enumerate(lines) if line == "  # fields:"]
    content["segment"] |= yaml.safe_load("\n".join(line.replace("# ", "", 1) for line in lines[fields : fields + 3]))
    [slices] = [line for line in lines if line.startswith("# slices:")]
    content |= yaml.safe_load(slices.removeprefix("# "))
    assert len(suggested) == 4
    assert Capability.model_validate(content).slices.where == {"night": "brightness < 0.25"}


words = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(title=words, why=words, text=st.lists(words, max_size=3), not_text=st.lists(words, max_size=3))
def test_whatever_is_said_comes_back(
    tmp_path_factory: pytest.TempPathFactory, title: str, why: str, text: list[str], not_text: list[str]
) -> None:
    path = write_draft(tmp_path_factory.mktemp("d"), "a", title=title, why=why, text=text, not_text=not_text)
    spec = read(path)
    assert (spec.title, spec.why, spec.match.text or ["a"], spec.match.not_text) == (
        title,
        why,
        text or ["a"],
        not_text,
    )


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = write_draft(tmp_path, "open_door")
    path.write_text("mine")
    with pytest.raises(InputError, match="there is such a capability already"):
        write_draft(tmp_path, "open_door")
    assert path.read_text() == "mine"


@pytest.mark.parametrize(("name", "better"), [("Open Door", "open_door"), ("3rd-goal", "c_3rd_goal"), ("../up", "up")])
def test_a_name_that_cannot_be_one_is_refused_with_a_better_one(tmp_path: Path, name: str, better: str) -> None:
    with pytest.raises(InputError, match=f"as {better}$"):
        write_draft(tmp_path, name)
    assert not list(tmp_path.iterdir())
