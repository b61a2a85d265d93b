"""`curate capability`, as it is called, over clips that the sample CLIP would give."""

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from curate.analyze.embed import load_embedder, model_id
from curate.targets.scoring.score import score
from curate.vectors import unit
from curate.workspace import Workspace
from tests.conftest import Curate
from tests.dedupe.rows import Clip, write_clips
from tests.targets.conftest import empty, write_labels

__all__ = ["empty"]

Run = Callable[..., tuple[int, str, str]]
SHOWS, OTHER = "an object bouncing", "an object standing still"


@pytest.fixture
def clips(empty: Workspace) -> list[Clip]:
    """Thirty clips of thirty videos; every third shows an object bouncing."""
    import numpy as np

    embedding = empty.analysis().embedding
    shows, other = load_embedder(embedding).texts([SHOWS, OTHER])
    rng = np.random.default_rng(0)
    made = []
    for at in range(30):
        noise = 0.6 * unit(rng.standard_normal((3, len(shows))))
        frames = unit((shows if at % 3 == 0 else other) + noise).astype(np.float32)
        made.append(Clip(f"v{at:02d}", frames, motion=at / 30))
    write_clips(empty, made, model_id=model_id(embedding))
    return made


@pytest.fixture
def curate(empty: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Run:
    """Runs `curate capability ...`."""
    return partial(Curate(empty, monkeypatch, capsys), "capability")


def test_from_a_name_to_matches_in_two_commands(
    curate: Run, empty: Workspace, clips: list[Clip], tmp_path: Path
) -> None:
    status, out, err = curate("new", "bounce", "--text", SHOWS, "--not", OTHER, "--title", "It bounces")
    path = empty.configs / "capabilities" / "bounce.yaml"
    assert (status, err) == (0, "")
    assert out == f"{path}\nNext: say in it what counts, then see what it matches: curate capability check bounce\n"
    page = tmp_path / "pages" / "bounce.html"
    status, out, err = curate("check", "bounce", "--html", str(page), "--limit", "3")
    assert (status, err) == (0, "")
    assert "30 clips, 30 eligible, 10 match, 10 of them no copies" in out
    assert "found from the clips" in out and "<- level" in out and "0 labels" in out
    assert out.count("borderline") == 3 and out.rstrip().endswith(str(page))
    assert "It bounces" in page.read_text()
    assert "scores" not in empty.catalog.versions()


def test_check_as_json_is_one_value(curate: Run, empty: Workspace, clips: list[Clip]) -> None:
    curate("new", "bounce", "--text", SHOWS)
    status, out, _ = curate("check", "bounce", "--json", "--limit", "2")
    found = json.loads(out)
    assert status == 0
    assert (found["capability"], found["version"]) == ("bounce", empty.capability("bounce").version)
    assert (found["clips"], found["eligible"], len(found["shown"]), len(found["histogram"])) == (30, 30, 6, 24)
    assert {"place", "path", "best_start_s", "similarity"} <= set(found["shown"][0])


def test_check_says_how_good_the_calibration_is(curate: Run, empty: Workspace, clips: list[Clip]) -> None:
    curate("new", "bounce", "--text", SHOWS)
    labels = {clip.clip_id: "absent" if at % 3 else "present" for at, clip in enumerate(clips)}
    write_labels(empty, "bounce", labels)
    _, out, _ = curate("check", "bounce")
    assert "a clip matches from probability 0.5 or more (platt over similarity, from 30 labels)" in out
    assert "30 labels, 10 of them present, none drawn at random: they may say too much" in out
    assert "of held-out labels: Brier" in out
    assert "<- level" not in out


def test_check_says_what_a_condition_keeps_out(curate: Run, empty: Workspace, clips: list[Clip]) -> None:
    curate("new", "bounce", "--text", SHOWS)
    path = empty.configs / "capabilities" / "bounce.yaml"
    path.write_text(path.read_text().replace("match:\n", 'match:\n  where: "motion >= 0.5"\n  sources: [elsewhere]\n'))
    _, out, _ = curate("check", "bounce")
    assert "30 clips, 0 eligible" in out
    assert "kept out by motion >= 0.5: 15 clips, 0 by this alone" in out
    assert "kept out by source: sample_world: 30 clips, 15 by this alone" in out


def test_check_before_there_are_clips(curate: Run) -> None:
    curate("new", "bounce")
    assert "no clips yet: `curate collect` makes them" in curate("check", "bounce")[1]


def test_show_before_and_after_scoring(curate: Run, empty: Workspace, clips: list[Clip]) -> None:
    curate("new", "bounce", "--text", SHOWS, "--owner", "physics")
    status, out, err = curate("show", "bounce")
    assert (status, err) == (0, "")
    assert empty.capability("bounce").version in out and "physics" in out and "not scored yet" in out
    version = empty.capability("bounce").version
    score(empty)
    assert "too few for probabilities" in curate("show", "bounce")[1]
    found = json.loads(curate("show", "bounce", "--json")[1])
    assert (found["version"], found["calibration"]["calibration"], found["gap"]["target"]) == (version, "rank", 50)
    path = empty.configs / "capabilities" / "bounce.yaml"
    path.write_text(path.read_text().replace("clips: 50", "clips: 60"))
    assert f"of version {version}: `curate collect` scores this one" in curate("show", "bounce")[1]


def test_diff_says_keys_versions_and_clips(curate: Run, empty: Workspace, clips: list[Clip]) -> None:
    curate("new", "bounce", "--text", SHOWS)
    for command in (["init", "--quiet"], ["add", "configs"], ["commit", "--quiet", "-m", "first"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *command], cwd=empty.root, check=True)
    assert curate("diff") == (0, "every capability says what it said at HEAD\n", "")
    path = empty.configs / "capabilities" / "bounce.yaml"
    spec = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**spec, "match": {**spec["match"], "where": "motion < 0.5"}}))
    status, out, err = curate("diff", "bounce", "HEAD")
    assert (status, err) == (0, "")
    assert '  match.where\n    - null\n    + "motion < 0.5"' in out
    assert "matches 10 -> 5 clips: 0 gained, 5 lost" in out
    [found] = json.loads(curate("diff", "--json")[1])
    assert (found["name"], found["matches_before"], found["matches_after"]) == ("bounce", 10, 5)
    assert len(found["lost"]) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new", "Bounce!"], "'Bounce!' is no name. Lower case letters, digits and _, as bounce"),
        (["new", "there"], "there is such a capability already"),
        (["check", "nowhere"], "no capability 'nowhere'"),
        (["show", "nowhere"], "no capability 'nowhere'"),
        (["check", "broken"], "broken.yaml:1: 'title' is required. Add `title:`"),
        (["check", "there", "--html", "/proc/none/page.html"], "cannot be written"),
        (["diff", "there"], "not in a git repository"),
    ],
)
def test_a_mistake_is_one_line(
    curate: Run, empty: Workspace, clips: list[Clip], arguments: list[str], said: str
) -> None:
    curate("new", "there", "--text", SHOWS)
    (empty.configs / "capabilities" / "broken.yaml").write_text("id: broken\ntitel: x\n")
    status, _, err = curate(*arguments)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1
