"""A takedown reaches everything that was made of the footage, with real git, DVC and decoding."""

import json
import shutil
import warnings
from pathlib import Path

import polars as pl
import pytest
from dvc.repo import Repo
from werkzeug.wrappers import Response

from curate import views
from curate.analyze.collect import collect
from curate.decisions import decisions
from curate.errors import CurateError, InputError
from curate.mixes import erase as erasing
from curate.mixes.build import build
from curate.mixes.files import open_files
from curate.mixes.load import load_mix, pull, read_lock
from curate.mixes.packs import packs_of
from curate.mixes.retire import retired
from curate.mixes.verify import verify
from curate.mixes.versions import git
from curate.mixes.withdraw import what_holds, withdraw
from curate.workspace import Workspace
from tests.mixes.rows import add_label, clip_id, still, write_mix
from tests.mixes.s3 import serving
from tests.mixes.test_store import use
from tests.sources.serving import Site
from tests.sources.serving import serving as web

WHO = {"who": "ana", "why": "the owner asked"}


def make(workspace: Workspace, name: str = "base") -> str:
    return build(workspace, name, who="ana", why="test").revision


def clips_of(workspace: Workspace, revision: str) -> set[str]:
    return {clip["clip_id"] for clip in read_lock("base", revision, workspace=workspace.root)["clips"]}


def add_remote(workspace: Workspace, place: Path) -> Path:
    with Repo(str(workspace.root)) as repo, repo.config.edit() as config:
        config["core"]["remote"] = "store"
        config["remote"]["store"] = {"url": str(place)}
    return place


def objects(place: Path) -> set[str]:
    return {path.parent.name + path.name for path in place.rglob("*") if path.is_file() and len(path.parent.name) == 2}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """Two versions of `base` on a remote; the second holds a label more."""
    root = tmp_path_factory.mktemp("released")
    workspace = Workspace(shutil.copytree(template, root / "workspace"))
    write_mix(workspace, budget={"clips": 60})
    add_remote(workspace, root / "remote")
    make(workspace)
    add_label(workspace, clip_id("video07", 1), "bounce", "present", [{"start_s": 2.1, "end_s": 2.9, "fields": "{}"}])
    make(workspace)
    return root


@pytest.fixture
def world(released: Path, tmp_path: Path) -> Workspace:
    """A copy of `released` with a remote of its own."""
    shutil.copytree(released, tmp_path, dirs_exist_ok=True)
    workspace = Workspace(tmp_path / "workspace")
    add_remote(workspace, tmp_path / "remote")
    return workspace


def held_clip(workspace: Workspace, split: str = "train") -> dict:
    clips = read_lock("base", "v1", workspace=workspace.root)["clips"]
    return next(clip for clip in clips if clip["split"] == split and clip["video_id"] != "video07")


def test_what_is_withdrawn_is_in_no_view_and_in_no_further_version(world: Workspace) -> None:
    clip = held_clip(world)
    found = withdraw(world, clip["video_id"], **WHO)
    assert (found.item, found.videos, found.clips) == (f"video {clip['video_id']}", 1, 2)
    assert [(each.mix, each.revision, each.newest) for each in found.held] == [
        ("base", "v1", False), ("base", "v2", True),
    ]  # fmt: skip
    assert any("`curate mix build base`" in words for words in found.next)
    assert clip["video_id"] not in set(views.clips(world.catalog).collect()["video_id"])
    assert make(world) == "v3"
    assert clip["video_id"] not in {each["video_id"] for each in read_lock("base", workspace=world.root)["clips"]}
    lock = read_lock("base", "v3", workspace=world.root)
    assert clip["clip_id"] not in {member for pack in packs_of(lock) for member in pack.members}
    assert [each.revision for each in what_holds(world, clip["video_id"])] == ["v1", "v2"]
    assert verify(world) == []


def test_an_old_version_says_that_it_holds_withdrawn_clips(world: Workspace) -> None:
    clip = held_clip(world)
    withdraw(world, clip["clip_id"], **WHO)
    with pytest.warns(UserWarning, match=r"mix base v1 holds 1 clip that was withdrawn since: `curate mix build base`"):
        load_mix("base", "v1", workspace=world.root)
    make(world)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_mix("base", workspace=world.root)


def test_a_clip_that_is_cut_up_anew_stays_withdrawn(world: Workspace) -> None:
    clip = held_clip(world)
    withdraw(world, clip["clip_id"], **WHO)
    others = set(views.clips(world.catalog).filter(video_id=clip["video_id"]).collect()["start_s"])
    assert others == {0.0, 2.0} - {clip["start_s"]}
    middle = {"clip_id": "other", "video_id": clip["video_id"], "start_s": 1.0, "end_s": 3.0}
    world.catalog.write("clips", [middle], run_id="t", work_key="w")
    assert "other" not in set(views.clips(world.catalog).collect()["clip_id"])


def test_it_can_be_undone_and_is_a_decision_each_time(world: Workspace) -> None:
    clip, before = held_clip(world), set(views.clips(world.catalog).collect()["clip_id"])
    withdraw(world, clip["video_id"], **WHO)
    withdraw(world, clip["video_id"], **WHO)
    withdraw(world, clip["video_id"], who="eve", why="a mistake", undo=True)
    assert set(views.clips(world.catalog).collect()["clip_id"]) == before
    with pytest.raises(InputError, match="is not withdrawn"):
        withdraw(world, clip["video_id"], **WHO, undo=True)
    withdraw(world, clip["video_id"], **WHO)
    assert clip["clip_id"] not in set(views.clips(world.catalog).collect()["clip_id"])
    taken = decisions(world.catalog, kind="withdrawal")
    assert [(each.status, each.plan["undo"]) for each in taken] == [("done", False), ("done", True), ("done", False)]
    assert taken[0].evidence["result"]["versions"] == ["base v1", "base v2"]


def test_two_withdrawals_of_one_video_are_undone_one_by_one(world: Workspace) -> None:
    withdraw(world, "test", **WHO)
    assert views.clips(world.catalog).collect().is_empty()
    withdraw(world, "video00", **WHO)
    withdraw(world, "test", **WHO, undo=True)
    assert set(views.withdrawn(world.catalog).collect()["clip_id"]) == {clip_id("video00", 0), clip_id("video00", 1)}


def test_a_source_and_a_licence_are_withdrawn_whole(world: Workspace) -> None:
    for name in ("test", "CC0-1.0"):
        found = withdraw(world, name, **WHO)
        assert (found.videos, [each.revision for each in found.held]) == (16, ["v1", "v2"])
    with pytest.raises(InputError, match="nothing is known of 'elsewhere'"):
        withdraw(world, "elsewhere", **WHO)
    with pytest.raises(InputError, match="without a reason"):
        withdraw(world, "test", who="ana", why=" ")


def test_copies_are_listed_and_withdrawn_with_it_where_asked(world: Workspace) -> None:
    ends = sorted([clip_id("video00", 0), clip_id("video01", 0)])
    more = sorted([clip_id("video01", 0), clip_id("video02", 1)])
    edges = [{"clip_id": one, "other_id": other, "kind": "copy", "score": 0.9} for one, other in (ends, more)]
    world.catalog.write("duplicates", edges, run_id="t")
    found = withdraw(world, "video00", **WHO)
    assert {copy.clip_id for copy in found.copies} == {clip_id("video01", 0), clip_id("video02", 1)}
    assert any("2 clips elsewhere show the same" in words for words in found.next)
    again = withdraw(world, "video00", **WHO, copies=True)
    assert all(copy.withdrawn for copy in again.copies)
    left = views.clips(world.catalog).filter(pl.col("video_id").is_in(["video01", "video02"])).collect()
    assert set(left["clip_id"]) == {clip_id("video01", 1), clip_id("video02", 0)}


def erased_world(world: Workspace) -> tuple[dict, Path]:
    remote = world.root.parent / "remote"
    clip = held_clip(world)
    cut = world.cache("exact-cuts") / clip["clip_id"][:2] / f"{clip['clip_id']}.mp4"
    assert cut.exists() and objects(remote)
    return clip, remote


def check_erased(world: Workspace, clip: dict, remote: Path) -> None:
    video = clip["video_id"]
    ids = {clip_id(video, 0), clip_id(video, 1)}
    for table in ("embeddings", "fingerprints", "thumbnails"):
        assert not ids & set(world.catalog.history(table).collect()["clip_id"])
    assert not [path for path in (world.state / "cache").rglob("*") if path.name.split(".")[0] in ids]
    assert set(retired(world)) == {("base", "v1"), ("base", "v2")}
    for revision in ("v1", "v2"):
        files = open_files(world, "base", git(world.root, "rev-parse", f"mix/base/{revision}^{{commit}}").strip())
        gone = {files.hashes[pack.path] for pack in packs_of(read_lock("base", revision, workspace=world.root))
                if ids & set(pack.members)}  # fmt: skip
        gone |= {md5 for path, md5 in files.hashes.items() if path.endswith("-00000.parquet")}
        assert gone and not gone & objects(remote) and not gone & objects(world.root / ".dvc" / "cache")
        with pytest.raises(CurateError, match=rf"{revision} was retired on .*video {video} was withdrawn"):
            load_mix("base", revision, workspace=world.root)


def test_what_is_erased_is_nowhere_and_the_versions_that_held_it_are_retired(world: Workspace) -> None:
    clip, remote = erased_world(world)
    found = withdraw(world, clip["video_id"], **WHO, erase=True)
    assert found.erased is not None
    assert found.erased.rows["embeddings"] == 2 and found.erased.files >= 1
    assert found.erased.versions.versions == ("base v1", "base v2") and found.erased.versions.objects > 0
    assert all(each.retired for each in found.held)
    check_erased(world, clip, remote)
    assert sorted(path.name for path in (world.data / "base").iterdir() if path.is_file()) == ["README.md", "lock.json"]

    assert make(world) == "v3"
    assert clip["video_id"] not in {row["video_id"] for row in load_mix("base", split="train", workspace=world.root)}
    with pytest.raises(CurateError, match=r"Use v3$"):
        load_mix("base", "v1", workspace=world.root)
    assert clip["clip_id"] in clips_of(world, "v1"), "splits remember"
    assert verify(world) == []
    with pytest.raises(InputError, match="was erased"):
        withdraw(world, clip["video_id"], **WHO, undo=True)

    clone = world.root.parent / "clone"
    git(world.root.parent, "clone", "--quiet", str(world.root), str(clone))
    shutil.copyfile(world.root / ".dvc" / "config", clone / ".dvc" / "config")
    shutil.rmtree(world.root / ".dvc" / "cache")
    with Repo(str(clone)) as repo:
        repo.pull()
    pulled = pull(Workspace(clone), "base")
    assert pulled.revision == "v3" and (clone / "data" / "base" / "lock.json").exists()


def test_what_is_erased_is_gone_from_s3_too(labelled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as store:
        store.log_in(monkeypatch)
        use(labelled, "takedown", store.url)
        make(labelled)
        clip = held_clip(labelled)
        lock = read_lock("base", "v1", workspace=labelled.root)
        files = open_files(labelled, "base", git(labelled.root, "rev-parse", "HEAD").strip())
        gone = {files.hashes[pack.path] for pack in packs_of(lock) if clip["clip_id"] in pack.members}

        def stored() -> set[str]:
            return {"".join(key.split("/")[-2:]) for key, _ in store.keys().items()}

        assert gone and gone <= stored()
        store.answer = lambda asked: (
            Response("down", status=503) if asked["REQUEST_METHOD"] in ("DELETE", "POST") else None
        )
        with pytest.raises(CurateError, match=r"retired.*run the command again"):
            withdraw(labelled, clip["video_id"], **WHO, erase=True)
        store.answer = lambda _: None
        withdraw(labelled, clip["video_id"], **WHO, erase=True)
        assert not gone & stored()
        assert make(labelled) == "v2"
        assert files.hashes["lock.json"] in stored()


@pytest.mark.parametrize("step", ["erase_footage", "tag", "_pin_what_stays", "pin", "_remove", "_forget_remote"])
def test_an_erasure_that_is_killed_is_completed_by_running_it_again(
    world: Workspace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from curate.mixes import withdraw as withdrawing

    clip, remote = erased_world(world)
    place = withdrawing if step == "erase_footage" else erasing
    real = getattr(place, step)

    def killed(*arguments: object, **options: object) -> None:
        real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(place, step, killed)
        withdraw(world, clip["video_id"], **WHO, erase=True)
    withdraw(world, clip["video_id"], **WHO, erase=True)
    check_erased(world, clip, remote)
    (decision,) = decisions(world.catalog, kind="withdrawal")
    assert decision.status == "done"


def test_a_version_that_holds_it_in_a_pack_alone_holds_it(world: Workspace) -> None:
    lock = read_lock("base", "v2", workspace=world.root)
    clip = held_clip(world)
    rest = [each for each in lock["clips"] if each["clip_id"] != clip["clip_id"]]
    commit = git(world.root, "rev-parse", "mix/base/v2^{commit}").strip()
    (world.cache("locks") / f"base-{commit}.json").write_text(json.dumps(lock | {"clips": rest}))
    found = what_holds(world, clip["clip_id"])
    assert [(each.revision, each.clips, each.packed) for each in found] == [("v1", 1, 0), ("v2", 0, 1)]


def test_withdrawn_content_is_not_collected_again_under_any_name(workspace: Workspace) -> None:
    for config in (workspace.configs / "sources").glob("*"):
        config.unlink()
    analysis = workspace.configs / "analysis.yaml"
    analysis.write_text(analysis.read_text().replace("{kind: local}", "{workers: 1}"))
    for name in ("phone", "archive"):
        (workspace.configs / "sources" / f"{name}.yaml").write_text(f"id: {name}\npath: {name}\nlicence: CC0-1.0\n")
        (workspace.root / name).mkdir()
    still(workspace.root / "phone" / "a.mp4", 2)
    first = collect(workspace)
    assert first.ok == 1 and first.clips > 0
    found = withdraw(workspace, "a.mp4", **WHO)
    assert found.footage == (str(workspace.root / "phone" / "a.mp4"),) and found.item.startswith("file ")
    shutil.copyfile(workspace.root / "phone" / "a.mp4", workspace.root / "archive" / "b.mp4")
    summary = collect(workspace)
    assert (summary.ok, summary.filtered, summary.clips) == (0, 2, 0)
    outcomes = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    assert all("withdrawn with file" in reason and WHO["why"] in reason for reason in outcomes["reason"])

    withdraw(workspace, "a.mp4", **WHO, undo=True)
    summary = collect(workspace)
    assert (summary.ok, summary.new_clips) == (1, 0) and summary.clips == first.clips, "nothing is decoded again"


def test_a_url_whose_footage_was_erased_is_not_fetched_again(workspace: Workspace) -> None:
    for config in (workspace.configs / "sources").glob("*"):
        config.unlink()
    analysis = workspace.configs / "analysis.yaml"
    analysis.write_text(analysis.read_text().replace("{kind: local}", "{workers: 1}"))
    still(workspace.root / "a.mp4", 2)
    site = Site(files={"/a.mp4": (workspace.root / "a.mp4").read_bytes()})
    with web(site):
        (workspace.configs / "sources" / "web.yaml").write_text(
            f"id: web\nlicence: CC0-1.0\nurls: [{site.url('/a.mp4')}]\ndownload: {{allow_private: true}}\n"
        )
        assert collect(workspace).ok == 1
        (download,) = (path for path in (workspace.state / "downloads").rglob("*.mp4"))
        found = withdraw(workspace, "web", **WHO, erase=True)
        assert found.footage == () and not download.exists()
        asked = len(site.asked)
        summary = collect(workspace)
        assert (summary.ok, summary.filtered, summary.failed, len(site.asked)) == (0, 1, 0, asked)
