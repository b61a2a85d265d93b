from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.model import zero_shot
from curate.model.definitions import Definition, Segment, as_definition, encode
from curate.model.predict import definition_vectors, dense_predictions, pad, trained, windows
from curate.model.segmenter import Segmenter, Shape, pool_weights
from curate.model.track import Track
from curate.model.voting import decode_dense, settle
from tests.model.synthetic import texts

ANY = Definition("any", "anything", min_s=0.2, max_s=60)


def test_frames_that_agree_on_a_span_make_one_segment_with_boundaries_between_frames() -> None:
    times_s = np.arange(0, 8, 0.5)
    on = (times_s >= 2.2) & (times_s < 5.3)
    reach_s = np.stack([np.maximum(times_s - 2.2, 0), np.maximum(5.3 - times_s, 0)], axis=1)
    track = Track(times_s, np.zeros((16, 4)), 8.0)
    (found,) = decode_dense(track, on * 0.9, reach_s, ANY, threshold=0.5)
    assert (round(found.start_s, 6), round(found.end_s, 6), round(found.score, 6)) == (2.2, 5.3, 0.9)


def test_segments_start_and_end_with_pictures_of_the_source_and_at_the_ranges_that_are_asked_for() -> None:
    times_s = np.arange(0, 8, 0.5)
    on = (times_s >= 2.2) & (times_s < 5.3)
    reach_s = np.stack([np.maximum(times_s - 2.2, 0), np.maximum(5.3 - times_s, 0)], axis=1)
    edges_s = np.array([0.0, 2.17, 2.24, 5.1, 5.25, 7.9, 8.0])  # a source of variable rate
    track = Track(times_s, np.zeros((16, 4)), 8.0, edges_s)
    (found,) = decode_dense(track, on * 0.9, reach_s, ANY, threshold=0.5)
    assert (found.start_s, found.end_s) == (2.17, 5.25)
    within = Definition("any", "anything", time_ranges_s=((3.0, 4.0),))
    (cut,) = decode_dense(track, on * 0.9, reach_s, within, threshold=0.5)
    assert (cut.start_s, cut.end_s) == (3.0, 4.0)


def test_two_spans_a_frame_apart_stay_two_segments() -> None:
    times_s = np.arange(0, 8, 0.5)
    starts = np.where(times_s < 4, 1.0, 4.0)
    ends = np.where(times_s < 4, 4.0, 7.0)
    reach_s = np.maximum(np.stack([times_s - starts, ends - times_s], axis=1), 0)
    on = (times_s >= 1) & (times_s < 7)
    found = decode_dense(Track(times_s, np.zeros((16, 4)), 8.0), on * 0.8, reach_s, ANY, threshold=0.5)
    assert [(round(s.start_s, 3), round(s.end_s, 3)) for s in found] == [(1.0, 4.0), (4.0, 7.0)]


spans = st.tuples(st.floats(0, 30), st.floats(0.01, 20), st.floats(0, 1))


@given(st.lists(spans, max_size=8), st.sampled_from([(), ((2.0, 9.0), (12.0, 25.0))]))
def test_settled_segments_never_overlap_and_keep_to_length_and_ranges(
    given_spans: list[tuple[float, float, float]], ranges: tuple
) -> None:
    definition = Definition("any", "anything", min_s=0.5, max_s=10, time_ranges_s=ranges)
    found = settle(
        [Segment(start_s, start_s + length_s, {}, score) for start_s, length_s, score in given_spans], definition
    )
    assert all(a.end_s <= b.start_s for a, b in pairwise(found))
    assert all(0.5 <= s.end_s - s.start_s <= 10 for s in found)
    assert all(not ranges or any(low <= s.start_s and s.end_s <= high for low, high in ranges) for s in found)


@given(st.integers(0, 300), st.sampled_from([8, 40]))
def test_windows_answer_for_every_frame_once_and_hold_what_they_answer_for(frames: int, size: int) -> None:
    found = windows(frames, size)
    assert [at for w in found for at in range(w.keep_low, w.keep_high)] == list(range(frames))
    assert all(w.low <= w.keep_low < w.keep_high <= w.high <= frames for w in found)
    assert [w.begins for w in found] == [w.low == 0 for w in found]
    assert [w.ends for w in found] == [w.high == frames for w in found]


def test_padding_changes_no_prediction() -> None:
    model = Segmenter(Shape(dim=16, width=32)).eval()
    rng = np.random.default_rng(0)
    parts = [(rng.standard_normal((n, 16)).astype(np.float32), np.arange(n) / 2) for n in (3, 9)]
    text = torch.randn(2, 16)
    with torch.inference_mode():
        together = model(*pad(parts), text, text)
        alone = model(*pad(parts[:1]), text[:1], text[:1])
    assert torch.allclose(together.logits[0, :3], alone.logits[0], atol=1e-5)
    assert torch.allclose(together.reach_s[0, :3], alone.reach_s[0], atol=1e-5)


def test_a_track_of_one_frame_and_one_of_none_are_answered() -> None:
    model = Segmenter(Shape(dim=64, width=32)).eval()
    tracks = [Track(np.zeros(n), np.ones((n, 64), dtype=np.float32) / 8, 0.5 * n) for n in (1, 0)]
    (encoded,) = encode([as_definition({"id": "a", "description": "thing bounce"})], texts)
    scores = [scores for scores, _ in dense_predictions(model, tracks, encoded)]
    assert [len(s) for s in scores] == [1, 0]
    assert trained(model, threshold=1.1)(tracks, encoded) == [[], []]
    assert zero_shot.predict(tracks, encoded)[1] == []


def test_a_long_track_read_in_windows_gives_what_reading_it_at_once_gives() -> None:
    """Of a model that sees no farther than a window reaches around the frames that the window answers for."""
    torch.manual_seed(0)
    model = Segmenter(Shape(dim=64, width=32, layers=0)).eval()
    with torch.no_grad():
        model.similarity.weight[:, 3] = 0  # the channel that compares with the mean of all frames
    vectors = np.random.default_rng(0).standard_normal((400, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    (encoded,) = encode([as_definition({"id": "a", "description": "thing bounce"})], texts)
    track = Track(np.arange(400) / 2, vectors, 200.0)
    ((scores, reach_s),) = dense_predictions(model, [track], encoded)
    text, not_text = (torch.from_numpy(vector)[None] for vector in definition_vectors(encoded))
    with torch.inference_mode():
        whole = model(*pad([(vectors, track.times_s)]), text, not_text)
    assert np.allclose(scores, whole.logits[0].sigmoid(), atol=1e-5)
    assert np.allclose(reach_s, whole.reach_s[0], atol=1e-5)


def test_pool_weights_are_means_over_the_parts_of_a_segment() -> None:
    weights = pool_weights(np.arange(0, 8, 0.5), 1.0, 4.0)
    assert np.allclose(weights.sum(1), 1)
    assert [np.flatnonzero(row).tolist() for row in weights[:3]] == [[2, 3, 4, 5, 6, 7], [2, 3], [6, 7]]
    assert np.flatnonzero(weights[3]).tolist() == [0, 1, *range(8, 16)]


def test_zero_shot_finds_a_span_with_boundaries_where_the_curve_crosses_the_level() -> None:
    track = Track(np.arange(6) / 2, np.zeros((6, 2)), 3.0)
    found = zero_shot.above(track, np.array([0.0, 0.0, 1.0, 1.0, 0.5, 0.0]), 0.5)
    assert [(s.start_s, s.end_s) for s in found] == [(0.75, 2.0)]


def test_zero_shot_is_silent_where_all_frames_are_nearer_to_the_not_texts() -> None:
    assert zero_shot.level(np.array([-3.0, -3.1, -1.0, -1.1])) == 0.0


def test_the_level_lies_between_two_groups() -> None:
    assert 0.2 < zero_shot.level(np.array([0.1, 0.12, 0.2, 0.8, 0.82])) < 0.8
