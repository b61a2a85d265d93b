"""`curate search`, as it is called."""

import json
from pathlib import Path

import pytest

from curate.analyze.embed import load_embedder, model_id
from curate.workspace import Workspace
from tests.conftest import Curate
from tests.dedupe.rows import Clip, write_clips

TEXT = "a red ball on grass"


@pytest.fixture
def clips(workspace: Workspace) -> list[Clip]:
    """The first shows TEXT, the second something else."""
    embedding = workspace.analysis().embedding
    vectors = load_embedder(embedding).texts([TEXT, "a star at night"])
    made = [Clip(f"v{at}", vectors[[at, at]], motion=0.1 + at) for at in range(2)]
    write_clips(workspace, made, model_id=model_id(embedding))
    return made


def test_rows_as_json_and_a_page(curate: Curate, clips: list[Clip], tmp_path: Path) -> None:
    page = tmp_path / "new" / "found.html"
    status, out, err = curate("search", TEXT, "--not", "mud", "--diverse", "--json", "--html", str(page))
    assert (status, err) == (0, "")
    assert [row["clip_id"] for row in json.loads(out)] == [clip.clip_id for clip in clips]
    assert [clip.clip_id in page.read_text() for clip in clips] == [True, True]


def test_a_page_alone_prints_where_it_is(curate: Curate, clips: list[Clip], tmp_path: Path) -> None:
    page = tmp_path / "found.html"
    assert curate("search", "--where", "motion > 1", "--html", str(page)) == (0, f"{page}\n", "")
    assert [clip.clip_id in page.read_text() for clip in clips] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to search for"),
        (["--like", "nothing-of-the-kind"], "neither a clip nor a file"),
        (["--like", "configs@3-1"], "is empty"),
        (["--where", "motion >"], "condition 'motion >' cannot be used"),
        (["red", "--where", "colour = 'red'"], "Columns: clip_id, video_id"),
        (["--where", "motion"], "not true or false. Columns: clip_id, video_id"),
        (["red", "--html", "/proc/none/found.html"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_line(curate: Curate, clips: list[Clip], arguments: list[str], said: str) -> None:
    status, out, err = curate("search", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_before_there_are_clips(curate: Curate) -> None:
    status, _, err = curate("search", "red")
    assert status == 2
    assert "no clips yet" in err
    assert "curate collect" in err


def test_the_newest_clips_missing_is_said_beside_the_result(
    curate: Curate, clips: list[Clip], workspace: Workspace
) -> None:
    assert curate("search", TEXT, "--json")[2] == ""
    write_clips(workspace, [Clip("new", clips[0].frames)], model_id=model_id(workspace.analysis().embedding))
    with workspace.lock("index-moments"):
        status, out, err = curate("search", TEXT, "--json")
    assert (status, len(json.loads(out))) == (0, 2)
    assert "newest clips are not in it" in err
