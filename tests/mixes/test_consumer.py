"""A consumer of mixes: another machine, as far as one can be had here.

What is clean: an environment of its own, made by `venv`, where the project is a wheel built from this tree; the
interpreter runs isolated (`-I`: no PYTHON* variables, no directory of its user, nothing from where it is started), with
an empty home, in a clone of the repository; the workspace that published is gone, and only the remote is left.

What is not: the libraries are those that are installed here, by a path to them, since to install 7 GB anew takes
minutes and a package index. So that a library is declared is not shown here; that none of those for development alone
is used, is.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from curate.mixes.build import build
from curate.mixes.versions import git
from curate.workspace import Workspace
from tests.conftest import REPOSITORY
from tests.mixes.killing import rows_of
from tests.mixes.test_publish import dvc
from tests.model.conftest import footage, published  # noqa: F401 - fixtures

CONSUMER = """
import hashlib, json, sys
from pathlib import Path
import curate, torch
from curate.model.train import train
from torch.nn import functional as F

version_1 = curate.load_mix("base", "v1")
rows = [
    {**row, "video": hashlib.md5(curate.clip_bytes(row)).hexdigest(), "split": split}
    for split in sorted(version_1) for row in version_1[split]
]
trained = train(curate.open_workspace("."), "base", "v1", steps=4)

model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    torch.nn.Linear(8, 1),
)
before = [weights.detach().clone() for weights in model.parameters()]
optimizer, seen, losses = torch.optim.AdamW(model.parameters(), lr=1e-2), [], []
for batch in curate.torch_loader("base", rev="v1", batch_size=4, fps=2, size=64, workers=1, seed=0):
    clips, times = batch.frames.shape[:2]
    said = model(batch.frames.flatten(0, 1) / 255).view(clips, times, 1)
    loss = F.binary_cross_entropy_with_logits(said, batch.on, weight=batch.known.float())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    seen += [row["clip_id"] for row in batch.rows]
    losses.append(loss.item())

print(json.dumps({
    "rows": hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest(),
    "train": sorted(row["clip_id"] for row in rows if row["split"] == "train"),
    "seen": sorted(seen),
    "losses": losses,
    "moved": any(not torch.equal(old, new) for old, new in zip(before, model.parameters())),
    "revision": trained.revision,
    "steps": trained.steps,
    "curate": curate.__file__,
    "prefix": sys.prefix,
    "path": sys.path,
    "modules": sorted({name.split(".")[0] for name in sys.modules}),
}))
"""

FOR_DEVELOPMENT = {"pytest", "hypothesis", "moto", "mypy", "playwright", "ray", "ruff", "sklearn", "webdataset"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a clean environment that has our wheel."""
    place = tmp_path_factory.mktemp("consumer")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build_it = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(place), str(REPOSITORY)]
    subprocess.run([*pip, *build_it], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "env")], check=True)
    python = place / "env" / "bin" / "python"
    (wheel,) = place.glob("curate-*.whl")
    install = ["--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    (packages,) = (place / "env" / "lib").glob("python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def test_a_consumer_pulls_version_1_after_version_3_was_released_and_trains_on_it(
    published: Workspace,  # noqa: F811 - a fixture
    python: Path,
    tmp_path: Path,
) -> None:
    workspace = Workspace(shutil.copytree(published.root, tmp_path / "producer"))
    dvc(workspace.root, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    dvc(workspace.root, "push", "--all-tags")
    git(workspace.root, "add", "configs", ".dvc/config")
    git(workspace.root, "commit", "--quiet", "--message", "configs and remote")
    rows = rows_of(workspace.root, "v1")
    mix = workspace.configs / "mixes" / "base.yaml"
    for revision, clips in (("v2", 20), ("v3", 12)):
        mix.write_text(yaml.safe_dump({**yaml.safe_load(mix.read_text()), "budget": {"clips": clips}}))
        assert build(workspace, "base", who="tests", why="a smaller budget").revision == revision
    assert rows_of(workspace.root, "v3") != rows
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(workspace.root), str(clone))
    shutil.rmtree(workspace.root)

    (tmp_path / "home").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(python), "-I", "-c", CONSUMER], cwd=clone, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rows"] == hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    assert (found["revision"], found["steps"]) == ("v1", 4)
    assert found["seen"] == found["train"], "every row of the split once"
    assert found["moved"] and all(loss > 0 for loss in found["losses"])
    assert found["curate"].startswith(found["prefix"]) and found["prefix"] == str(python.parents[1])
    assert str(REPOSITORY) not in found["path"]
    assert not FOR_DEVELOPMENT & set(found["modules"])
