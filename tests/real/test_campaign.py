"""Real footage: collecting for a capability stops by itself, accounts for every file, and loses none."""

import os
from pathlib import Path

import polars as pl
import pytest
import yaml

from curate.analyze.collect import collect
from curate.targets.collection.campaign import collect_for
from curate.workspace import create_workspace

REPOSITORY = Path(__file__).parents[2]
MEDIA = Path(os.environ.get("CURATE_REAL_MEDIA") or REPOSITORY.parent / "shared" / "media")
FILES = sorted(MEDIA.glob("*.mp4")) if MEDIA.is_dir() else []

pytestmark = pytest.mark.skipif(not FILES, reason=f"no real footage in {MEDIA}; CURATE_REAL_MEDIA names another place")


def test_a_campaign_on_real_footage_accounts_for_every_file_and_a_plain_collect_takes_the_rest(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "workspace", sample=True)
    for config in (workspace.configs / "sources").glob("*.yaml"):
        config.unlink()
    source = {"id": "real", "path": str(MEDIA), "licence": "LicenseRef-test", "include": ["**/*.mp4"]}
    (workspace.configs / "sources" / "real.yaml").write_text(yaml.safe_dump(source))
    done = collect_for(workspace, "roll", budget_hours=0.005, who="a test", why="real footage")
    rows = workspace.catalog.scan("outcomes").filter(pl.col("stage") == "collect").collect()
    assert rows.height == done.collect.inputs == len(list(MEDIA.rglob("*.mp4")))
    assert rows["item"].n_unique() == rows.height
    assert done.analysed_h >= 0.005 or done.stopped != "the budget of 0.005 h is spent"
    assert done.analysed_files + done.not_reached + done.copies + done.failed == done.collect.inputs
    assert all(row["reason"] for row in rows.iter_rows(named=True) if row["outcome"] != "ok")
    later = collect(workspace)
    assert later.filtered == 0 and later.ok + later.failed == later.inputs
