"""Search by text, by example and by condition."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate import views
from curate.analyze.embed import load_embedder, model_id
from curate.conditions import matching
from curate.errors import InputError
from curate.media.decode import Branch, decode
from curate.search import search as module
from curate.search.search import search_clips as search
from curate.standing.windows import best_windows
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


def test_a_span_of_a_clip_or_a_video_may_be_the_example(
    workspace: Workspace, clips: list[Clip], footage: tuple[Path, list[dict]]
) -> None:
    shown = search(workspace, like=[f"{clips[1].clip_id}@13-14"])
    assert shown["clip_id"][0] == clips[1].clip_id
    assert shown["similarity"][0] == pytest.approx(1, abs=1e-2)
    assert search(workspace, like=[clips[1].clip_id])["similarity"][0] < 0.9
    directory, entries = footage
    video = directory / entries[0]["file"]
    whole, start, instant = (search(workspace, like=[f"{video}{span}"]) for span in ("", "@0-1.5", "@0.6-0.7"))
    assert len({found["similarity"].sum() for found in (whole, start, instant)}) == 3
    with pytest.raises(InputError, match="has no frame from 500 to 600 s"):
        search(workspace, like=[f"{video}@500-600"])
    with pytest.raises(InputError, match="has no frame from 1 to 2 s. It has frames from 10 to 13.5 s"):
        search(workspace, like=[f"{clips[1].clip_id}@1-2"])
    with pytest.raises(InputError, match="is empty"):
        search(workspace, like=[f"{video}@3-3"])


def test_a_condition_alone_gives_the_newest_first(workspace: Workspace, clips: list[Clip]) -> None:
    later = Clip("later", clips[0].frames, motion=0.2)
    write_clips(workspace, [later], model_id="any")
    found = search(workspace, where="motion > 0.15")
    assert found["clip_id"].to_list() == [each.clip_id for each in (later, clips[2], clips[3])]
    assert found["similarity"].is_null().all()
    assert found["best_start_s"].to_list() == found["start_s"].to_list()
    assert len(search(workspace, where="motion > 0.15", limit=2)) == 2


@pytest.fixture
def many(workspace: Workspace) -> tuple[np.ndarray, list[Clip]]:
    """300 clips of 60 videos, and a direction that a short event in some of them shows."""
    rng = np.random.default_rng(3)
    asked = unit(rng.standard_normal(128).astype(np.float32))
    made = []
    for at in range(300):
        frames = np.tile(rng.standard_normal(128), (8, 1)) + 0.3 * rng.standard_normal((8, 128))
        frames[3:5] += rng.random() * 12 * asked
        span = {"start_s": float(at), "end_s": at + 4.0}
        made.append(Clip(f"v{at % 60:02d}", unit(frames).astype(np.float32), **span, motion=at / 300))
    write_clips(workspace, made, model_id=model_id(workspace.analysis().embedding))
    return asked, made


@pytest.mark.parametrize("where", [None, "motion < 0.5", "motion < 0.02", "video_id = 'v07' or motion > 0.9"])
def test_two_stages_find_what_a_full_scan_finds(
    workspace: Workspace, many: tuple[np.ndarray, list[Clip]], monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    monkeypatch.setattr(module, "direction", lambda *_, **__: many[0])
    full = search(workspace, text="asked", where=where)
    monkeypatch.setattr(module, "SCANNED", 0)
    monkeypatch.setattr(module, "WIDE", 40)
    monkeypatch.setattr(module, "_WIDE_PER_RESULT", 2)
    assert search(workspace, text="asked", where=where).equals(full)
    rows = views.clips(workspace.catalog).join(views.current_embeddings(workspace.catalog), on="clip_id").collect()
    rows = rows.filter(matching(rows, where))
    [best] = best_windows(rows, many[0][np.newaxis], frames_per_s=2)
    every = rows.with_columns(similarity=best.similarity).sort("similarity", "clip_id", descending=[True, False])
    assert full["clip_id"].to_list() == every["clip_id"].head(20).to_list()


def test_diverse_results_show_one_of_ten_copies(
    workspace: Workspace, many: tuple[np.ndarray, list[Clip]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, _ = many
    monkeypatch.setattr(module, "direction", lambda *_, **__: asked)
    copies = [Clip(f"copy{at}", unit(np.tile(asked, (4, 1)) + 0.002 * at).astype(np.float32)) for at in range(10)]
    write_clips(workspace, copies, model_id=model_id(workspace.analysis().embedding))
    ids = {copy.clip_id for copy in copies}
    assert ids <= set(search(workspace, text="asked")["clip_id"])
    found = search(workspace, text="asked", diverse=True)
    assert len(ids & set(found["clip_id"])) == 1
    assert found["clip_id"][0] in ids
    assert found["video_id"].n_unique() == len(found) == 20
    assert found["similarity"].is_sorted(descending=True)
    first, second = sorted(search(workspace, text="asked", where="motion > 0.5", diverse=True)["clip_id"].head(2))
    workspace.catalog.write("duplicates", [{"clip_id": first, "other_id": second, "kind": "copy"}], run_id="test")
    assert not {first, second} <= set(search(workspace, text="asked", where="motion > 0.5", diverse=True)["clip_id"])
    assert len(search(workspace, where="motion > 0.5", diverse=True, limit=5)) == 5


def test_an_index_that_is_being_updated_is_used_as_it_was_and_that_is_said(
    workspace: Workspace, clips: list[Clip]
) -> None:
    search(workspace, text=TEXTS[0])
    write_clips(workspace, [Clip("new", clips[0].frames)], model_id=model_id(workspace.analysis().embedding))
    notes: list[str] = []
    with workspace.lock("index-moments"):
        assert len(search(workspace, text=TEXTS[0], tell=notes.append)) == 4
    assert ["newest clips" in note for note in notes] == [True]
    assert len(search(workspace, text=TEXTS[0], tell=notes.append)) == 5
    assert len(notes) == 1


def test_questions_that_cannot_be_answered_say_why(workspace: Workspace, clips: list[Clip], tmp_path: Path) -> None:
    for nothing in ({}, {"where": " "}, {"not_text": "mud", "where": "motion > 0"}):
        with pytest.raises(InputError, match="nothing to search for"):
            search(workspace, **nothing)
    with pytest.raises(InputError, match="a limit of 0"):
        search(workspace, text="red", limit=0)
    with pytest.raises(InputError, match="neither a clip nor a file"):
        search(workspace, like=["no-such-thing"])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    with pytest.raises(InputError, match="neither an image nor a video"):
        search(workspace, like=[str(broken)])
    cut = tmp_path / "cut.jpg"
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:700])
    with pytest.raises(InputError, match="cannot be read"):
        search(workspace, like=[str(cut)])
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(cut)
    with pytest.raises(InputError, match="an image has no span"):
        search(workspace, like=[f"{cut}@1-2"])
    with pytest.raises(InputError, match="colour = 'red'"):
        search(workspace, text=["red"], where="colour = 'red'")


def test_an_empty_workspace_finds_nothing(workspace: Workspace) -> None:
    assert search(workspace, text=["anything"]).is_empty()
