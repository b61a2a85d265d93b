"""Why clips came into a mix, and why they went out: the reasons of `curate mix diff`.

The catalog never overwrites labels, reviews, duplicates and withdrawals, so it is asked as it was when each of the two
versions was made. Without one, the locks alone are asked.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from deltalake.exceptions import DeltaError

from curate import views
from curate.catalog import TABLES, Catalog
from curate.conditions import matching
from curate.errors import InputError
from curate.mixes.load import read_lock
from curate.mixes.split import SPLITS
from curate.mixes.versions import git, resolve, versions
from curate.workspace import Workspace


@dataclass(frozen=True)
class Change:
    """A clip that came in, went out, or is in both but not as it was.

    Attributes:
        clip_id: which.
        split: in the newer version; of a clip that went out, in the older one.
        reason: a few words that many clips share: "labelled since", "withdrawn", ...
        detail: what is particular to this one.
    """

    clip_id: str
    split: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    name: str
    revision: str
    commit: str
    date: datetime
    lock: dict[str, Any]
    clips: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, workspace: Workspace, name: str, rev: str | None) -> "Side":
        commit = resolve(workspace, name, rev)
        lock = read_lock(name, rev, workspace=workspace.root)
        known = [each for each in versions(workspace, name) if rev in (None, each.revision, each.tag)]
        if known:
            revision, date = known[-1].revision, known[-1].date
        else:
            revision, date = str(rev or commit[:12]), git(workspace.root, "show", "-s", "--format=%cI", commit).strip()
        clips = {clip["clip_id"]: clip for clip in lock["clips"]}
        return cls(name, revision, commit, datetime.fromisoformat(date), lock, clips)

    def place(self, clip_id: str) -> tuple[int, str]:
        return SPLITS.index(self.clips[clip_id]["split"]), clip_id


class Reasons:
    """Why clips came and went. Of several reasons the first in the order of the checks is told."""

    def __init__(self, workspace: Workspace, old: Side, new: Side) -> None:
        self._old, self._new = old, new
        self._catalog = workspace.catalog if (workspace.state / "catalog" / "clips").is_dir() else None
        moved = [each["clip_id"] for one, other in ((old, new), (new, old)) for each in one.clips.values()
                 if each["clip_id"] not in other.clips]  # fmt: skip
        ids = pl.DataFrame({"clip_id": moved}, schema={"clip_id": pl.String})
        self._labels = [self._labels_at(ids, side) for side in (old, new)]
        self._contested = [self._contested_at(ids, side) for side in (old, new)]
        self._keepers = [self._keepers_at(ids, side) for side in (old, new)]
        self._counts = Counter(
            (column, each["split"], each[column]) for each in old.clips.values() for column in ("video_id", "source")
        )
        self._fresh = self._new_clips(ids)
        self._withdrawn = self._withdrawn_among(ids)
        self._gone = self._not_current(ids)
        self._fails = [self._failing(ids, side.lock["mix"].get("where")) for side in (old, new)]

    def came(self, clip: Mapping[str, Any]) -> Change:
        return self._said(clip, self._why_in(clip))

    def went(self, clip: Mapping[str, Any]) -> Change:
        return self._said(clip, self._why_out(clip))

    def _said(self, clip: Mapping[str, Any], why: tuple[str, str]) -> Change:
        return Change(clip["clip_id"], clip["split"], *why)

    def _why_in(self, clip: Mapping[str, Any]) -> tuple[str, str]:
        clip_id, roles = clip["clip_id"], clip["roles"]
        before = self._old.lock
        if clip_id in self._fresh:
            return "collected since", f"from {clip['source']}"
        found = next(self._label_news(clip_id, ("present", "absent")), None)
        if found:
            return found
        settled = self._contested[0].get(clip_id, set()) - self._contested[1].get(clip_id, set())
        if settled:
            return "dispute settled", f"about {', '.join(sorted(settled))}"
        if self._keepers[0].get(clip_id) and not self._keepers[1].get(clip_id):
            return "kept again", f"{self._keepers[0][clip_id]} stood for it"
        if not _allowed(clip, before["mix"]):
            return "licence allowed now", clip["licence"]
        if clip_id in self._fails[0]:
            return "condition changed", f"`where` was {before['mix'].get('where')}"
        if any(clip["video_id"] in _paying(conflict) for conflict in before["conflicts"]):
            return "split settled", "withheld before"
        return self._of_roles(roles, 1) or self._config_news(clip["split"]) or ("chosen instead", "eligible before too")

    def _why_out(self, clip: Mapping[str, Any]) -> tuple[str, str]:
        clip_id, roles = clip["clip_id"], clip["roles"]
        if clip_id in self._withdrawn:
            return "withdrawn", self._withdrawn[clip_id]
        found = next(self._label_news(clip_id, ("present", "absent", "unsure", "bad_clip", "")), None)
        if found:
            return found
        disputed = self._contested[1].get(clip_id, set()) - self._contested[0].get(clip_id, set())
        if disputed:
            return "contested now", f"annotators differ on {', '.join(sorted(disputed))}"
        if any(clip["video_id"] in _paying(conflict) for conflict in self._new.lock["conflicts"]):
            return "withheld", "footage that measures shows the same"
        keeper = self._keepers[1].get(clip_id)
        if keeper and keeper != self._keepers[0].get(clip_id):
            return "better twin", f"{keeper} stands for it"
        if not _allowed(clip, self._new.lock["mix"]):
            return "licence not allowed", clip["licence"]
        if clip_id in self._fails[1]:
            return "condition changed", f"`where` is {self._new.lock['mix'].get('where')}"
        if clip_id in self._gone:
            return "gone", "its file is gone, or was analysed anew"
        return (
            self._over_limit(clip)
            or self._of_roles(roles, -1)
            or self._config_news(clip["split"])
            or ("displaced", "still eligible, others were chosen")
        )

    def _of_roles(self, roles: list[str], sign: int) -> tuple[str, str] | None:
        """What of the mix itself speaks for more (sign 1) or less (-1) of a clip's roles."""
        locks = self._old.lock, self._new.lock
        there, lacking = (locks if sign < 0 else locks[::-1])[:2]
        for role in roles:
            if role in there["requested"] and role not in lacking["requested"]:
                return "share changed", f"{role} {'left' if sign < 0 else 'joined'} the mix"
        for role in roles:
            shares = [lock["requested"].get(role) for lock in locks]
            if None not in shares and sign * (shares[1] - shares[0]) > 1e-9:
                return "share changed", f"{role}: {shares[0]:.1%} -> {shares[1]:.1%}"
        for role in roles:
            specs = [lock["capabilities"].get(role, {}).get("version") for lock in locks]
            if None not in specs and specs[0] != specs[1]:
                return "spec changed", f"of {role}"
        return None

    def _over_limit(self, clip: Mapping[str, Any]) -> tuple[str, str] | None:
        """The limit on amounts that a clip of the older version is over in the newer one."""
        limits = self._new.lock["mix"]["limits"]
        for limit, column in (("per_video", "video_id"), ("per_source", "source")):
            most = limits.get(limit)
            if most is None or (limit == "per_source" and clip["split"] != "train"):
                continue
            before = self._counts.get((column, clip["split"], clip[column]), 0)
            if before > most:
                return f"limits.{limit}", f"{most} now, {before} were of {clip[column]}"
        return None

    def _config_news(self, split: str) -> tuple[str, str] | None:
        """How the mix's own config changed, as far as it decides on the clips of a split."""
        fields = ("budget", "replay", "capabilities", "limits", "splits", "seed") if split == "train" else ("limits",)
        before, after = ({name: side.lock["mix"].get(name) for name in fields} for side in (self._old, self._new))
        changed = [f"{path} {words(was)} -> {words(now)}" for path, was, now in changed_fields(before, after)]
        return ("config changed", "; ".join(changed)) if changed else None

    def _label_news(self, clip_id: str, verdicts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """How a clip's labels changed, where they now say one of `verdicts`; "" is none any more."""
        before, after = (labels.get(clip_id, {}) for labels in self._labels)
        capabilities = self._old.lock["capabilities"].keys() | self._new.lock["capabilities"].keys()
        for name in sorted((before.keys() | after.keys()) & capabilities):
            was, now = before.get(name, ("", ""))[0], after.get(name, ("", ""))[0]
            if was == now or now not in verdicts:
                continue
            if now == "bad_clip":
                yield "called bad", f"by {after[name][1]}"
            elif not was:
                yield "labelled since", f"{name} {now} by {after[name][1]}"
            elif not now:
                yield "label withdrawn", f"{name} {was} by {before[name][1]}"
            else:
                yield "verdict changed", f"{name} {was} -> {now} by {after[name][1]}"

    def _labels_at(self, ids: pl.DataFrame, side: Side) -> dict[str, dict[str, tuple[str, str]]]:
        """By clip and capability, the verdict in force then, and whose it was."""
        if self._catalog is None:
            return {}
        rows = _at(self._catalog, "labels", side).join(ids.lazy(), on="clip_id", how="semi")
        review = pl.col("purpose") == "review"
        live = rows.sort("updated_at", review, maintain_order=True).unique("label_id", keep="last", maintain_order=True)
        live = live.filter(~pl.col("deleted").fill_null(value=False), pl.col("purpose").fill_null("label") != "gold")
        last = live.unique(["clip_id", "capability"], keep="last", maintain_order=True).collect()
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for clip_id, name, *said in last.select("clip_id", "capability", "verdict", "annotator").iter_rows():
            found.setdefault(clip_id, {})[name] = (said[0], said[1])
        return found

    def _contested_at(self, ids: pl.DataFrame, side: Side) -> dict[str, set[str]]:
        if self._catalog is None:
            return {}
        rows = _at(self._catalog, "agreements", side).filter("contested").join(ids.lazy(), on="clip_id", how="semi")
        found: dict[str, set[str]] = {}
        for clip_id, name in rows.select("clip_id", "capability").collect().iter_rows():
            found.setdefault(clip_id, set()).add(name)
        return found

    def _keepers_at(self, ids: pl.DataFrame, side: Side) -> dict[str, str | None]:
        if self._catalog is None:
            return {}
        rows = _at(self._catalog, "keepers", side).join(ids.lazy(), on="clip_id", how="semi")
        return dict(rows.select("clip_id", "keeper_id").collect().iter_rows())

    def _new_clips(self, ids: pl.DataFrame) -> set[str]:
        """Clips that the catalog has, and had not when the older version was made."""
        if self._catalog is None:
            return set()
        before = _at(self._catalog, "clips", self._old).select("clip_id")
        now = self._catalog.scan("clips").join(ids.lazy(), on="clip_id", how="semi")
        return set(now.join(before, on="clip_id", how="anti").select("clip_id").collect()["clip_id"])

    def _withdrawn_among(self, ids: pl.DataFrame) -> dict[str, str]:
        if self._catalog is None:
            return {}
        rows = [clip for clip in self._old.clips.values() if clip["clip_id"] not in self._new.clips]
        columns = ("clip_id", "video_id", "source", "licence", "start_s", "end_s")
        clips = pl.DataFrame(rows, schema={name: pl.Float64 if name.endswith("_s") else pl.String for name in columns})
        gone = set(views.withdrawn_among(self._catalog, clips.lazy()).collect()["clip_id"])
        held = views.withdrawals(self._catalog).select("kind", "item", "asked", "why", "video_id").collect().rows()
        why = {(kind, item): f"{asked}: {reason}" for kind, item, asked, reason, _ in held}
        spans = {video_id: f"{asked}: {reason}" for kind, _, asked, reason, video_id in held if kind == "clip"}
        found = {}
        for clip in rows:
            if clip["clip_id"] in gone:
                asked = (("video", clip["video_id"]), ("source", clip["source"]), ("licence", clip["licence"]))
                told = (why[named] for named in asked if named in why)
                found[clip["clip_id"]] = next(told, spans.get(clip["video_id"], ""))
        return found

    def _not_current(self, ids: pl.DataFrame) -> set[str]:
        if self._catalog is None:
            return set()
        current = views.clips(self._catalog).select("clip_id")
        return set(ids.lazy().join(current, on="clip_id", how="anti").collect()["clip_id"])

    def _failing(self, ids: pl.DataFrame, where: str | None) -> set[str]:
        """Of the clips that the catalog has now, those that do not fulfil a condition."""
        if self._catalog is None or not where:
            return set()
        rows = views.clips(self._catalog).join(ids.lazy(), on="clip_id", how="semi").collect()
        try:
            return set(rows.filter(~matching(rows, where))["clip_id"])
        except InputError:  # a condition over what is not measured any more
            return set()


def _at(catalog: Catalog, table: str, side: Side) -> pl.LazyFrame:
    """The rows of a table as they stood when a version was made, which its lock pins.

    A catalog that was made anew has another history: there it is asked by date, which tags know to the second.
    """
    version = side.lock["catalog"].get(table)
    if version is None:
        return pl.LazyFrame(schema=catalog.schema(table))
    try:
        rows = catalog.rows(table, version)
        rows.select(pl.len()).collect()
    except (DeltaError, OSError):
        rows = catalog.rows(table).filter(pl.col("written_at").dt.truncate("1s") <= side.date)
    return rows.sort("written_at", maintain_order=True).unique(TABLES[table].key, keep="last", maintain_order=True)


def _allowed(clip: Mapping[str, Any], mix: Mapping[str, Any]) -> bool:
    allowed = mix["limits"].get("licences")
    return allowed is None or clip["licence"] in allowed


def _paying(conflict: str) -> list[str]:
    """The videos that a conflict withholds, as a lock tells it."""
    return conflict.rpartition("withheld from every split: ")[2].split(", ")


def changed_fields(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The fields in which two configs differ: path with dots, value before and after."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from changed_fields(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif before != after:
        yield path, before, after


def words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {words(part)}" for key, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return ", ".join(words(part) for part in value) or "nothing"
    return str(value)
