"""This repository is a workspace: a fresh clone restores its sample mix from the remote inside it, without network."""

import subprocess
import sys
from pathlib import Path

import datasets

from curate.mixes.load import clip_bytes, load_mix
from tests.conftest import REPOSITORY


def test_a_fresh_clone_pulls_and_loads_the_sample_mix(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-tags", str(REPOSITORY), str(clone)], check=True)
    ours = load_mix("tiny", split="train", workspace=clone)
    assert clip_bytes(ours[0])[4:8] == b"ftyp"
    assert len(ours[0]["frame_vectors"]) == len(ours[0]["frame_times_s"]) > 0

    subprocess.run([sys.executable, "-m", "dvc", "pull", "--quiet"], cwd=clone, check=True)
    size_bytes = sum(path.stat().st_size for path in (clone / "data").rglob("*.*"))
    assert 0 < size_bytes <= 5_000_000
    plain = datasets.load_dataset(str(clone / "data/tiny"), split="train", cache_dir=str(tmp_path / "cache"))
    assert plain["clip_id"] == ours["clip_id"]
    assert plain["labels"] == ours["labels"]
    packs = {str(path.relative_to(clone / "data/tiny")) for path in (clone / "data/tiny/media").glob("train-*.zip")}
    assert {media["pack"] for media in plain["media"]} == packs
