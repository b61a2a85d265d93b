"""Finds clips that show the same, says which of them stands for the others, and which videos that binds together.

1. The standing indexes are brought up to date with the current clips (`curate.standing.indexes`).
2. New clips, those without an outcome under these parameters, are asked about: `candidates`.
3. Candidate pairs are compared frame by frame: `compare`. Each edge is a fact of two clips and is written once.
4. `keepers` are chosen over all edges, and new edges are folded into the leakage `groups`.

So a run costs what is new, apart from reading ids. The edges and groups of a catalog that grew in batches are those of
one that came at once. Outcomes are written last: a run that is killed is done again by the next, to the same end.
"""

import time
from dataclasses import dataclass

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.dedupe.candidates import FRAMES, candidates, contents
from curate.dedupe.compare import compare
from curate.dedupe.descriptor import MATCH
from curate.dedupe.groups import join_groups, leakage_groups
from curate.dedupe.keepers import by_quality, select_keepers
from curate.engine import mapped
from curate.errors import CurateError
from curate.identity import work_key
from curate.index import here
from curate.progress import Progress, silent
from curate.specs.analysis import Duplicates, Engine
from curate.standing.indexes import MEANS, MOMENTS, Standing, standing
from curate.workspace import Workspace, new_run_id

VERSION = 4
"""Raised when edges change for the same clips and parameters."""
_RECALL_SAMPLE = 256
_WORTH_PROCESSES = 4
"""Batches of pairs from which on processes are started for them."""
_EDGE_KEY = pl.concat_str("key", "other_key", separator="-").alias("work_key")
"""The work that made an edge: that of both its clips."""
_NO_FINGERPRINT = "has no fingerprint: run `curate collect`"


@dataclass(frozen=True)
class DedupeSummary:
    """What a run found. Counts are of all current clips; `new` and `compared` (pairs) are what this run looked at.

    Attributes:
        exact, copy, semantic: edges by kind.
        capped: new clips with more than `duplicates.neighbours`, of which only the nearest were compared.
        largest_group: videos in the largest leakage group: a split cannot part them.
        failed: clips without a fingerprint; they are kept, and tried again at the next run.
        recall: neighbours the indexes find, of those that brute force finds for a sample; None where nothing is new.
        unchanged: nothing was written.
    """

    clips: int
    new: int
    kept: int
    compared: int
    exact: int
    copy: int
    semantic: int
    capped: int
    largest_group: int
    failed: int
    recall: float | None
    unchanged: bool
    seconds: float


def find_duplicates(workspace: Workspace, *, progress: Progress = silent) -> DedupeSummary:
    """Brings the duplicate edges, keepers, groups and `dedupe` outcomes of the current clips up to date.

    Raises:
        CurateError: another run of this stage holds the workspace's lock, or the index found less than
            `duplicates.recall` of what brute force finds; nothing was written then.
    """
    started = time.monotonic()
    with workspace.lock("dedupe"):
        catalog, analysis = workspace.catalog, workspace.analysis()
        spec, run_id = analysis.duplicates, new_run_id("dedupe")
        clips = _clips(catalog, spec)
        standing_edges = _standing_edges(catalog, clips)
        new = clips.filter(~pl.col("done"))["clip_id"]
        found = _Found(standing_edges.clear(), 0, 0, None, new.clear())
        if len(new):
            found = _compare_new(workspace, clips, new, spec, analysis.engine, progress)
            _write_edges(catalog, found.edges, clips, run_id)
        is_new = pl.col("clip_id").is_in(new.implode()) | pl.col("other_id").is_in(new.implode())
        edges = pl.concat([standing_edges.filter(~is_new), found.edges.select(standing_edges.columns)])
        keepers = _select_keepers(catalog, clips, edges, spec)
        written = _write_keepers(catalog, keepers, clips, run_id)
        written += _write_outcomes(catalog, clips, keepers, found.failed, run_id)
        groups = leakage_groups(catalog)
        kinds = edges["kind"].to_list()
        return DedupeSummary(
            clips=len(clips),
            new=len(new),
            kept=len(clips) - len(keepers),
            compared=found.compared,
            exact=kinds.count("exact"),
            copy=kinds.count("copy"),
            semantic=kinds.count("semantic"),
            capped=found.capped,
            largest_group=groups["group_id"].value_counts()["count"].max() or 0,  # type: ignore[arg-type]
            failed=len(found.failed),
            recall=found.recall,
            unchanged=not written,
            seconds=time.monotonic() - started,
        )


@dataclass(frozen=True)
class _Found:
    edges: pl.DataFrame
    compared: int
    capped: int
    recall: float | None
    failed: pl.Series


def _clips(catalog: Catalog, spec: Duplicates) -> pl.DataFrame:
    """The current clips, each with the `key` of its comparison and whether that is `done`, sorted by clip_id."""
    clips = (
        views.clips(catalog)
        .select(
            "clip_id", "video_id", "work_key", "start_s", "end_s", "duration_s", "licence", "width", "height",
            "bitrate_bps", "sharpness",
        )
        .sort("clip_id")
        .collect()
    )  # fmt: skip
    works = clips["work_key"].unique()
    parameters = {"near": spec.near, "semantic": spec.semantic, "neighbours": spec.neighbours}
    keys = pl.Series([work_key("dedupe", VERSION, parameters, work) for work in works], dtype=pl.String)
    outcomes = (
        catalog.scan("outcomes")
        .filter(pl.col("stage") == "dedupe", pl.col("outcome") != "failed")
        .select(clip_id="item", key="work_key", done=pl.lit(True))
        .collect()
    )
    keyed = clips.join(pl.DataFrame({"work_key": works, "key": keys}), on="work_key", maintain_order="left")
    return keyed.join(outcomes, on=["clip_id", "key"], how="left", maintain_order="left").with_columns(
        pl.col("done").fill_null(value=False)
    )


def _standing_edges(catalog: Catalog, clips: pl.DataFrame) -> pl.DataFrame:
    """Edges between current clips that were found under these parameters."""
    keys = clips.lazy().select("clip_id", "key")
    others = keys.rename({"clip_id": "other_id", "key": "other_key"})
    edges = catalog.scan("duplicates").drop("run_id", "written_at")
    known = edges.join(keys, on="clip_id").join(others, on="other_id").filter(pl.col("work_key") == _EDGE_KEY)
    return known.drop("work_key", "key", "other_key").sort("clip_id", "other_id").collect()


def _compare_new(
    workspace: Workspace, clips: pl.DataFrame, new: pl.Series, spec: Duplicates, engine: Engine, progress: Progress
) -> _Found:
    """Vectors are searched by all threads of this process, pairs compared in processes; on a cluster both spread."""
    run = mapped(engine) if engine.kind == "ray" else here
    frames, means, moments = (
        standing(workspace, kind, run=run, progress=progress) for kind in (FRAMES, MEANS, MOMENTS)
    )
    recall = min(_recall(frames, MATCH, spec), _recall(means, min(spec.near, spec.semantic), spec))
    if recall < spec.recall:
        raise CurateError(
            f"the index finds {recall:.3f} of the neighbours that brute force finds, less than {spec.recall:g}",
            where=frames.index.directory.parent,
            fix="Remove that directory, so that it is built again, or lower duplicates.recall; nothing was written",
        )
    asked = candidates(
        new,
        frames,
        means,
        contents(workspace.catalog, clips),
        near=spec.near,
        semantic=spec.semantic,
        limit=spec.neighbours,
        run=run,
        progress=progress,
    )
    edges = compare(
        asked.pairs,
        clips,
        frames,
        moments,
        semantic=spec.semantic,
        run=mapped(engine, least=_WORTH_PROCESSES),
        progress=progress,
    )
    failed = new.filter(~new.is_in(frames.items["clip_id"].implode()))
    return _Found(edges, len(asked.pairs), asked.capped, recall, failed)


def _recall(held: Standing, least: float, spec: Duplicates) -> float:
    return held.index.recall(sample=_RECALL_SAMPLE, k=spec.neighbours, threshold=least)


def _write_edges(catalog: Catalog, edges: pl.DataFrame, clips: pl.DataFrame, run_id: str) -> None:
    """Groups first: a video that is bound without its edge costs nothing, an edge that binds no videos would leak."""
    ends = clips.select("clip_id", "video_id", "key")
    others = ends.rename({"clip_id": "other_id", "video_id": "other_video", "key": "other_key"})
    joined = edges.join(ends, on="clip_id").join(others, on="other_id")
    known = catalog.scan("groups").select("video_id", "group_id").collect()
    catalog.write("groups", join_groups(known, joined.select("video_id", "other_video")), run_id=run_id)
    catalog.write("duplicates", joined.select(*edges.columns, _EDGE_KEY), run_id=run_id)


def _select_keepers(catalog: Catalog, clips: pl.DataFrame, edges: pl.DataFrame, spec: Duplicates) -> pl.DataFrame:
    """The keeper of each clip that is dropped."""
    labelled = views.labels(catalog).select("clip_id").unique().collect()["clip_id"]
    ranked = by_quality(clips.with_columns(labelled=pl.col("clip_id").is_in(labelled.implode())))
    lengths = clips.select("clip_id", "duration_s")
    shown = (
        edges.filter(pl.col("kind").is_in(spec.drop))
        .join(lengths, on="clip_id")
        .join(lengths.rename({"clip_id": "other_id", "duration_s": "other_duration_s"}), on="other_id")
        .with_columns(
            share=((pl.col("end_s") - pl.col("start_s")) / pl.col("duration_s")).fill_null(1.0),
            other_share=((pl.col("other_end_s") - pl.col("other_start_s")) / pl.col("other_duration_s")).fill_null(1.0),
        )
    )
    return select_keepers(ranked, shown.select("clip_id", "other_id", "kind", "score", "share", "other_share"))


def _write_keepers(catalog: Catalog, keepers: pl.DataFrame, clips: pl.DataFrame, run_id: str) -> int:
    """Writes the rows that changed, and for clips that are kept again rows without a keeper."""
    before = catalog.scan("keepers").select(keepers.columns).collect()
    current = clips.select("clip_id")
    again = before.filter(pl.col("keeper_id").is_not_null()).join(keepers, on="clip_id", how="anti")
    again = again.join(current, on="clip_id", how="semi").with_columns(
        pl.lit(None).alias(name) for name in keepers.columns[1:]
    )
    changed = keepers.join(before, on=keepers.columns, how="anti", nulls_equal=True)
    return catalog.write("keepers", pl.concat([changed, again.cast(keepers.schema)]), run_id=run_id)


def _write_outcomes(
    catalog: Catalog, clips: pl.DataFrame, keepers: pl.DataFrame, failed: pl.Series, run_id: str
) -> int:
    """Writes the outcomes that changed: each clip has one."""
    fails = pl.col("clip_id").is_in(failed.implode())
    reason = pl.when(fails).then(pl.lit(_NO_FINGERPRINT)).otherwise(pl.format("{} of {}", "kind", "keeper_id"))
    now = clips.join(keepers, on="clip_id", how="left").select(
        stage=pl.lit("dedupe"),
        item="clip_id",
        video_id="video_id",
        outcome=pl.when(fails)
        .then(pl.lit("failed"))
        .when(pl.col("keeper_id").is_not_null())
        .then(pl.lit("filtered"))
        .otherwise(pl.lit("ok")),
        reason=reason,
        value=pl.col("score").cast(pl.Float64),
        work_key="key",
    )
    before = catalog.scan("outcomes").filter(pl.col("stage") == "dedupe").select(now.columns).collect()
    return catalog.write("outcomes", now.join(before, on=now.columns, how="anti", nulls_equal=True), run_id=run_id)
