"""How fast an analysis goes, and what holds it up: decoding, embedding or writing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Pace:
    """Seconds spent on each part of a run so far.

    Decoding and embedding are spread over the workers, and writing is the driver's alone, so each is taken as a share
    of the time that there was for it; the largest share is what more of would help most. Workers that wait for a
    service count as embedding: then the model is slower than the decoders together.
    """

    workers: int
    footage_s: float = 0.0
    decode_s: float = 0.0
    embed_s: float = 0.0
    write_s: float = 0.0
    started: float = field(default_factory=time.monotonic)
    _stopped: float | None = None

    @contextmanager
    def running(self, workers: int) -> Iterator[None]:
        """The time that counts, for a run that stops now and then to choose what comes next."""
        self.workers = max(self.workers, workers)
        self.started = time.monotonic() - self.elapsed_s if self.footage_s else time.monotonic()
        self._stopped = None
        try:
            yield
        finally:
            self._stopped = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return max((self._stopped or time.monotonic()) - self.started, 1e-9)

    def add(self, footage_s: float, seconds: float, embed_s: float) -> None:
        """Takes note of a video: its length, the worker's time for it, and how much of that went to the model."""
        self.footage_s += footage_s
        self.embed_s += embed_s
        self.decode_s += max(seconds - embed_s, 0.0)

    @property
    def times_real(self) -> float:
        """Hours of footage for each hour of the run."""
        return self.footage_s / self.elapsed_s

    @property
    def shares(self) -> dict[str, float]:
        """Share of its time that each part took, 0 to 1; workers that had nothing to do are in none."""
        elapsed_s = self.elapsed_s
        there_s = {"decode": elapsed_s * self.workers, "embed": elapsed_s * self.workers, "write": elapsed_s}
        spent_s = {"decode": self.decode_s, "embed": self.embed_s, "write": self.write_s}
        return {name: min(spent_s[name] / there_s[name], 1.0) for name in there_s}

    @property
    def bottleneck(self) -> str | None:
        """decode, embed or write; None before anything is measured."""
        shares = self.shares
        return max(shares, key=lambda name: shares[name]) if any(shares.values()) else None

    def __str__(self) -> str:
        if not self.footage_s:
            return ""
        name = self.bottleneck or ""
        return f"{self.times_real:.3g}x real time, most of it {name} ({self.shares[name]:.0%})"
