"""A small picture of a moment, for the pages that people look at."""

import io
from pathlib import Path

from PIL import Image

from curate.errors import DecodeError
from curate.media.container import open_video, shown_frames, shown_size
from curate.media.decode import picture


def thumbnail(path: Path | str, time_s: float, *, width: int = 320) -> bytes:
    """The frame that is on screen at `time_s` (seconds from the first shown frame) as JPEG, `width` pixels wide.

    Raises:
        DecodeError: the file cannot be decoded there.
    """
    with open_video(path) as (container, stream):
        shown_width, shown_height = next((shown_size(stream, frame) for frame in container.decode(stream)), (16, 9))
    for _, stored in shown_frames(path, time_s, lead=True):
        image = picture(stored, width, max(round(width * shown_height / shown_width), 1))
        content = io.BytesIO()
        Image.fromarray(image).save(content, "JPEG", quality=85)
        return content.getvalue()
    raise DecodeError("no frame can be decoded", where=path)
