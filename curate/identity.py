"""Identity is content: the same bytes, span or work has the same id on every machine."""

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20


def file_id(path: Path | str) -> str:
    """16 hex digits of the SHA-256 of a file's bytes: its video_id."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()[:16]


def span_id(video_id: str, start_s: float, end_s: float) -> str:
    """16 hex digits for a span of a video, to the microsecond: its clip_id."""
    return work_key(video_id, round(start_s * 1e6), round(end_s * 1e6))


def work_key(*parts: Any) -> str:
    """16 hex digits for work defined by `parts` (content, stage version, parameters, model id)."""
    content = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
