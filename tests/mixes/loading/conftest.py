"""A version's directory as it is published: rows by split, and packs that hold small real clips."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.mixes.build import build
from curate.mixes.packs import write_media_pack
from curate.mixes.rows import FEATURES
from curate.workspace import Workspace
from tests.mixes.loading.clips import Film

CLIPS, PACKED = 23, 10


def film(number: int) -> Film:
    """One second or more at 25 frames a second, with the frames numbered."""
    return Film(tuple(range(0, (26 + number) * 1200, 1200)), gop=12)


def label(capability: str, verdict: str, *segments: tuple[float, float], exhaustive: bool = True) -> dict:
    spans = [{"start_s": start_s, "end_s": end_s, "fields": '{"color": "red"}'} for start_s, end_s in segments]
    return {
        "capability": capability, "spec_version": "v", "verdict": verdict, "exhaustive": exhaustive,
        "annotator": "ann", "segments": spans,
    }  # fmt: skip


def labels_of(number: int) -> list[dict]:
    """Every third clip bounces from 0.2 to 0.6 s, the next does not, and of the third nobody knows; all may spin."""
    bounce = [label("bounce", "present", (0.2, 0.6)), label("bounce", "absent"), label("bounce", "unclear")][number % 3]
    return [bounce, label("spin", "present", (0.0, 0.1), exhaustive=False)]


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    """The mp4 of each clip."""
    return {f"{number:04x}": film(number).encode() for number in range(CLIPS)}


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> Path:
    """`train` holds all clips, every fifth of them twice; `test` the first three."""
    directory = tmp_path_factory.mktemp("version")
    for split, clips in (("train", sorted(contents)), ("test", sorted(contents)[:3])):
        rows = []
        for at in range(0, len(clips), PACKED):
            pack, _ = write_media_pack(directory, split, clips[at : at + PACKED], contents.__getitem__)
            for clip, offset, size in zip(pack.members, pack.offsets, pack.sizes, strict=True):
                number = int(clip, 16)
                duration_s = film(number).duration_s
                for repeat in range(1 + (number % 5 == 0)):
                    rows.append({
                        "clip_id": clip, "video_id": f"video{number}", "source": "test", "licence": "CC0-1.0",
                        "group_id": f"video{number}", "repeat": repeat, "start_s": 5.0, "end_s": 5.0 + duration_s,
                        "duration_s": duration_s, "video": {"bytes": None, "path": f"zip://{clip}.mp4::{pack.path}"},
                        "media": {"pack": pack.path, "offset": offset, "size": size}, "roles": ["bounce"],
                        "labels": labels_of(number), "embedding_model": "test-model",
                    })  # fmt: skip
        table = pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema)
        pq.write_table(table, directory / f"{split}-00000.parquet")
    return directory


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Workspace:
    """A workspace with version 1 of the mix `base`. Tests read it and change nothing."""
    workspace = Workspace(shutil.copytree(template, tmp_path_factory.mktemp("published") / "workspace"))
    build(workspace, "base", who="ana", why="to load it")
    return workspace
