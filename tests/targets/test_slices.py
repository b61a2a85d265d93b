"""Which slices a capability has, what each must hold, and which a clip is in."""

import polars as pl
import pytest

from curate import views
from curate.errors import InputError
from curate.slices import Slice, clip_slices, label_slices, slices, slices_of
from curate.specs import Capability
from curate.workspace import Workspace
from tests.dedupe.rows import Clip
from tests.targets.conftest import write_capability, write_labels


def capability(workspace: Workspace, **changes: object) -> Capability:
    write_capability(workspace, "jump", **changes)
    return workspace.capability("jump")


def present(fields: dict[str, list[str]]) -> pl.DataFrame:
    """Labels of clips, each with a segment for each of its JSON objects."""
    rows = [
        {
            "clip_id": clip_id,
            "verdict": "present",
            "segments": [{"start_s": 0.0, "end_s": 1.0, "fields": written} for written in each],
        }
        for clip_id, each in fields.items()
    ]
    return pl.DataFrame(rows)


def test_a_slice_for_each_value_of_an_enum_a_boolean_and_each_source(empty: Workspace) -> None:
    spec = capability(empty, slices={"by": ["color", "fast", "source"], "where": {"dark": "brightness < 0.2"}})
    found = [(each.name, each.value) for each in slices(spec, sources=["b", "a"])]
    assert found == [
        ("color", "blue"), ("color", "red"), ("fast", "false"), ("fast", "true"),
        ("source", "a"), ("source", "b"), ("dark", ""),
    ]  # fmt: skip


def test_the_narrowest_floor_counts(empty: Workspace) -> None:
    spec = capability(
        empty,
        slices={"by": ["color", "fast"], "where": {"dark": "brightness < 0.2", "still": "motion < 0.1"}},
        target={"clips": 9, "per_slice": 2, "floors": {"color=red": 5, "fast": 3, "dark": 0}},
    )
    assert [(each.name, each.value, each.floor) for each in slices(spec)] == [
        ("color", "blue", 2), ("color", "red", 5), ("fast", "false", 3), ("fast", "true", 3),
        ("dark", "", 0), ("still", "", 2),
    ]  # fmt: skip


def test_a_floor_may_name_a_value_that_nothing_else_knows(empty: Workspace) -> None:
    spec = capability(empty, slices={"by": ["licence"]}, target={"clips": 9, "floors": {"licence=CC0-1.0": 3}})
    assert slices(spec) == [Slice("licence", "CC0-1.0", 3)]


def test_sources_that_the_capability_does_not_allow_are_no_slices(empty: Workspace) -> None:
    spec = capability(empty, slices={"by": ["source"]}, match={"like": ["nothing"], "sources": ["archive"]})
    assert slices(spec, sources=["archive", "phone"]) == [Slice("source", "archive", 0)]


def test_a_clip_is_in_the_slices_of_its_source_and_of_conditions_it_fulfils(
    empty: Workspace, clips: list[Clip]
) -> None:
    spec = capability(empty, slices={"by": ["source", "licence"], "where": {"lively": "motion > 0.55"}})
    found = clip_slices(spec, views.clips(empty.catalog).collect())
    own = found.filter(pl.col("clip_id") == clips[7].clip_id).select("slice", "value").rows()
    assert own == [("source", "archive"), ("licence", "CC0-1.0"), ("lively", "")]
    assert found.filter(pl.col("slice") == "lively").height == 6


def test_a_clip_is_in_the_slices_of_all_its_segments_once_each(empty: Workspace) -> None:
    spec = capability(empty, slices={"by": ["color", "fast"]})
    labels = present({"a": ['{"color": "red"}', '{"color": "red", "fast": true}', '{"color": "blue"}'], "b": ["{}"]})
    assert sorted(label_slices(spec, labels).rows()) == [
        ("a", "color", "blue"),
        ("a", "color", "red"),
        ("a", "fast", "true"),
    ]


def test_only_clips_labelled_present_are_in_a_field_s_slices(empty: Workspace, clips: list[Clip]) -> None:
    spec = capability(empty, slices={"by": ["color"]})
    write_labels(empty, "jump", {clips[0].clip_id: "present"}, fields='{"color": "red"}')
    write_labels(empty, "jump", {clips[1].clip_id: "absent"})
    labels = views.labels(empty.catalog).collect()
    assert slices_of(spec, views.clips(empty.catalog).collect(), labels).rows() == [(clips[0].clip_id, "color", "red")]


def test_a_condition_that_cannot_be_used_names_its_file(empty: Workspace, clips: list[Clip]) -> None:
    spec = capability(empty, slices={"where": {"odd": "colour = 3"}})
    with pytest.raises(InputError) as error:
        clip_slices(spec, views.clips(empty.catalog).collect(), config="jump.yaml")
    assert error.value.where == "jump.yaml"
