"""A workspace as collection and labelling leave it: synthetic catalog rows over a few real, small videos."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curate.media.exact import cut_exactly
from curate.workspace import Workspace
from tests.mixes.rows import CAPABILITIES, CLIP_S, add_label, add_videos, clip_id, write_capability, write_mix

VIDEOS = [f"video{i:02}" for i in range(16)]


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of 25 frames a second; frame k is uniformly 8 + 2 k bright."""
    path = tmp_path_factory.mktemp("footage") / "ramp.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in range(100):
            image = np.full((64, 96, 3), 8 + 2 * k, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def cuts(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cut of every clip as the cache keeps it, so that only the tests about cutting start workers for it."""
    directory = tmp_path_factory.mktemp("cuts")
    for index in (0, 1):
        made = directory / f"{index}.mp4"
        cut_exactly(footage, index * CLIP_S, (index + 1) * CLIP_S, made)
        for name in VIDEOS:
            clip = clip_id(name, index)
            (directory / clip[:2]).mkdir(exist_ok=True)
            shutil.copyfile(made, directory / clip[:2] / f"{clip}.mp4")
        made.unlink()
    return directory


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, fresh: Path, footage: Path, cuts: Path) -> Path:
    """What `labelled` is a copy of."""
    workspace = Workspace(shutil.copytree(fresh, tmp_path_factory.mktemp("template") / "workspace"))
    for config in (*(workspace.configs / "mixes").glob("*"), *(workspace.configs / "capabilities").glob("*")):
        config.unlink()
    (workspace.configs / "analysis.yaml").write_text("engine: {workers: 2}\n")
    for name in CAPABILITIES:
        write_capability(workspace, name)
    write_mix(workspace)
    add_videos(workspace, VIDEOS, footage)
    for i, name in enumerate(VIDEOS):
        if i % 4 < 3:
            segments = [{"start_s": 0.5, "end_s": 1.25, "fields": '{"color": "red"}'}]
            add_label(workspace, clip_id(name, 0), CAPABILITIES[i % 4], "present", segments)
            add_label(workspace, clip_id(name, 0), CAPABILITIES[(i % 4 + 1) % 3], "absent")
    shutil.copytree(cuts, workspace.cache("exact-cuts"), dirs_exist_ok=True)
    return workspace.root


@pytest.fixture
def labelled(tmp_path: Path, template: Path) -> Workspace:
    """16 videos of two clips; the first clip of video i shows capability i mod 4 (of three; the fourth is none)."""
    return Workspace(shutil.copytree(template, tmp_path / "workspace"))
