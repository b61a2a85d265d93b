"""Finds clips that show the same footage, and says which of them stands for the others.

1. Candidates: pairs whose clip embeddings have a cosine of at least `duplicates.near` (configs/analysis.yaml), each
   clip against its nearest ones in a FAISS index.
2. Confirmation: the pair's fingerprints must agree frame by frame under one alignment in time (`align`). CLIP alone
   cannot tell two takes of an action from two copies of a take; nor can pictures without their order.
3. Keepers (`keepers`), edges and outcomes are written; leakage groups read the edges.

An edge is `exact` where nothing was cut, sped up or mirrored and the score reaches EXACT: remuxes (1.00) and heavy
re-encodes (0.994 at least, crf 32), and changes too slight to tell from them. Every other edge is `near`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from curate import views
from curate.catalog import Catalog
from curate.dedupe import index
from curate.dedupe.align import Alignment, align
from curate.dedupe.fingerprint import Fingerprint, Span, VideoSpans, fingerprints
from curate.dedupe.keepers import COVERED, Edge, by_quality, select_keepers
from curate.identity import work_key
from curate.progress import Progress, silent
from curate.threads import one_thread
from curate.vectors import matrix
from curate.workspace import Workspace, new_run_id

VERSION = 3
EXACT = 0.99
_CONFIRM_TELL_EVERY = 256


@dataclass(frozen=True)
class DedupeSummary:
    """`exact`, `near`: edges by kind. `recall`: candidates found by the index, of those that brute force finds on a
    sample of clips; None where nothing had changed since the last run. `failed`: clips whose footage could not be
    read again; they are kept, and tried again at the next run."""

    clips: int
    kept: int
    exact: int
    near: int
    edges: int
    failed: int
    recall: float | None
    unchanged: bool
    seconds: float


def find_duplicates(workspace: Workspace, *, progress: Progress = silent) -> DedupeSummary:
    """Brings the duplicate edges, keepers and `dedupe` outcomes of the current clips up to date.

    Does nothing where the clips, their embeddings and the parameters are those of the last run.

    Raises:
        CurateError: another run of this stage holds the workspace's lock.
    """
    started = time.monotonic()
    with workspace.lock("dedupe"):
        catalog, analysis = workspace.catalog, workspace.analysis()
        clips = views.clips(catalog).collect()
        work = work_key("dedupe", VERSION, analysis.duplicates.model_dump(), clips.select("clip_id", "work_key").rows())
        done = _done(catalog, clips, work)
        if done is not None:
            return _summary(done, len(clips), recall=None, unchanged=True, started=started)
        embeddings = views.current_embeddings(catalog).select("clip_id", "vector").sort("clip_id").collect()
        pairs, recall = _candidates(embeddings, analysis.duplicates.near, analysis.duplicates.neighbours)
        spans = _spans(clips, {clip_id for pair in pairs for clip_id in pair})
        cache = workspace.cache("fingerprints")
        prints, failed = fingerprints(spans, cache, analysis.engine, progress=progress)
        with one_thread():
            edges = _confirm(pairs, prints, progress)
        dropped = select_keepers(by_quality(clips), edges)
        run_id = new_run_id("dedupe")
        rows = _edge_rows(edges, dropped)
        catalog.write("duplicates", pl.concat([rows, _no_longer_keepers(catalog, rows)]), run_id=run_id, work_key=work)
        outcomes = _outcomes(clips, dropped, failed)
        catalog.write("outcomes", outcomes, run_id=run_id, work_key=work)
        return _summary(_Result(rows, outcomes), len(clips), recall=recall, unchanged=False, started=started)


@dataclass(frozen=True)
class _Result:
    edges: pl.DataFrame
    outcomes: pl.DataFrame


_EDGES: dict[str, Any] = {
    "clip_id": pl.String,
    "other_id": pl.String,
    "kind": pl.String,
    "score": pl.Float32,
    "keeper": pl.Boolean,
}
_OUTCOMES: dict[str, Any] = {
    "item": pl.String,
    "video_id": pl.String,
    "outcome": pl.String,
    "reason": pl.String,
    "value": pl.Float64,
}


def _done(catalog: Catalog, clips: pl.DataFrame, work: str) -> _Result | None:
    """What the last run wrote, if it did this very work and nothing failed."""
    outcomes = catalog.scan("outcomes").filter(pl.col("stage") == "dedupe", pl.col("work_key") == work).collect()
    if len(outcomes.join(clips.select(item="clip_id"), on="item", how="semi")) < len(clips):
        return None
    if "failed" in outcomes["outcome"]:
        return None
    edges = catalog.scan("duplicates").filter(pl.col("work_key") == work).collect()
    return _Result(edges, outcomes)


def _candidates(embeddings: pl.DataFrame, near: float, neighbours: int) -> tuple[list[tuple[str, str]], float]:
    if embeddings.is_empty():
        return [], 1.0
    vectors, ids = matrix(embeddings["vector"]), embeddings["clip_id"].to_list()
    pairs, _ = index.pairs_above(vectors, near, k=neighbours)
    recall = index.recall(vectors, pairs, near, k=neighbours)
    return [(ids[first], ids[second]) for first, second in pairs.tolist()], recall


def _spans(clips: pl.DataFrame, wanted: set[str]) -> list[VideoSpans]:
    chosen = clips.filter(pl.col("clip_id").is_in(list(wanted)))
    return [
        VideoSpans(str(path), tuple(Span(*row) for row in rows.select("clip_id", "start_s", "end_s").iter_rows()))
        for (path,), rows in chosen.group_by("path", maintain_order=True)
    ]


def _confirm(pairs: Sequence[tuple[str, str]], prints: dict[str, Fingerprint], progress: Progress) -> list[Edge]:
    edges = []
    for done, (first, second) in enumerate(pairs, start=1):
        if first in prints and second in prints:
            found = align(prints[first], prints[second])
            if found is not None and found.same:
                edges.append(_edge(first, second, found))
        if done % _CONFIRM_TELL_EVERY == 0 or done == len(pairs):
            progress("pairs", done, len(pairs))
    return edges


def _edge(first: str, second: str, found: Alignment) -> Edge:
    same_span = found.speed == 1 and not found.mirrored and min(found.share_a, found.share_b) >= COVERED
    kind: Literal["exact", "near"] = "exact" if same_span and found.score >= EXACT else "near"
    return Edge(first, second, kind, found.score, found.share_a, found.share_b)


def _edge_rows(edges: Sequence[Edge], dropped: dict[str, Edge]) -> pl.DataFrame:
    """One row for each edge; an edge to a keeper is written from the dropped clip's side."""
    rows = []
    for edge in edges:
        first, second = edge.first, edge.second
        keeper = dropped.get(first) is edge or dropped.get(second) is edge
        if dropped.get(second) is edge:
            first, second = second, first
        rows.append((first, second, edge.kind, edge.score, keeper))
    return pl.DataFrame(rows, schema=_EDGES, orient="row")


def _no_longer_keepers(catalog: Catalog, rows: pl.DataFrame) -> pl.DataFrame:
    """Earlier keeper edges that this run did not write as such: links still, but nobody is dropped for them."""
    earlier = catalog.scan("duplicates").filter("keeper").collect()
    stale = earlier.join(rows, on=["clip_id", "other_id"], how="anti")
    return stale.select(pl.col(name).cast(dtype) for name, dtype in _EDGES.items()).with_columns(keeper=pl.lit(False))


def _outcomes(clips: pl.DataFrame, dropped: dict[str, Edge], failed: dict[str, str]) -> pl.DataFrame:
    rows: list[tuple] = []
    for clip_id, video_id in clips.select("clip_id", "video_id").iter_rows():
        if edge := dropped.get(clip_id):
            keeper = edge.second if edge.first == clip_id else edge.first
            rows.append((clip_id, video_id, "filtered", f"duplicate of {keeper}", edge.score))
        elif clip_id in failed:
            rows.append((clip_id, video_id, "failed", failed[clip_id], None))
        else:
            rows.append((clip_id, video_id, "ok", None, None))
    return pl.DataFrame(rows, schema=_OUTCOMES, orient="row").with_columns(stage=pl.lit("dedupe"))


def _summary(result: _Result, clips: int, *, recall: float | None, unchanged: bool, started: float) -> DedupeSummary:
    kinds = result.edges["kind"].to_list()
    outcomes = result.outcomes["outcome"].to_list()
    return DedupeSummary(
        clips=clips,
        kept=clips - outcomes.count("filtered"),
        exact=kinds.count("exact"),
        near=kinds.count("near"),
        edges=len(kinds),
        failed=outcomes.count("failed"),
        recall=recall,
        unchanged=unchanged,
        seconds=time.monotonic() - started,
    )
