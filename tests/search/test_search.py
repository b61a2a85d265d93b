"""Search by text, by example and by condition."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.analyze.embed import load_embedder, model_id
from curate.errors import InputError
from curate.media.decode import Branch, decode
from curate.search.search import search_clips as search
from curate.vectors import unit
from curate.workspace import Workspace
from tests.dedupe.rows import Clip, write_clips

TEXTS = ["a red ball on grass", "a blue box on sand", "a star at night", "an object rolling"]


@pytest.fixture
def clips(workspace: Workspace) -> list[Clip]:
    """One clip for each of TEXTS: nothing in particular for 3 s, then 1 s of frames that are the text's own vector."""
    embedding = workspace.analysis().embedding
    vectors = load_embedder(embedding).texts(TEXTS)
    rng = np.random.default_rng(0)
    made = []
    for at, vector in enumerate(vectors):
        noise = unit(rng.standard_normal((6, len(vector))).astype(np.float32))
        frames = np.concatenate([noise, np.tile(vector, (2, 1))])
        made.append(Clip(f"v{at}", frames, start_s=10.0, end_s=14.0, height=180 * (at + 1), motion=at / 10))
    write_clips(workspace, made, model_id=model_id(embedding))
    return made


def test_a_text_finds_its_clip_and_where_in_it(workspace: Workspace, clips: list[Clip]) -> None:
    found = search(workspace, text=[TEXTS[1]])
    best = found.row(0, named=True)
    assert best["clip_id"] == clips[1].clip_id
    assert best["similarity"] == pytest.approx(1, abs=1e-2)
    assert (best["best_start_s"], best["best_end_s"]) == (13.0, 14.0)
    assert found["similarity"].is_sorted(descending=True)
    assert {"video_id", "source", "path", "motion", "height", "duration_s"} <= set(found.columns)
    assert found.columns[:4] == ["clip_id", "similarity", "best_start_s", "best_end_s"]


def test_what_it_must_not_be_is_pushed_down(workspace: Workspace, clips: list[Clip]) -> None:
    def similarity(at: int, **query: Any) -> float:
        found = search(workspace, text=TEXTS[:2], **query)
        return float(found.filter(clip_id=clips[at].clip_id)["similarity"][0])

    assert similarity(1, not_text=[TEXTS[1]]) < similarity(1) - 0.2
    assert similarity(0, not_text=[TEXTS[1]]) > similarity(1, not_text=[TEXTS[1]])


def test_a_condition_and_a_limit_narrow_the_result(workspace: Workspace, clips: list[Clip]) -> None:
    found = search(workspace, text=[TEXTS[0]], where="height >= 360 and motion < 0.3")
    assert set(found["clip_id"]) == {clips[1].clip_id, clips[2].clip_id}
    assert len(search(workspace, text=[TEXTS[0]], limit=1)) == 1
    assert search(workspace, text=[TEXTS[0]], where="height > 9999").is_empty()


def test_a_clip_is_most_like_itself(workspace: Workspace, clips: list[Clip]) -> None:
    assert search(workspace, like=[clips[2].clip_id])["clip_id"][0] == clips[2].clip_id


def test_a_video_or_a_picture_may_be_the_example(
    workspace: Workspace, clips: list[Clip], footage: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    directory, entries = footage
    video, still = directory / entries[0]["file"], tmp_path / "still.jpg"
    Image.fromarray(next(decode(video, {"still": Branch(160, 90)}, 1.0)).image).save(still)
    embedding = workspace.analysis().embedding
    shown = load_embedder(embedding).images(np.zeros((1, 96, 96, 3), np.uint8))
    write_clips(workspace, [Clip("dark", np.tile(shown, (2, 1)))], model_id=model_id(embedding))
    for example in (video, still):
        found = search(workspace, like=[str(example)])
        assert len(found) == 5
        assert np.isfinite(found["similarity"].to_numpy()).all()


def test_questions_that_cannot_be_answered_say_why(workspace: Workspace, clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to search for"):
        search(workspace)
    with pytest.raises(InputError, match="neither a clip nor a file"):
        search(workspace, like=["no-such-thing"])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    with pytest.raises(InputError, match="neither an image nor a video"):
        search(workspace, like=[str(broken)])
    with pytest.raises(InputError, match="colour = 'red'"):
        search(workspace, text=["red"], where="colour = 'red'")


def test_an_empty_workspace_finds_nothing(workspace: Workspace) -> None:
    assert search(workspace, text=["anything"]).is_empty()
