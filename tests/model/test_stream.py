"""Segments found while frames arrive are those of the whole video, however it is cut into batches, in memory that does
not grow with it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.model import zero_shot
from curate.model.definitions import Definition, Encoded, FieldSpec, Segment, encode
from curate.model.predict import trained
from curate.model.segmenter import Segmenter, Shape
from curate.model.stream import Opener, trained_stream, zero_shot_stream
from curate.model.track import Predictor, Track
from tests.model.synthetic import texts

DIM = 64
FIELD = FieldSpec("color", "string", enum=("red", "green", "blue"))
ASKED = encode([Definition("bounce", "thing bounce", fields=(FIELD,)), Definition("roll", "thing roll")], texts)


@pytest.fixture(scope="module")
def model() -> Segmenter:
    """Random weights, with proposals that reach far: neighbours overlap, and windows cut them."""
    torch.manual_seed(0)
    network = Segmenter(Shape(dim=DIM, width=32, layers=1)).eval()
    torch.nn.init.normal_(network.reach.weight, std=3.0)
    torch.nn.init.normal_(network.actionness.weight, std=3.0)
    return network


def track_of(frames: int, seed: int) -> Track:
    """Frames about half a second apart, at a variable rate, of a source of about 12 pictures a second."""
    rng = np.random.default_rng([frames, seed])
    vectors = rng.standard_normal((frames, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    times_s = np.cumsum(rng.uniform(0.3, 0.7, frames)) - 0.3
    duration_s = float(times_s[-1] + 0.5) if frames else 0.0
    edges_s = np.unique([*times_s, *rng.uniform(0, duration_s, 6 * frames), duration_s])
    return Track(times_s, vectors, duration_s, edges_s)


def streamed(opener: Opener, track: Track, sizes: Iterable[int]) -> dict[str, list[Segment]]:
    stream = opener(ASKED, track.edges_s)
    found, at = [], 0
    for size in sizes:
        found += stream.feed(track.times_s[at : at + size], track.vectors[at : at + size])
        at += size
    found += stream.feed(track.times_s[at:], track.vectors[at:])
    found += stream.finish(track.duration_s)
    return {one.definition.id: [s for name, s in found if name == one.definition.id] for one in ASKED}


def at_once(predict: Predictor, track: Track, asked: Sequence[Encoded] = ASKED) -> dict[str, list[Segment]]:
    return {one.definition.id: predict([track], one)[0] for one in asked}


def same(a: dict[str, list[Segment]], b: dict[str, list[Segment]]) -> bool:
    """Equal but for what a product's last bits depend on: how many windows are read together."""
    return list(a) == list(b) and all(
        len(a[name]) == len(b[name])
        and all(
            np.allclose((p.start_s, p.end_s, p.score), (q.start_s, q.end_s, q.score), atol=1e-4)
            and p.fields == q.fields
            for p, q in zip(a[name], b[name], strict=True)
        )
        for name in a
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 700), st.integers(0, 3), st.lists(st.integers(0, 300), max_size=8), st.sampled_from([0.3, 0.9]))
def test_the_stream_finds_what_the_whole_track_holds(
    model: Segmenter, frames: int, seed: int, sizes: list[int], threshold: float
) -> None:
    track = track_of(frames, seed)
    found = streamed(trained_stream(model, threshold=threshold), track, sizes)
    assert same(found, at_once(trained(model, threshold=threshold), track))
    for segments in found.values():
        assert all(a.end_s <= b.start_s for a, b in pairwise(segments))


def test_segments_come_while_frames_do_and_memory_does_not_grow(model: Segmenter) -> None:
    track = track_of(4000, 0)
    stream = trained_stream(model)(ASKED, track.edges_s)
    kept, found = [], []
    for at in range(0, 4000, 50):
        found += [(at, s) for _, s in stream.feed(track.times_s[at : at + 50], track.vectors[at : at + 50])]
        kept.append(len(stream._vectors))  # type: ignore[attr-defined]
    assert max(kept) < 800
    assert len(found) > 100
    late_s = [track.times_s[at + 49] - segment.end_s for at, segment in found]
    assert max(late_s) < 400


def test_zero_shot_answers_when_the_video_is_over() -> None:
    track = track_of(100, 1)
    stream = zero_shot_stream(ASKED, track.edges_s)
    assert stream.feed(track.times_s, track.vectors) == []
    found = {one.definition.id: [] for one in ASKED}
    for name, segment in stream.finish(track.duration_s):
        found[name].append(segment)
    assert found == at_once(zero_shot.predict, track)
    assert zero_shot_stream(ASKED, None).finish(0.0) == []
