"""A consumer's whole path: a published mix, by name, into a training loop; on several ranks; and from far away."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from curate.errors import CurateError, InputError
from curate.mixes.load import load_mix
from curate.mixes.loading.loader import torch_loader
from curate.mixes.versions import git
from curate.workspace import Workspace
from tests.mixes.loading.test_loader import keys, same
from tests.mixes.s3 import BUCKET, Store, serving
from tests.mixes.test_publish import dvc

SMALL = {"batch_size": 4, "fps": 4.0, "size": 16, "workers": 2}


def test_a_model_trains_on_a_mix_by_name(published: Workspace) -> None:
    loader = torch_loader("base", rev="v1", split="train", workspace=published.root, seed=3, **SMALL)
    assert loader.capabilities == ("bounce", "roll", "spin")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for epoch in range(8):
        loader.set_epoch(epoch)
        total = torch.zeros(())
        for batch in loader:
            brightness = batch.frames.float().mean(dim=(2, 3, 4)) / 255  # the footage tells the time by it
            waves = torch.sin(brightness[..., None] * torch.arange(1, 17) * 6)
            known = batch.known & batch.mask[..., None]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(waves)[known], batch.on[known])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        losses.append(float(total))
    assert losses[-1] < 0.8 * losses[0]


def test_a_name_and_what_load_mix_returns_are_the_same(published: Workspace) -> None:
    mix = load_mix("base", workspace=published.root)
    for one, other in zip(
        torch_loader("base", workspace=published.root, **SMALL), torch_loader(mix, **SMALL), strict=True
    ):
        assert same(one, other)
    with pytest.raises(InputError, match="no split 'dev'"):
        torch_loader(mix, split="dev", **SMALL)
    with pytest.raises(InputError, match="without their media"):
        torch_loader(load_mix("base", workspace=published.root, media=False), **SMALL)


RANK = """
import json, sys
import torch.distributed as dist
from curate.mixes.loading.loader import torch_loader

dist.init_process_group("gloo", init_method=sys.argv[2])
loader = torch_loader("base", workspace=sys.argv[1], batch_size=3, fps=2, size=8, workers=1)
seen = [[[row["clip_id"], row["repeat"]] for row in batch.rows] for batch in loader]
dist.barrier()
dist.destroy_process_group()
print(json.dumps(seen))
"""


def test_the_parts_of_two_real_ranks_are_the_epoch(published: Workspace, tmp_path: Path) -> None:
    meeting = f"file://{tmp_path / 'meeting'}?world_size=2&rank="
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(published.root), f"{meeting}{rank}"], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    parts = [json.loads(rank.communicate(timeout=120)[0].splitlines()[-1]) for rank in ranks]
    order = keys(torch_loader("base", workspace=published.root, **SMALL))
    assert [tuple(row) for step in zip(*parts, strict=True) for batch in step for row in batch] == order


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with serving() as store:
        yield store


@pytest.fixture
def elsewhere(
    published: Workspace, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """A clone of a workspace whose versions are on a remote, without any of their files."""
    origin = Path(shutil.copytree(published.root, tmp_path / "origin"))
    if request.param == "S3":
        server: Store = request.getfixturevalue("server")
        server.log_in(monkeypatch)
        dvc(origin, "remote", "add", "--default", "store", f"s3://{BUCKET}/streamed")
        dvc(origin, "remote", "modify", "store", "endpointurl", server.url)
    else:
        dvc(origin, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    dvc(origin, "push", "--all-tags")
    git(origin, "add", "--force", ".dvc/config")
    git(origin, "commit", "--quiet", "-m", "remote")
    git(tmp_path, "clone", "--quiet", str(origin), str(tmp_path / "clone"))
    shutil.rmtree(origin)
    return Workspace(tmp_path / "clone")


@pytest.mark.parametrize("elsewhere", ["directory", "S3"], indirect=True)
def test_streamed_batches_are_the_same_and_no_pack_is_fetched(
    published: Workspace, elsewhere: Workspace, request: pytest.FixtureRequest
) -> None:
    here = torch_loader("base", workspace=published.root, **SMALL)
    far = torch_loader("base", workspace=elsewhere.root, stream=True, **SMALL)
    sizes = []
    for one, other in zip(here, far, strict=True):
        sizes += [row["media"]["size"] for row in other.rows]
        for row in (*one.rows, *other.rows):
            del row["video"]  # where the media lies on this disk, or nowhere
        assert same(one, other)
    assert not list(elsewhere.root.rglob("*.zip"))
    if "S3" in request.node.name:
        server: Store = request.getfixturevalue("server")
        ranges = [match for _, asked in server.gets if (match := re.fullmatch(r"bytes=(\d+)-(\d+)", asked))]
        lengths = [int(asked[2]) - int(asked[1]) + 1 for asked in ranges]
        assert sorted(length for length in lengths if length in sizes) == sorted(sizes), "a clip is one request"


@pytest.mark.parametrize("elsewhere", ["directory"], indirect=True)
def test_a_remote_that_is_gone_is_said(elsewhere: Workspace, tmp_path: Path) -> None:
    loader = torch_loader("base", workspace=elsewhere.root, stream=True, **SMALL)
    shutil.rmtree(tmp_path / "remote")
    with pytest.raises(CurateError, match=r"media/train-\w+\.zip cannot be read"):
        list(loader)
