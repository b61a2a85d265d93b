"""The whole way on clips of the sample world: scored, chosen, labelled, scored again, and the interval holds."""

from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.gap_archives import draw_pool, footage
from curate.targets.choosing.choose import choose
from curate.targets.gaps.coverage import coverage
from curate.targets.scoring.score import score


def test_after_each_round_of_labels_the_interval_holds_and_closes(tmp_path: Path) -> None:
    made = footage(draw_pool(60, seed=1), "bounce", 0.1, 300, tmp_path / "workspace", np.random.default_rng(1))
    catalog, widths = made.workspace.catalog, []
    score(made.workspace)
    assert coverage(made.workspace).capabilities["candidates"].to_list() == [None]
    labelled: set[str] = set()
    for number in range(2):
        picked = choose(made.workspace, "bounce", 70, seed=number)
        orders = picked.select("clip_id", "reason", "inclusion", capability=pl.lit("bounce"))
        catalog.write("orders", orders, run_id="test")
        catalog.write("labels", [made.label("bounce", clip) for clip in picked["clip_id"]], run_id="test")
        score(made.workspace)
        labelled |= set(picked["clip_id"])
        [row] = coverage(made.workspace).capabilities.iter_rows(named=True)
        truth = sum(take.action == "bounce" for clip, take in made.takes.items() if clip not in labelled)
        assert row["candidates_low"] <= truth <= row["candidates_high"]
        widths.append(row["candidates_high"] - row["candidates_low"])
    assert widths[1] < widths[0] < 150
