"""The frames of a video in the order they are shown: a span of them, or the keyframes alone."""

from collections.abc import Iterator
from pathlib import Path

from curate.errors import DecodeError
from curate.media.container import open_video
from curate.media.gaps import Gap
from curate.media.walk import Shown, Walk
from curate.specs.analysis import Limits

_EPSILON_S = 1e-9


def shown_frames(
    path: Path | str,
    start_s: float | None = None,
    end_s: float | None = None,
    *,
    lead: bool = False,
    gaps: list[Gap] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Iterator[Shown]:
    """Yields (seconds from the first shown frame, stored picture, its shape against the first's) in order of time.

    Args:
        path: a video file.
        start_s: the first time to yield; the file is entered at a keyframe before it.
        end_s: the first time not to yield.
        lead: yield first the frame that is on screen at `start_s`, although it began earlier; the last frame
            where `start_s` is past the end.
        gaps: takes what is lost within the span, and good frames go on after it. Without it, loss is an error.
        limits: larger footage is refused.

    Raises:
        DecodeError: the file cannot be opened, nothing in it decodes, or, where no `gaps` are given, it is damaged
            within the span.
    """
    begin_s = start_s or 0.0
    with open_video(path, limits) as (container, stream):
        walk = Walk(container, stream, Path(path))
        held: Shown | None = None
        known = 0

        def settle() -> None:
            """Hands on the gaps that reach into the span."""
            nonlocal known
            for gap in walk.gaps[known:]:
                inside = gap.start_s < (end_s or float("inf")) and (gap.end_s > begin_s or gap.start_s >= begin_s)
                if inside and gaps is None:
                    raise DecodeError(_sentence(gap), where=walk.path)
                if inside and gaps is not None:
                    gaps.append(gap)
            known = len(walk.gaps)

        for shown in walk.frames_from(begin_s):
            time_s = shown[0]
            if len(walk.gaps) > known:
                settle()
            if end_s is not None and time_s >= end_s - _EPSILON_S:
                break
            if time_s < begin_s - _EPSILON_S:
                held = shown if lead else None
                continue
            if held is not None and time_s > begin_s + _EPSILON_S:
                yield held
            held = None
            yield shown
        settle()
        if held is not None:
            yield held


def key_frames(
    path: Path | str,
    every_s: float | None = None,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Iterator[Shown]:
    """Yields the keyframes alone, as `shown_frames` does; nothing else is decoded.

    Args:
        path: a video file. Damaged keyframes are left out.
        every_s: the first keyframe at or after each multiple of this time, no keyframe twice; all where None. What
            lies between is not even read where the file can be entered midway.
        limits: larger footage is refused.

    Raises:
        DecodeError: the file cannot be opened, or nothing in it decodes.
    """
    with open_video(path, limits) as (container, stream):
        start = Walk(container, stream, Path(path))
        first = next(start.frames_from(0.0))
    with open_video(path, limits) as (container, stream):
        stream.codec_context.skip_frame = "NONKEY"
        walk = Walk(container, stream, Path(path), keys_only=True, origin=start.origin)
        none = True
        for shown in walk.keys(every_s):
            none = False
            yield shown
        if none:
            yield first


def _sentence(gap: Gap) -> str:
    if gap.reason == "damaged":
        return f"damaged at {gap.start_s:.2f} s: what is there does not decode"
    return f"{gap.reason}: decoding stops at {gap.start_s:.2f} s"
