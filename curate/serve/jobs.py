"""The queue of jobs, in SQLite: a job that is accepted is on disk before the client hears of it.

States go queued -> running -> done or failed, each change in one transaction (write-ahead log, synchronous=FULL), so
that a kill leaves a job in the state before or after. The server alone writes, and holds the workspace's lock while it
does: what is found running at its start was running when the last one ended, and waits again. A start of a job counts
before the job begins, so one that ends the server each time is not tried for ever; and a result is written only for
the start that it is of, so none is written twice.
"""

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from curate.errors import CurateError

STATES = ("queued", "running", "done", "failed")

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    request TEXT NOT NULL,
    model TEXT NOT NULL,
    asset TEXT,
    idempotency_key TEXT UNIQUE,
    digest TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    result TEXT,
    video_s REAL
);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, number);
"""
_VERSION = 1


class QueueFullError(CurateError):
    """As many jobs wait as may."""


class KeyReusedError(CurateError):
    """An idempotency key came with another request than before."""


@dataclass(frozen=True)
class Job:
    """A job as it stands. Times are ISO 8601 in UTC.

    Attributes:
        number: rises with each job that is accepted.
        request: what is asked, as JSON values; `model` and `asset` are what it was found to mean.
        attempts: how often it was started.
        error: one line, where it failed.
        result: the answer as JSON text, where it is done and was asked for.
        video_s: length of the video, once it is done.
    """

    number: int
    id: str
    state: str
    request: Mapping[str, Any]
    model: str
    asset: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    attempts: int
    error: str | None
    video_s: float | None
    result: str | None = None


_COLUMNS = (
    "number, id, state, request, model, asset, created_at, started_at, finished_at, attempts, error, video_s, result"
)
_BRIEF = _COLUMNS.replace("result", "NULL")


class Jobs:
    """The queue in one file. Methods may be called from any thread.

    Args:
        path: of the database; made if it is missing.
        most_queued: see `add`.
        most_attempts: a job that has begun so often and not ended is failed when it would wait again.
    """

    def __init__(self, path: Path, *, most_queued: int, most_attempts: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._most_queued, self._most_attempts = most_queued, most_attempts
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._writer, self._reader = _open(path), _open(path)
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise CurateError(
                f"jobs of version {version}, not {_VERSION}", where=path, fix="Use the version they are of"
            )
        self._writer.executescript(f"{_TABLE} PRAGMA user_version = {_VERSION};")

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    def add(
        self, request: Mapping[str, Any], *, model: str, asset: str | None, key: str | None, digest: str
    ) -> tuple[Job, bool]:
        """Puts a job at the end of the queue; it is on disk on return.

        Args:
            key: under which the same request gives the same job, for as long as the job is kept.
            digest: of what makes a request the same.

        Returns:
            The job, and whether it is new.

        Raises:
            KeyReusedError, QueueFullError.
        """
        with self._transaction() as db:
            if key and (found := self._of_key(db, key, digest)):
                return found, False
            (queued,) = db.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()
            if queued >= self._most_queued:
                raise QueueFullError(f"{queued} jobs wait, as many as may", fix="Ask again later")
            values = (uuid.uuid4().hex, json.dumps(request), model, asset, key, digest, now())
            row = db.execute(
                "INSERT INTO jobs (id, state, request, model, asset, idempotency_key, digest, created_at)"
                f" VALUES (?, 'queued', ?, ?, ?, ?, ?, ?) RETURNING {_BRIEF}",
                values,
            ).fetchone()
            return _job(row), True

    def of_key(self, key: str, digest: str) -> Job | None:
        """The job that came under this key.

        Raises:
            KeyReusedError: it came with another request.
        """
        with self._reading:
            return self._of_key(self._reader, key, digest)

    def get(self, job_id: str) -> Job | None:
        """The job with its result."""
        found = self._read(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        return _job(found[0]) if found else None

    def newest(self, *, state: str | None = None, before: int | None = None, limit: int = 100) -> list[Job]:
        """Jobs without their results, the newest first: of a state, and older than number `before`, where given."""
        where = "(? IS NULL OR state = ?) AND (? IS NULL OR number < ?)"
        rows = self._read(
            f"SELECT {_BRIEF} FROM jobs WHERE {where} ORDER BY number DESC LIMIT ?",
            (state, state, before, before, limit),
        )
        return [_job(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Jobs in each state."""
        return dict.fromkeys(STATES, 0) | dict(self._read("SELECT state, count(*) FROM jobs GROUP BY state", ()))

    def waiting_before(self, job: Job) -> int:
        """How many jobs are to begin before this one, which waits."""
        return int(self._read("SELECT count(*) FROM jobs WHERE state = 'queued' AND number < ?", (job.number,))[0][0])

    def claim(self) -> Job | None:
        """Starts the job that has waited longest; None where none waits."""
        with self._transaction() as db:
            row = db.execute(
                "UPDATE jobs SET state = 'running', started_at = ?, attempts = attempts + 1 WHERE number ="
                f" (SELECT number FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1) RETURNING {_BRIEF}",
                (now(),),
            ).fetchone()
        return _job(row) if row else None

    def finish(self, job: Job, result: str, video_s: float) -> bool:
        """Writes the answer of this start of the job; False where the job has gone, or has been started again."""
        return self._end(job, "state = 'done', result = ?, video_s = ?", (result, video_s))

    def fail(self, job: Job, error: str) -> bool:
        """Likewise, of why there is none."""
        return self._end(job, "state = 'failed', error = ?", (error,))

    def put_back(self, job: Job, why: str) -> None:
        """Has a job that was cut off wait again, at its old place; it is failed where it has begun too often.

        Args:
            why: it was cut off, for the error.
        """
        with self._transaction() as db:
            self._wait_again(db, why, " AND id = ? AND attempts = ?", (job.id, job.attempts))

    def hand_back(self, job: Job) -> None:
        """Has a job wait again that was stopped for a reason that is not its own: this start does not count."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET state = 'queued', started_at = NULL, attempts = attempts - 1"
                " WHERE state = 'running' AND id = ? AND attempts = ?",
                (job.id, job.attempts),
            )

    def recover(self) -> int:
        """Has the jobs wait again that ran when the last server ended; how many there were."""
        with self._transaction() as db:
            (running,) = db.execute("SELECT count(*) FROM jobs WHERE state = 'running'").fetchone()
            self._wait_again(db, "the server ended", "", ())
            return int(running)

    def remove(self, job_id: str) -> str | None:
        """Forgets a job; the state it was in, None where there is none."""
        with self._transaction() as db:
            row = db.execute("DELETE FROM jobs WHERE id = ? RETURNING state", (job_id,)).fetchone()
        return row[0] if row else None

    def remove_old(self, *, keep_hours: float, keep: int) -> int:
        """Forgets finished jobs that are older, and all but the newest `keep`; how many."""
        oldest = (datetime.now(UTC) - timedelta(hours=keep_hours)).isoformat(timespec="milliseconds")
        ended = "state IN ('done', 'failed')"
        last = f"(SELECT number FROM jobs WHERE {ended} ORDER BY finished_at DESC, number DESC LIMIT -1 OFFSET ?)"
        with self._transaction() as db:
            return db.execute(
                f"DELETE FROM jobs WHERE {ended} AND (finished_at < ? OR number IN {last})", (oldest, keep)
            ).rowcount

    def unfinished(self) -> list[Job]:
        """Jobs that wait or run."""
        return [_job(row) for row in self._read(f"SELECT {_BRIEF} FROM jobs WHERE state IN ('queued', 'running')", ())]

    def _of_key(self, db: sqlite3.Connection, key: str, digest: str) -> Job | None:
        row = db.execute(f"SELECT digest, {_BRIEF} FROM jobs WHERE idempotency_key = ?", (key,)).fetchone()
        if row and row[0] != digest:
            raise KeyReusedError(
                "the idempotency key came with another request before", where=key, fix="Give each request its own"
            )
        return _job(row[1:]) if row else None

    def _end(self, job: Job, change: str, values: tuple[Any, ...]) -> bool:
        with self._transaction() as db:
            ended = db.execute(
                f"UPDATE jobs SET {change}, finished_at = ? WHERE id = ? AND state = 'running' AND attempts = ?",
                (*values, now(), job.id, job.attempts),
            )
            return ended.rowcount == 1

    def _wait_again(self, db: sqlite3.Connection, why: str, which: str, values: tuple[Any, ...]) -> None:
        db.execute(
            "UPDATE jobs SET state = 'failed', finished_at = ?, error = ? || ' in each of ' || attempts || ' attempts'"
            f" WHERE state = 'running' AND attempts >= ?{which}",
            (now(), why, self._most_attempts, *values),
        )
        db.execute(f"UPDATE jobs SET state = 'queued', started_at = NULL WHERE state = 'running'{which}", values)

    def _read(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with self._reading:
            return self._reader.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


def now() -> str:
    """This moment as rows hold it, so that texts sort as times do."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


def _job(row: Any) -> Job:
    number, job_id, state, request, *rest = row
    return Job(number, job_id, state, json.loads(request), *rest)
