"""Near-duplicates across splits, whether anybody linked them or not.

Every clip that measures is searched for among the clips of the other sides, all of them, by its vector: flat, in blocks
of matrix products. What is near is then compared as `curate dedupe` compares, in pixels and in motion, since vectors of
a model that knows little make many different clips near; a pair of which a fingerprint is missing is told apart as
unproven. Links that the catalog has count too, near or not.

Vectors are those of the catalog where it has the clip, else those that were published with the version. At 512
dimensions 2,000 clips that measure were searched for among 100,000 in 15 s, on two cores that others used too. Of the
copies and takes that `curate dedupe` links on the sample world, 0.93 to 1.00 are found by vectors alone; what only the
descriptors of `curate.dedupe.descriptor` see as near is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from curate.catalog import Catalog
from curate.dedupe.compare import EDGES, Batch, edges_of
from curate.dedupe.groups import join_groups
from curate.dedupe.semantic import agreement
from curate.engine import mapped
from curate.errors import CurateError
from curate.index import flat
from curate.index.cosine import exact, halved
from curate.mixes.load import load_mix, read_lock
from curate.mixes.split import SPLITS
from curate.progress import Progress, silent
from curate.specs.analysis import Duplicates
from curate.vectors import matrix, pack, unit, unpack
from curate.workspace import Workspace, new_run_id

_QUERIES_AT_ONCE = 1024
_PAIRS_AT_ONCE = 128
_WORTH_PROCESSES = 4
_PAIR: dict[str, Any] = {
    "clip_id": pl.String, "split": pl.String, "other_id": pl.String, "other_split": pl.String,
    "similarity": pl.Float32, "kind": pl.String,
}  # fmt: skip
_VECTORS: dict[str, Any] = {"clip_id": pl.String, "model_id": pl.String, "vector": pl.Binary}


@dataclass(frozen=True)
class Pairs:
    """Pairs of clips on two sides.

    Attributes:
        found: pairs that show the same: clip_id < other_id, the split of each, similarity (cosine; null where a vector
            is missing) and kind (exact, copy, semantic).
        unproven: pairs as near as two takes, of which one has no fingerprint here; kind is null.
        edges: of the found pairs that the catalog does not link, rows as of `duplicates`.
        compared: pairs compared in pixels.
        unseen: clips without a vector.
        capped: clips with more near ones on another side than `duplicates.neighbours`; the nearest were compared.
    """

    found: pl.DataFrame
    unproven: pl.DataFrame
    edges: pl.DataFrame
    compared: int
    unseen: int
    capped: int


def near_duplicates(
    workspace: Workspace, rows: pl.DataFrame, *, new: pl.Series | None = None, progress: Progress = silent
) -> Pairs:
    """The pairs of clips on two sides that show the same.

    Args:
        rows: mix, revision, clip_id, video_id, split of all versions.
        new: only pairs with one of these clips; all where not given.
        progress: told of clips searched for and pairs compared.
    """
    catalog, analysis = workspace.catalog, workspace.analysis()
    sides = rows.select("clip_id", "video_id", "split").unique().sort("clip_id", "split")
    if sides["split"].n_unique() < 2 or (new is not None and new.is_empty()):
        nothing = pl.DataFrame(schema=_PAIR)
        return Pairs(nothing, nothing, pl.DataFrame(schema=EDGES), 0, 0, 0)
    vectors = _vectors(workspace, rows)
    near, capped = _near(sides, vectors, analysis.duplicates, new, progress)
    linked = _linked(catalog, sides, new)
    unlinked = near.join(linked, on=["clip_id", "other_id"], how="anti")
    pairs = unlinked.unique(["clip_id", "other_id"], maintain_order=True)
    materials = _Materials(catalog, pairs, analysis.duplicates)
    batches = materials.batches()
    edges: list[tuple[Any, ...]] = []
    for done, some in enumerate(mapped(analysis.engine, least=_WORTH_PROCESSES)(edges_of, batches), start=1):
        edges += some
        progress("pairs", min(done * _PAIRS_AT_ONCE, materials.comparable.height), materials.comparable.height)
    shown = pl.DataFrame(edges, schema=EDGES, orient="row").sort("clip_id", "other_id")
    proven = unlinked.drop("kind").join(shown.select("clip_id", "other_id", "kind"), on=["clip_id", "other_id"])
    known = linked.join(near.select("clip_id", "split", "other_id", "other_split", "similarity"),
                        on=["clip_id", "split", "other_id", "other_split"], how="left")  # fmt: skip
    found = pl.concat([proven.select(*_PAIR), known.select(*_PAIR)]).sort("clip_id", "other_id", "split", "other_split")
    unproven = unlinked.drop("kind").join(materials.alike(), on=["clip_id", "other_id"], how="semi")
    unseen = sides["clip_id"].n_unique() - vectors["clip_id"].n_unique()
    none = pl.lit(None, pl.String).alias("kind")
    return Pairs(found, unproven.with_columns(none).select(*_PAIR), shown, materials.comparable.height, unseen, capped)


def link(catalog: Catalog, pairs: Pairs) -> None:
    """Binds the videos of pairs that show the same, as `curate dedupe` would have; groups first, as there."""
    ends = pl.concat([pairs.found["clip_id"], pairs.found["other_id"]]).unique().to_frame("clip_id").lazy()
    of = catalog.scan("clips").join(ends, on="clip_id", how="semi").select("clip_id", "video_id").collect()
    other = of.rename({"clip_id": "other_id", "video_id": "other_video"})
    links = pairs.found.join(of, on="clip_id").join(other, on="other_id").select("video_id", "other_video")
    run_id = new_run_id("mix")
    known = catalog.scan("groups").select("video_id", "group_id").collect()
    catalog.write("groups", join_groups(known, links), run_id=run_id)
    catalog.write("duplicates", pairs.edges, run_id=run_id)


def _vectors(workspace: Workspace, rows: pl.DataFrame) -> pl.DataFrame:
    """clip_id, model_id and the clip's vector, of each clip that has one here or in a version."""
    wanted = rows.select("clip_id").unique()
    here = workspace.catalog.rows("embeddings").select(*_VECTORS, "written_at")
    found = here.join(wanted.lazy(), on="clip_id", how="semi").collect()
    known = found.sort("written_at").unique("clip_id", keep="last").select(*_VECTORS)
    missing = wanted.join(known, on="clip_id", how="anti")
    parts = [known]
    for mix, revision in rows.select("mix", "revision").unique().sort("mix", "revision", descending=True).iter_rows():
        own = (pl.col("mix") == mix) & (pl.col("revision") == revision)
        if missing.join(rows.filter(own), on="clip_id", how="semi").is_empty():
            continue
        parts.append(_published_vectors(workspace, mix, revision).join(missing, on="clip_id", how="semi"))
        missing = missing.join(parts[-1], on="clip_id", how="anti")
    return pl.concat(parts).sort("clip_id")


def _published_vectors(workspace: Workspace, mix: str, revision: str) -> pl.DataFrame:
    """The vectors that a version was published with; none where it has none, or they cannot be had any more."""
    nothing = pl.DataFrame(schema=_VECTORS)
    lock = read_lock(mix, revision, workspace=workspace.root)
    if not lock.get("embedding_model"):
        return nothing
    try:
        splits = load_mix(mix, revision, media=False, vectors=True, workspace=workspace.root)
    except CurateError:
        return nothing
    rows = []
    for split in splits.values():
        for row in split.select_columns(["clip_id", "embedding_model", "frame_vectors"]):
            if row["frame_vectors"]:
                mean = unit(np.asarray(row["frame_vectors"], np.float32).mean(axis=0))
                rows.append((row["clip_id"], row["embedding_model"], pack(mean)))
    return pl.DataFrame(rows, schema=_VECTORS, orient="row").unique("clip_id")


def _near(
    sides: pl.DataFrame, vectors: pl.DataFrame, spec: Duplicates, new: pl.Series | None, progress: Progress
) -> tuple[pl.DataFrame, int]:
    """Pairs on two sides whose vectors are near, clip_id < other_id; and how many clips have more than were taken.

    Only vectors of one model are comparable.
    """
    rows = sides.join(vectors, on="clip_id")
    parts, capped = [pl.DataFrame(schema=_PAIR)], 0
    for (_,), own in rows.group_by("model_id", maintain_order=True):
        halves = halved(matrix(own["vector"]))
        split = own["split"].to_numpy()
        is_new = np.ones(own.height, bool) if new is None else own["clip_id"].is_in(new.implode()).to_numpy()
        for one, other in combinations(SPLITS, 2):
            first, second = np.flatnonzero(split == one), np.flatnonzero(split == other)
            asked = [(first, second)] if new is not None else []
            asked += [(second, first)] if new is not None or len(second) <= len(first) else [(first, second)]
            for queries, held in asked:
                queries = queries[is_new[queries]]
                if len(queries) and len(held):
                    found, more = _search(own, halves, queries, held, spec, progress)
                    parts.append(found)
                    capped += more
    pairs = pl.concat(parts).unique(["clip_id", "split", "other_id", "other_split"])
    return pairs.sort("clip_id", "other_id", "split", "other_split"), capped


def _search(
    rows: pl.DataFrame, halves: np.ndarray, queries: np.ndarray, held: np.ndarray, spec: Duplicates, progress: Progress
) -> tuple[pl.DataFrame, int]:
    """The nearest of `held` for each of `queries`, both positions in `rows`, from `duplicates.near` on."""
    least, capped = min(spec.near, spec.semantic), 0
    ids, videos = rows.select("clip_id", "split"), rows["video_id"].to_numpy()
    among, parts = halves[held], []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        part = queries[start : start + _QUERIES_AT_ONCE]
        blocks = [(asked, row) for asked, row, _ in flat.above(among, halves[part], least)]
        asked, row = (np.concatenate([block[at] for block in blocks]) for at in (0, 1))
        one, other = part[asked], held[row]
        kept = videos[one] != videos[other]
        one, other = one[kept], other[kept]
        score = exact(halves, one, halves, other)
        found = pl.DataFrame({"one": one, "other": other, "similarity": score}).filter(pl.col("similarity") >= least)
        found = found.sort("one", "similarity", "other", descending=[False, True, False])
        place = pl.int_range(pl.len()).over("one")
        capped += found.filter(place == spec.neighbours).height
        parts.append(found.filter(place < spec.neighbours))
        progress("clips searched for", start + len(part), len(queries))
    near = pl.concat(parts)
    return _ordered(ids[near["one"]], ids[near["other"]], near["similarity"]), capped


def _ordered(first: pl.DataFrame, second: pl.DataFrame, similarity: pl.Series) -> pl.DataFrame:
    """Pairs of rows (clip_id, split), the smaller clip first."""
    pairs = first.with_columns(
        other_id=second["clip_id"], other_split=second["split"], similarity=similarity.cast(pl.Float32), kind=None
    )
    turned = pl.col("clip_id") > pl.col("other_id")
    return pairs.select(
        clip_id=pl.when(turned).then("other_id").otherwise("clip_id"),
        split=pl.when(turned).then("other_split").otherwise("split"),
        other_id=pl.when(turned).then("clip_id").otherwise("other_id"),
        other_split=pl.when(turned).then("split").otherwise("other_split"),
        similarity="similarity",
        kind=pl.col("kind").cast(pl.String),
    )


def _linked(catalog: Catalog, sides: pl.DataFrame, new: pl.Series | None) -> pl.DataFrame:
    """Pairs on two sides that the catalog links, with the kind of the link."""
    own = sides.select("clip_id", "split").lazy()
    other = sides.select(other_id="clip_id", other_split="split").lazy()
    edges = catalog.scan("duplicates").select("clip_id", "other_id", "kind")
    found = edges.join(own, on="clip_id").join(other, on="other_id").filter(pl.col("split") != pl.col("other_split"))
    if new is not None:
        found = found.filter(pl.col("clip_id").is_in(new.implode()) | pl.col("other_id").is_in(new.implode()))
    return found.collect()


class _Materials:
    """What is needed to compare pairs, as far as it is here."""

    def __init__(self, catalog: Catalog, pairs: pl.DataFrame, spec: Duplicates) -> None:
        self._spec = spec
        ends = pl.concat([pairs["clip_id"], pairs["other_id"]]).unique().to_frame("clip_id").lazy()

        def of(table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
            rows = catalog.scan(table).select("clip_id", *columns).join(ends, on="clip_id", how="semi")
            return rows.collect().iter_rows()

        self._spans = {clip_id: (start_s, end_s) for clip_id, start_s, end_s in of("clips", "start_s", "end_s")}
        self._pictures = {clip_id: pictures for clip_id, pictures in of("fingerprints", "pictures") if pictures}
        self._frames = {
            clip_id: unpack(vectors, len(times_s))
            for clip_id, times_s, vectors in of("embeddings", "frame_times_s", "frame_vectors")
            if vectors and times_s
        }
        whole = pl.Series([clip_id for clip_id in self._pictures if clip_id in self._spans], dtype=pl.String)
        is_here = pl.col("clip_id").is_in(whole.implode()) & pl.col("other_id").is_in(whole.implode())
        self.comparable = pairs.filter(is_here)
        """Pairs of which both fingerprints are here."""
        self._others = pairs.filter(~is_here)

    def batches(self) -> list[Batch]:
        """The comparable pairs, for `edges_of`."""
        return (
            [self._batch(part) for part in self.comparable.iter_slices(_PAIRS_AT_ONCE)]
            if self.comparable.height
            else []
        )

    def alike(self) -> pl.DataFrame:
        """The other pairs that are as near as two takes of one thing: by their frames, or else as whole clips."""
        kept = []
        for clip_id, other_id, similarity in self._others.select("clip_id", "other_id", "similarity").iter_rows():
            one, other = self._frames.get(clip_id), self._frames.get(other_id)
            score = similarity if one is None or other is None else agreement(one, other)
            kept.append(score >= self._spec.semantic)
        return self._others.filter(pl.Series(kept, dtype=pl.Boolean)).select("clip_id", "other_id")

    def _batch(self, pairs: pl.DataFrame) -> Batch:
        both = pl.col("similarity") >= self._spec.semantic
        has_frames = pl.Series(list(self._frames), dtype=pl.String)
        both &= pl.col("clip_id").is_in(has_frames.implode()) & pl.col("other_id").is_in(has_frames.implode())
        clips = pl.concat([pairs["clip_id"], pairs["other_id"]]).unique().to_list()
        return Batch(
            pairs.select("clip_id", "other_id", both).rows(),
            {clip_id: self._spans[clip_id] for clip_id in clips},
            {clip_id: self._pictures[clip_id] for clip_id in clips},
            {clip_id: self._frames[clip_id] for clip_id in clips if clip_id in self._frames},
            self._spec.semantic,
        )
