from pathlib import Path

import numpy as np
import pytest

from curate.analyze.embed import load_embedder
from curate.errors import DecodeError, InputError
from curate.media.probe import probe_times
from curate.model.directory import newest_model
from curate.model.infer import frame_vectors, segment
from curate.model.segmenter import Segmenter, Shape, save_model
from curate.specs.analysis import Limits
from tests.model.untrained import SAMPLE, save_untrained

DEFINITIONS = [
    {
        "id": "move",
        "description": "an object rolling",
        "fields": [
            {"name": "color", "type": "string", "enum": ["red", "green"]},
            {"name": "fast", "type": "boolean"},
            {"name": "count", "type": "integer"},
        ],
    },
    {"id": "still", "description": "an object standing still"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("models") / "untrained")


def test_the_answer_has_the_shape_that_the_product_documents(footage: Path, model: Path) -> None:
    answer = segment(footage, DEFINITIONS, model=model, embedding=SAMPLE)
    assert list(answer) == ["move", "still"]
    assert answer["move"]
    for found in answer["move"]:
        assert list(found) == ["start_time", "end_time", "metadata"]
        assert 0 <= found["start_time"] < found["end_time"] <= 8.0
        assert set(found["metadata"]) == {"color", "fast"}, "a count cannot be chosen from values, so it is left out"
        assert found["metadata"]["color"] in ("red", "green")
        assert isinstance(found["metadata"]["fast"], bool)
    assert all(found["metadata"] == {} for found in answer["still"])


def test_segments_keep_to_the_lengths_and_time_ranges_that_are_asked_for(footage: Path, model: Path) -> None:
    asked = [{**DEFINITIONS[0], "time_ranges": [{"start_time": 2, "end_time": 5}]}]
    for found in segment(footage, asked, model=model, embedding=SAMPLE)["move"]:
        assert 2 <= found["start_time"] < found["end_time"] <= 5
    longer = segment(footage, DEFINITIONS, model=model, embedding=SAMPLE, min_segment_duration=7.9)
    assert all(f["end_time"] - f["start_time"] >= 7.899 for f in longer["move"])
    with pytest.raises(InputError, match="segments from 5 s to 4 s: nothing is that long"):
        segment(footage, DEFINITIONS, embedding=SAMPLE, min_segment_duration=5, max_segment_duration=4)


def test_without_a_model_similarity_alone_answers(footage: Path) -> None:
    answer = segment(footage, DEFINITIONS, embedding=SAMPLE)
    assert list(answer) == ["move", "still"]


def test_frames_are_taken_at_the_embeddings_rate_in_batches(footage: Path) -> None:
    embedder, (info, _) = load_embedder(SAMPLE), probe_times(footage)
    parts = list(frame_vectors(footage, embedder, info, 2.0, 5, [], Limits()))
    assert [len(times_s) for times_s, _ in parts] == [5, 5, 5, 1]
    assert np.allclose(np.concatenate([times_s for times_s, _ in parts]), np.arange(0, 8, 0.5), atol=0.04)
    assert all(vectors.shape == (len(times_s), embedder.dim) for times_s, vectors in parts)


def test_the_model_of_another_embedding_is_refused(footage: Path, model: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "m", Segmenter(Shape(dim=16, width=32)), {"embedding_model": "other"})
    with pytest.raises(InputError, match="the model was trained on vectors of other, not of sample/"):
        segment(footage, DEFINITIONS, model=tmp_path / "m", embedding=SAMPLE)


def test_a_missing_and_a_broken_video_are_errors_a_person_can_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such video"):
        segment(tmp_path / "none.mp4", DEFINITIONS, embedding=SAMPLE)
    (tmp_path / "broken.mp4").write_bytes(b"not a video" * 100)
    with pytest.raises(DecodeError):
        segment(tmp_path / "broken.mp4", DEFINITIONS, embedding=SAMPLE)


def test_the_newest_model_is_the_one_trained_last(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained model yet"):
        newest_model(tmp_path)
    for name in ("b", "a"):
        save_model(tmp_path / name, Segmenter(Shape(dim=8, width=8, layers=0)), {})
    assert newest_model(tmp_path) == tmp_path / "a"
