"""A mix in the forms of other tools is read by those tools, holds the same, and is there as a whole or not at all."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
import webdataset

from curate.errors import InputError
from curate.mixes.load import clip_bytes, load_mix, read_lock
from curate.mixes.loading import export as exporting
from curate.mixes.loading.export import Exported, Form, export
from curate.workspace import Workspace

VERDICTS = ("present", "absent")


@pytest.fixture(scope="module")
def mix(published: Workspace) -> datasets.DatasetDict:
    return load_mix("base", workspace=published.root)


def make(published: Workspace, directory: Path, form: Form, **more: Any) -> Exported:
    return export(published, "base", form=form, directory=directory, **more)


@pytest.mark.parametrize("form", ["webdataset", "activitynet", "folder"])
def test_card_lock_and_licences_go_with_every_form(
    published: Workspace, mix: datasets.DatasetDict, tmp_path: Path, form: Form
) -> None:
    made = make(published, tmp_path / "out", form)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert made.rows == sum(mix.num_rows.values())
    assert made.bytes == sum(path.stat().st_size for path in made.directory.rglob("*") if path.is_file())
    assert json.loads((made.directory / "lock.json").read_text()) == read_lock("base", workspace=published.root)
    assert "CC0-1.0" in (made.directory / "CARD.md").read_text()
    with (made.directory / "licences.csv").open() as file:
        told = {(row["split"], row["clip_id"]): row["licence"] for row in csv.DictReader(file)}
    assert told == {(split, row["clip_id"]): row["licence"] for split in mix for row in mix[split]}
    assert made.clips == len(told)


def test_webdataset_reads_the_shards(published: Workspace, mix: datasets.DatasetDict, tmp_path: Path) -> None:
    made = make(published, tmp_path / "shards", "webdataset")
    for split in mix:
        (shard,) = made.directory.glob(f"{split}-*.tar")
        samples = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode())
        rows = {(row["clip_id"], row["repeat"]): row for row in mix[split]}
        assert len(samples) == len(rows)
        for sample in samples:
            row = rows.pop((sample["json"]["clip_id"], sample["json"]["repeat"]))
            assert sample["__key__"].split("-")[0] == row["clip_id"]
            assert sample["mp4"] == clip_bytes(row)
            assert sample["json"]["licence"] == row["licence"]
            for label, own in zip(sample["json"]["labels"], row["labels"], strict=True):
                assert label["capability"] == own["capability"]
                assert [part["fields"] for part in label["segments"]] == [{"color": "red"}] * len(own["segments"])


def test_shards_are_small_shuffled_and_the_same_again(
    published: Workspace, mix: datasets.DatasetDict, tmp_path: Path
) -> None:
    rows = exporting.Rows(mix["train"])
    written = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        keys = list(exporting.write_shards(tmp_path / name, "train", rows, most_bytes=10_000))
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert written[0] == written[1] and len(written[0]) > 1
    assert len(set(keys)) == len(rows) and keys != sorted(keys)
    found = [
        sample["__key__"]
        for path in sorted((tmp_path / "one").iterdir())
        for sample in webdataset.WebDataset(str(path), shardshuffle=False)
    ]
    assert found == keys


def test_activitynet_has_each_clip_once(published: Workspace, mix: datasets.DatasetDict, tmp_path: Path) -> None:
    made = make(published, tmp_path / "activitynet", "activitynet")
    told = json.loads((made.directory / "activitynet.json").read_text())
    assert [node["nodeName"] for node in told["taxonomy"]] == ["Root", "bounce", "roll", "spin"]
    rows = {row["clip_id"]: row for split in mix for row in mix[split]}
    counts = Counter(row["clip_id"] for split in mix for row in mix[split])
    assert {clip: entry["repeats"] for clip, entry in told["database"].items()} == counts
    assert {entry["subset"] for entry in told["database"].values()} == {"training", "validation", "testing"}
    assert {path.stem for path in (made.directory / "videos").iterdir()} == set(rows)
    for clip, entry in told["database"].items():
        row = rows[clip]
        assert entry["duration"] == row["duration_s"]
        of = {verdict: [x["capability"] for x in row["labels"] if x["verdict"] == verdict] for verdict in VERDICTS}
        assert [part["label"] for part in entry["annotations"]] == of["present"] and entry["absent"] == of["absent"]
        assert all(part["segment"] == [0.5, 1.25] for part in entry["annotations"])
        assert all(part["fields"] == {"color": "red"} for part in entry["annotations"])


def test_datasets_reads_the_folder(published: Workspace, mix: datasets.DatasetDict, tmp_path: Path) -> None:
    made = make(published, tmp_path / "folder", "folder", splits=["train"])
    assert not (made.directory / "test").exists()
    found = datasets.load_dataset("videofolder", data_dir=str(made.directory), cache_dir=str(tmp_path / "cache"))
    assert list(found) == ["train"]
    rows = {row["clip_id"]: row for row in mix["train"]}
    column = found["train"].cast_column("video", datasets.Video(decode=False))
    assert {row["clip_id"] for row in column} == set(rows)
    for row in column:
        own = rows[row["clip_id"]]
        assert Path(row["video"]["path"]).read_bytes() == clip_bytes(own)
        assert [label["segments"] for label in row["labels"]] == [label["segments"] for label in own["labels"]]
        told = json.loads((made.directory / "train" / f"{row['clip_id']}.json").read_text())
        assert (told["licence"], told["repeats"]) == (own["licence"], row["repeats"])


def test_what_is_interrupted_leaves_nothing(
    published: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".out.part").mkdir()  # as a kill leaves it
    (tmp_path / ".out.part" / "half.tar").touch()

    def interrupt(stage: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(published, tmp_path / "out", "webdataset", progress=interrupt)
    assert not list(tmp_path.iterdir())
    made = make(published, tmp_path / "out", "webdataset")
    assert "half.tar" not in {path.name for path in made.directory.iterdir()}


@pytest.mark.parametrize("asked", [{"form": "tfrecord"}, {"splits": ["dev"]}, {"rev": "v9"}])
def test_what_there_is_not_is_refused_before_anything_is_written(
    published: Workspace, tmp_path: Path, asked: dict
) -> None:
    with pytest.raises(InputError):
        export(published, "base", **{"form": "folder", "directory": tmp_path / "out", **asked})
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_there_is_left_alone(published: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        make(published, tmp_path, "folder")
