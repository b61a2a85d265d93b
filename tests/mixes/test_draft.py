"""A draft gives the solver what the catalog knows: slices, reviews, conditions; evaluation keeps to the same limits."""

import polars as pl
import yaml

from curate.mixes.draft import Draft, make_draft
from curate.mixes.verify import history
from curate.workspace import Workspace
from tests.mixes.rows import CAPABILITIES, add_label, clip_id, write_mix

TRAIN_ALONE = {"train": 1.0, "validation": 0.0, "test": 0.0}


def drafted(workspace: Workspace) -> Draft:
    return make_draft(workspace, "base", history(workspace))


def slice_capability(workspace: Workspace, name: str) -> None:
    path = workspace.configs / "capabilities" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text())
    content["segment"]["fields"] = [{"name": "color", "type": "string", "enum": ["red", "blue"]}]
    content["slices"] = {"by": ["color", "source"], "where": {"late": "start_s > 1"}}
    path.write_text(yaml.safe_dump(content))


def test_per_slice_counts_the_slices_of_the_capability_and_names_what_is_short(labelled: Workspace) -> None:
    slice_capability(labelled, "bounce")
    write_mix(labelled, capabilities={"bounce": {"share": 0.5, "per_slice": 2}}, splits=TRAIN_ALONE)
    short = {each["minimum"]: each for each in drafted(labelled).lock["shortfalls"] if each["minimum"]}
    assert set(short) == {"color=blue", "late"}, "of color=red and source=test there are enough"
    assert short["color=blue"]["words"] == (
        "bounce, color=blue: 0 of 2 clips: 0 training clips are labelled present color=blue: label 2 more"
    )


def test_only_reviewed_labels_count_where_a_share_asks_for_them_in_evaluation_too(labelled: Workspace) -> None:
    reviewed = [clip_id(f"video{i:02}", 0) for i in range(0, 16, 4)]
    for clip in reviewed:
        add_label(labelled, clip, "bounce", "present", [], label_id=f"{clip}/review", purpose="review")
    write_mix(labelled, capabilities={"bounce": {"share": 0.5, "labels": "reviewed"}}, replay={"share": 0.0})
    chosen = drafted(labelled).chosen
    assert set(chosen["clip_id"]) <= set(reviewed)
    assert chosen.filter(pl.col("split") == "train").height


def test_conditions_hold_for_training_and_evaluation(labelled: Workspace) -> None:
    shares = {name: {"share": 0.2, "where": "video_id != 'video01'"} for name in CAPABILITIES}
    write_mix(labelled, where="video_id != 'video00'", capabilities=shares)
    videos = set(drafted(labelled).chosen.filter(pl.col("roles") != ["replay"])["video_id"])
    assert videos and not videos & {"video00", "video01"}
