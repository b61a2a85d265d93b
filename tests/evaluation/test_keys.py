"""Whose answer a key of a file of predictions is."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.catalog import local_catalog
from curate.errors import InputError
from curate.evaluation.judged import Exam, Judged
from curate.evaluation.keys import Keys
from curate.evaluation.probes import changed, elsewhere
from curate.model.definitions import Segment

CLIPS = {"aa": ("v1", 0.0), "bb": ("v1", 4.0), "cc": ("v2", 0.0), "dd": ("v3", 0.0)}
PATHS = {
    "v1": "/footage/a/film.mp4",
    "v2": "/footage/b/film.mp4",
    "v3": "/footage/b/other.mov",
    "v4": "/footage/c/new.mp4",
}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Clips aa, bb and cc are judged, dd is of another split; v4 has no clip in the mix."""
    catalog = local_catalog(tmp_path)
    catalog.write("videos", [{"video_id": video, "path": path} for video, path in PATHS.items()], run_id="t")
    catalog.write("clips", [{"clip_id": "ee", "video_id": "v4"}], run_id="t")
    clips = [{"clip_id": clip, "video_id": video, "start_s": start_s, "end_s": start_s + 4.0}
             for clip, (video, start_s) in CLIPS.items()]  # fmt: skip
    judged = [Judged(clip, CLIPS[clip][0], "jump", 4.0, ()) for clip in ("aa", "bb", "cc")]
    published = SimpleNamespace(lock={"clips": clips}, workspace=SimpleNamespace(catalog=catalog))
    return Keys(cast(Exam, SimpleNamespace(published=published, judged=judged)))


@pytest.mark.parametrize(
    ("key", "clips", "from_source"),
    [
        ("aa", ["aa"], False),
        ("aa.mp4", ["aa"], False),
        ("exports/test/aa.mp4", ["aa"], False),
        ("v1", ["aa", "bb"], True),
        ("/footage/a/film.mp4", ["aa", "bb"], True),
        ("a/film.mp4", ["aa", "bb"], True),
        ("b/film.mp4", ["cc"], True),
        ("dd", [], False),
        ("other.mov", [], True),
        ("other", [], True),
        ("v4", [], True),
        ("elsewhere/new.mp4", [], True),
        ("ee.mp4", [], False),
    ],
)
def test_a_key_is_a_clip_or_a_source_video(keys: Keys, key: str, clips: list[str], from_source: bool) -> None:
    found = keys.clips(key)
    assert [place.clip_id for place in found] == clips
    assert all(place.from_source == from_source for place in found)


def test_a_name_of_two_videos_is_neither(keys: Keys) -> None:
    with pytest.raises(InputError, match="'film.mp4' is the name of 2 videos: v1, v2"):
        keys.clips("film.mp4")


def test_the_content_of_a_file_says_more_than_its_name(keys: Keys) -> None:
    assert [place.clip_id for place in keys.clips("film.mp4", "v2")] == ["cc"]
    assert [place.clip_id for place in keys.clips("aa.mp4", "hash-of-the-cut-file")] == ["aa"]


def test_a_key_that_nothing_is_known_by_is_an_error(keys: Keys) -> None:
    with pytest.raises(InputError, match="'zz' is no clip of the mix and no video of the catalog. Keys are clip ids"):
        keys.clips("zz")


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=12), st.integers(0, 5))
def test_each_clip_is_exchanged_for_one_of_another_video_where_no_video_has_over_half(
    videos: list[str], seed: int
) -> None:
    found = elsewhere(videos, seed)
    assert sorted(found) == list(range(len(videos)))
    if 2 * max(videos.count(video) for video in videos) <= len(videos):
        assert all(videos[at] != videos[other] for at, other in enumerate(found))


def test_changed_fields_are_counted_of_segments_that_both_found() -> None:
    before = [[Segment(0, 2, {"color": "red"}), Segment(4, 6, {"color": "red"}), Segment(8, 9, {"color": "red"})]]
    after = [[Segment(0, 2, {"color": "blue"}), Segment(4, 6, {"color": "red"})]]
    assert changed(before, after) == 0.5
    assert changed(before, before) == 0.0
