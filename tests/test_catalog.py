"""The catalog keeps its promises: atomic, newest row wins, snapshots stay, writers do not collide."""

import multiprocessing
from pathlib import Path

import polars as pl
import pytest

from curate.catalog import TABLES, Catalog, local_catalog
from curate.errors import CurateError, InputError


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return local_catalog(tmp_path / "catalog")


def outcome(item: str, outcome: str = "ok", value: float | None = None) -> dict:
    return {"stage": "collect", "item": item, "outcome": outcome, "value": value}


def test_a_table_that_was_never_written_reads_as_empty_with_its_schema(catalog: Catalog) -> None:
    for name in TABLES:
        assert catalog.read(name).schema == catalog.schema(name)


def test_a_row_with_the_same_key_replaces_the_older_one_for_readers(catalog: Catalog) -> None:
    catalog.write("outcomes", [outcome("a", "failed"), outcome("b")], run_id="r1")
    catalog.write("outcomes", [outcome("a", "ok")], run_id="r2")
    assert catalog.read("outcomes").select("item", "outcome", "run_id").sort("item").rows() == [
        ("a", "ok", "r2"),
        ("b", "ok", "r1"),
    ]
    assert catalog.history("outcomes").collect().height == 3


def test_a_reader_of_an_older_version_sees_what_it_saw_also_after_compaction(catalog: Catalog) -> None:
    for index in range(5):
        catalog.write("outcomes", [outcome("a", value=float(index))], run_id="r")
    catalog.compact("outcomes")
    assert catalog.read("outcomes", version=2)["value"].to_list() == [2.0]
    assert catalog.read("outcomes")["value"].to_list() == [4.0]


def test_many_small_commits_are_compacted_on_their_own(catalog: Catalog) -> None:
    for index in range(70):
        catalog.write("outcomes", [outcome(str(index))], run_id="r")
    files = list(Path(catalog.root, "outcomes").glob("*.parquet"))
    assert catalog.read("outcomes").height == 70
    live = pl.scan_delta(f"{catalog.root}/outcomes").collect().height
    assert live == 70
    assert len(files) > 70, "the files of older versions stay for their readers"


def test_unknown_columns_and_tables_are_refused_by_name(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match=r"outcomes.*colour"):
        catalog.write("outcomes", [outcome("a") | {"colour": "red"}], run_id="r")
    with pytest.raises(ValueError, match="no table 'clip'"):
        catalog.scan("clip")


def _write_some(root: str, writer: int) -> None:
    for index in range(5):
        Catalog(root).write("outcomes", [outcome(f"{writer}-{index}")], run_id=f"w{writer}")


def test_writers_at_the_same_time_lose_no_row(catalog: Catalog) -> None:
    catalog.write("outcomes", [outcome("first")], run_id="r")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_some, args=(catalog.root, writer)) for writer in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0, 0, 0]
    assert catalog.read("outcomes").height == 16


def test_a_table_of_an_earlier_release_reads_with_nulls_and_takes_the_new_columns(catalog: Catalog) -> None:
    pl.DataFrame([{"stage": "collect", "item": "a", "outcome": "ok", "gone": 1, "written_at": None}]).cast(
        {"written_at": pl.Datetime("us", "UTC")}
    ).write_delta(f"{catalog.root}/outcomes")
    assert catalog.read("outcomes").schema == catalog.schema("outcomes")
    catalog.write("outcomes", [outcome("b", value=2.0)], run_id="r")
    found = catalog.read("outcomes").sort("item")
    assert found.select("item", "value").rows() == [("a", None), ("b", 2.0)]
    assert found.schema == catalog.schema("outcomes")


def test_a_column_of_another_type_is_an_error_that_says_what_to_do(catalog: Catalog) -> None:
    pl.DataFrame([{"clip_id": "a", "model_id": "m", "vector": [1.0]}]).write_delta(f"{catalog.root}/embeddings")
    with pytest.raises(CurateError, match="vector.*earlier release") as raised:
        catalog.read("embeddings")
    assert "curate collect" in str(raised.value)


@pytest.mark.parametrize("name", ["with space", "caf\u00e9", "50%", "a[b]"])
def test_a_path_that_tables_would_not_be_found_under_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot read Delta tables back"):
        local_catalog(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_path_of_other_signs_is_fine(tmp_path: Path) -> None:
    catalog = local_catalog(tmp_path / "a-b_c.d+e(f)@g=h,i;j:k~l!m$n&o'p*q")
    catalog.write("splits", [{"video_id": "v", "group_id": "g", "split": "test"}], run_id="r")
    assert catalog.read("splits")["video_id"].to_list() == ["v"]
