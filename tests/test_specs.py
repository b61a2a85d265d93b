"""Configs: what is wrong in a file is said in one line, with file, line, key and what is allowed."""

import json
from pathlib import Path

import pytest

from curate.errors import InputError
from curate.specs import Analysis, Capability, Mix, Source, read_spec, read_specs
from curate.workspace import Workspace
from tests.conftest import REPOSITORY

CAPABILITY = """\
id: bounce
title: A ball bounces
owner: sports
why: eval 2026-11
definition: A ball leaves a surface after touching it.
segment:
  description: One bounce.
  fields:
    - {name: color, type: string, enum: [red, green], required: true}
match:
  text: [a ball bouncing]
target: {clips: 20}
"""


def problem(tmp_path: Path, text: str, model: type = Capability) -> str:
    path = tmp_path / "bounce.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_spec(path, model)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{tmp_path}/")


def test_a_good_capability_reads(tmp_path: Path) -> None:
    (tmp_path / "bounce.yaml").write_text(CAPABILITY)
    spec = read_specs(tmp_path, Capability)["bounce"]
    assert spec.segment.fields[0].enum == ["red", "green"]
    assert spec.target.negatives == 0.25


def test_an_unknown_key_is_named_with_its_line_and_the_allowed_ones(tmp_path: Path) -> None:
    line = problem(tmp_path, CAPABILITY.replace("target: {clips: 20}", "target: {clips: 20, per_slize: 3}"))
    assert line.startswith("bounce.yaml:12: unknown key 'target.per_slize'")
    assert "clips, floors, hours, negatives, per_slice" in line


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "'why' is required" in problem(tmp_path, CAPABILITY.replace("why: eval 2026-11\n", ""))


def test_a_wrong_value_is_quoted_with_what_is_allowed(tmp_path: Path) -> None:
    line = problem(tmp_path, CAPABILITY.replace("type: string", "type: text"))
    assert line.startswith('bounce.yaml:9: segment.fields.0.type is "text"')
    assert "'string', 'boolean', 'number' or 'integer'" in line


def test_broken_yaml_names_its_line(tmp_path: Path) -> None:
    assert problem(tmp_path, "id: [bounce\ntitle: x\n").startswith("bounce.yaml:2: not valid YAML")


def test_a_slice_by_an_unknown_field_is_refused(tmp_path: Path) -> None:
    assert "slices by 'size'" in problem(tmp_path, CAPABILITY + "slices: {by: [size]}\n")


def test_a_floor_of_what_is_not_a_slice_is_refused(tmp_path: Path) -> None:
    def with_floor(of: str) -> str:
        sliced = f"slices: {{by: [color]}}\ntarget: {{clips: 20, floors: {{{of}: 3}}}}"
        return CAPABILITY.replace("target: {clips: 20}", sliced)

    assert problem(tmp_path, with_floor("size=big")).startswith("bounce.yaml:13: target is")
    (tmp_path / "bounce.yaml").write_text(with_floor("color=red"))
    assert read_specs(tmp_path, Capability)["bounce"].target.floors == {"color=red": 3}


def test_a_target_is_in_clips_or_in_hours(tmp_path: Path) -> None:
    for both in ("{clips: 20, hours: 2}", "{negatives: 0.5}"):
        assert "either `clips` or `hours`" in problem(tmp_path, CAPABILITY.replace("{clips: 20}", both))


def test_shares_above_one_and_splits_off_one_are_refused(tmp_path: Path) -> None:
    mix = "name: base\nbudget: {clips: 10}\ncapabilities: {a: {share: 0.8}, b: {share: 0.4}}\n"
    assert "shares sum to 1.2" in problem(tmp_path, mix, Mix)
    splits = "name: base\nbudget: {clips: 10}\ncapabilities: {}\nsplits: {train: 0.8, test: 0.1, validation: 0}\n"
    assert "splits sum to 0.9" in problem(tmp_path, splits, Mix)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("capabilities: {a: {share: 0, min_clips: 3}}", "a minimum needs a share"),
        ("capabilities: {a: {share: 0.5, min_clips: 7}}", "a: min_clips 7 is more than its share, 5 clips"),
        ("capabilities: {a: {share: 0.5, per_slice: 8}}", "a: per_slice 8 is more than its share, 5 clips"),
        ("capabilities: {}\nlimits: {licences: [MIT], per_licence: {CC0-1.0: 4}}", "per_licence names 'CC0-1.0'"),
        ("capabilities: {}\nlimits: {per_licence: {MIT: -1}}", "per_licence MIT: -1 clips; give 0 or more"),
    ],
)
def test_minimums_and_limits_of_a_mix_that_cannot_be_are_refused(tmp_path: Path, said: str, expected: str) -> None:
    assert expected in problem(tmp_path, f"name: base\nbudget: {{clips: 10}}\n{said}\n", Mix)


def test_a_file_must_carry_the_name_of_its_id(tmp_path: Path) -> None:
    (tmp_path / "jump.yaml").write_text(CAPABILITY)
    with pytest.raises(InputError, match="Rename the file to bounce.yaml"):
        read_specs(tmp_path, Capability)


def test_the_version_follows_the_meaning_not_the_text(tmp_path: Path) -> None:
    (tmp_path / "bounce.yaml").write_text(CAPABILITY)
    first = read_spec(tmp_path / "bounce.yaml", Capability).version
    (tmp_path / "bounce.yaml").write_text("# a comment\n" + CAPABILITY + "weight: 1.0\n")
    assert read_spec(tmp_path / "bounce.yaml", Capability).version == first
    (tmp_path / "bounce.yaml").write_text(CAPABILITY.replace("clips: 20", "clips: 21"))
    assert read_spec(tmp_path / "bounce.yaml", Capability).version != first


SHIPPED = [REPOSITORY / "configs", REPOSITORY / "curate/templates/configs", REPOSITORY / "curate/sample/configs"]


@pytest.mark.parametrize("configs", SHIPPED, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_shipped_config_is_valid_and_names_a_schema(configs: Path) -> None:
    read_spec(configs / "analysis.yaml", Analysis)
    read = {
        "sources": read_specs(configs / "sources", Source),
        "capabilities": read_specs(configs / "capabilities", Capability),
        "mixes": read_specs(configs / "mixes", Mix),
    }
    assert all(read.values())
    for mix in read["mixes"].values():
        assert set(mix.capabilities) <= set(read["capabilities"])
    for path in configs.rglob("*.yaml"):
        first = path.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema="), path
        assert (REPOSITORY / "configs" / path.relative_to(configs).parent / first.split("=")[1]).is_file(), path


def test_the_repository_is_the_sample_workspace() -> None:
    sample = REPOSITORY / "curate/sample/configs"
    ours = {path.relative_to(sample): path.read_text() for path in sample.rglob("*.yaml")}
    top = REPOSITORY / "configs"
    assert {path.relative_to(top): path.read_text() for path in top.rglob("*.yaml")} == ours


def test_the_committed_schemas_are_those_of_the_models(workspace: Workspace) -> None:
    for path in (workspace.configs / "schemas").iterdir():
        assert json.loads((REPOSITORY / "configs/schemas" / path.name).read_text()) == json.loads(path.read_text())
