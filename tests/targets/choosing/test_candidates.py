"""What is labelled on the other side of the split teaches nothing here, so it is no supply."""

import numpy as np
import polars as pl
import pytest

from curate.targets.choosing.choose import choose
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import DIM, frames_like, write_capability, write_labels, write_scores

LOOK = np.tile(np.eye(DIM, dtype=np.float32)[3], (2, 1))


def freeze(workspace: Workspace, clips: list[Clip]) -> None:
    rows = [{"video_id": clip.video_id, "group_id": clip.video_id, "split": "test"} for clip in clips]
    workspace.catalog.write("splits", rows, run_id="test")


@pytest.mark.parametrize("purpose", ["train", "evaluation"])
def test_a_clip_like_one_that_is_labelled_on_the_other_side_is_new(empty: Workspace, purpose: str) -> None:
    alike = [Clip(f"alike{at:02d}", LOOK) for at in range(5)]
    others = [Clip(f"other{at:02d}", frames_like([0.1, 0.1], at)) for at in range(40)]
    apart = [Clip("apart", LOOK), *(Clip(f"apart{at:02d}", frames_like([0.1, 0.1], 99 + at)) for at in range(9))]
    clips = [*alike, *others, *apart]
    write_clips(empty, clips)
    write_capability(empty, "jump", target={"clips": 30, "negatives": 0})
    write_scores(empty, "jump", {clip.clip_id: 0.9 for clip in clips})
    freeze(empty, apart if purpose == "train" else [*alike, *others])
    write_labels(empty, "jump", {apart[0].clip_id: "present"})
    chosen = choose(empty, "jump", 6, purpose=purpose)
    drawn = chosen["inclusion"].is_not_null()
    seen = chosen["clip_id"].is_in([clip.clip_id for clip in alike])
    assert not (seen & drawn).any() and seen.any()


def test_negatives_that_measure_leave_none_out_of_training(empty: Workspace) -> None:
    clips = [Clip(f"v{at:03d}", frames_like([0.1, 0.1], at)) for at in range(140)]
    write_clips(empty, clips)
    write_capability(empty, "jump", target={"clips": 30, "negatives": 1})
    write_scores(empty, "jump", {clip.clip_id: float(at % 2) for at, clip in enumerate(clips)})
    freeze(empty, clips[:40])

    def negatives() -> int:
        return choose(empty, "jump", 40).filter(pl.col("reason").is_in(["negative", "hard-negative"])).height

    before = negatives()
    write_labels(empty, "jump", {clip.clip_id: "absent" for clip in clips[:40]})
    assert negatives() == before
    write_labels(empty, "jump", {clip.clip_id: "absent" for clip in clips[40:80]})
    assert negatives() < before
