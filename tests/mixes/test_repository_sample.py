"""This repository is a workspace: a fresh clone restores its sample mix from the remote inside it, without network."""

import subprocess
import sys
from pathlib import Path

import datasets

from curate.mixes.load import load_mix
from tests.conftest import REPOSITORY


def test_a_fresh_clone_pulls_and_loads_the_sample_mix(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-tags", str(REPOSITORY), str(clone)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "pull", "--quiet"], cwd=clone, check=True)
    size_bytes = sum(path.stat().st_size for path in (clone / "data").rglob("*.*"))
    assert 0 < size_bytes <= 5_000_000

    shards = {"train": str(clone / "data/tiny/train-*.parquet")}
    plain = datasets.load_dataset("parquet", data_files=shards, split="train", cache_dir=str(tmp_path / "cache"))
    ours = load_mix("tiny", split="train", workspace=clone)
    assert plain.features == ours.features
    assert plain["clip_id"] == ours["clip_id"]
    assert ours[0]["video"]["bytes"][4:8] == b"ftyp"
