"""Processes that read and decode clips, and write the frames straight into a batch of the trainer's process.

They are programs of their own rather than a DataLoader's processes. A forked worker inherits threads and locks of CUDA,
polars and DVC; a spawned one runs the user's script again and imports torch, which decoding does not need (2 to 3 s and
300 MB each, against 0.3 s and 60 MB). A DataLoader gives a worker whole batches, so that the first takes as long as one
process needs for it, and at the end of an epoch workers wait for each other; here all of them decode a batch, a few
clips at a time. And its memory may be pinned: frames come through a socket into their final place, without /dev/shm,
which containers keep small.

A worker fetches what it has to decode next while it decodes. It ends when its socket does, so it never outlives the
trainer, however that ends.
"""

import os
import pickle
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import curate
from curate.errors import CurateError, DecodeError
from curate.mixes.loading.decode import Sampling, decode_clip
from curate.mixes.loading.read import Clip, Source

Times = np.ndarray | DecodeError
"""When the frames of a clip are shown, float64 [T], or why it cannot be decoded."""

_AHEAD = 2
"""Pieces that a worker has at a time: one that it decodes, one that it fetches."""

_FETCHES = 8
_ANSWERS = 4
_MOST_CLIPS = 16
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class _Piece:
    """Clips for one worker, where their frames go (uint8 [most, 3, height, width] each), and what it answered."""

    clips: Sequence[Clip]
    out: Sequence[np.ndarray]
    done: "Future[list[Times]]" = field(default_factory=Future)


class Pool:
    """Decodes clips in `workers` processes; in this one, at once, where that is 0.

    Args:
        workers: processes. They start here, so that what is done before `begin` costs no time.
    """

    def __init__(self, workers: int) -> None:
        self._source: Source | None = None
        self._sampling: Sampling | None = None
        self._pieces: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._broken: CurateError | None = None
        self._workers = [_Worker() for _ in range(workers)]

    def __len__(self) -> int:
        return len(self._workers)

    def begin(self, source: Source, sampling: Sampling) -> None:
        """Says, once, where the clips' bytes come from and which frames are wanted."""
        self._source, self._sampling = source, sampling
        for worker in self._workers:
            threading.Thread(target=self._drive, args=(worker,), daemon=True).start()

    def submit(self, clips: Sequence[Clip], out: Sequence[np.ndarray]) -> "list[Future[list[Times]]]":
        """Has clips decoded into `out`, a few at a time: what comes of the first few, of those after them ...

        A future raises CurateError where a clip could not be read, or its worker died.
        """
        few = min(max(len(clips) // (2 * len(self._workers)), 1), _MOST_CLIPS) if self._workers else len(clips) or 1
        pieces = [_Piece(clips[at : at + few], out[at : at + few]) for at in range(0, len(clips), few)]
        for piece in pieces:
            if not self._workers:
                self._here(piece)
            elif self._broken is not None:
                piece.done.set_exception(self._broken)
            else:
                self._pieces.put(piece)
        return [piece.done for piece in pieces]

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        self._broken = self._broken or CurateError("the loader is closed")
        for worker in self._workers:
            worker.end()
            self._pieces.put(None)

    def _here(self, piece: _Piece) -> None:
        assert self._source is not None and self._sampling is not None
        try:
            times: list[Times] = []
            for clip, out in zip(piece.clips, piece.out, strict=True):
                found = _decoded(clip, self._source.read(clip.pack, clip.offset, clip.size), self._sampling)
                if isinstance(found, tuple):
                    out[: len(found[1])] = found[0]
                times.append(found[1] if isinstance(found, tuple) else found)
            piece.done.set_result(times)
        except CurateError as error:
            piece.done.set_exception(error)

    def _drive(self, worker: "_Worker") -> None:
        """Feeds one worker until the pool is closed or the worker dies: then nothing that waits can come."""
        waiting: deque[_Piece] = deque()
        try:
            worker.send((self._source, self._sampling))
            while True:
                while len(waiting) < _AHEAD:
                    try:
                        piece = self._pieces.get(block=not waiting)
                    except queue.Empty:
                        break
                    if piece is None:
                        return
                    if piece.done.set_running_or_notify_cancel():
                        waiting.append(piece)
                        worker.send(piece.clips)
                try:
                    waiting[0].done.set_result(worker.receive(waiting[0]))
                except CurateError as error:
                    waiting[0].done.set_exception(error)
                waiting.popleft()
        except (OSError, EOFError):
            clip = waiting[0].clips[worker.received] if waiting else None
            self._fail(waiting, worker.death(clip))
        except Exception as error:  # whatever it is, somebody waits for these clips
            self._fail(waiting, CurateError(f"{type(error).__name__}: {error}", where="a worker that decodes"))

    def _fail(self, waiting: Sequence[_Piece], error: CurateError) -> None:
        self._broken = self._broken or error
        for piece in waiting:
            piece.done.set_exception(self._broken)
        with suppress(queue.Empty):
            while True:
                left = self._pieces.get(block=False)
                if left is not None and left.done.set_running_or_notify_cancel():
                    left.done.set_exception(self._broken)


class _Worker:
    """The trainer's end of one process. received: clips of the piece in hand that have come."""

    def __init__(self) -> None:
        self.received = 0
        self._socket, theirs = socket.socketpair()
        with theirs:
            paths = [str(Path(curate.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from {__name__} import serve; serve({theirs.fileno()})"],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
            )

    def send(self, message: Any) -> None:
        _send(self._socket, message)

    def receive(self, piece: _Piece) -> list[Times]:
        """What comes of a piece; frames go to their places.

        Raises:
            CurateError: a clip cannot be read; the rest of the piece is not awaited, as the worker leaves it out.
            OSError, EOFError: the worker died.
        """
        times: list[Times] = []
        for self.received, out in enumerate(piece.out):
            answer = _receive(self._socket)
            if isinstance(answer, CurateError) and not isinstance(answer, DecodeError):
                raise answer
            if isinstance(answer, np.ndarray):
                _receive_into(self._socket, out[: len(answer)].data.cast("B"))
            times.append(answer)
        return times

    def end(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.kill()
        self._process.wait()

    def death(self, clip: Clip | None) -> CurateError:
        """Why nothing comes any more."""
        status = self._process.wait()
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        where = f"clip {clip.clip_id} in {clip.pack}" if clip else None
        fix = "If it was out of memory, take fewer workers; else leave that clip out"
        return CurateError(f"a worker that decodes ended {how}", where=where, fix=fix)


_Fetched = list[tuple[Clip, "Future[bytes]"]]
_Answer = tuple[np.ndarray, np.ndarray] | CurateError
"""Frames and times of a clip, or what is wrong; if that is no DecodeError, the rest of the piece is left out."""


def serve(descriptor: int) -> None:
    """A worker's life: decodes what comes from the trainer until it is gone.

    What has come is fetched, and what is decoded sent, while the next clip is being decoded.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    fetched: queue.SimpleQueue[_Fetched] = queue.SimpleQueue()
    answers: queue.Queue[_Answer] = queue.Queue(_ANSWERS)
    source, sampling = _receive(connection)
    threading.Thread(target=_or_end, args=(_listen, connection, source, fetched), daemon=True).start()
    threading.Thread(target=_or_end, args=(_reply, connection, answers), daemon=True).start()
    while True:
        for answer in _answers(fetched.get(), sampling):
            answers.put(answer)


def _or_end(step: Callable[..., None], *arguments: Any) -> None:
    """Ends the process when the trainer is gone."""
    try:
        step(*arguments)
    except (OSError, EOFError):
        os._exit(0)


def _listen(connection: socket.socket, source: Source, fetched: "queue.SimpleQueue[_Fetched]") -> None:
    """Begins to fetch a piece's clips as soon as it is known."""
    with ThreadPoolExecutor(_FETCHES) as threads:
        try:
            while True:
                clips = _receive(connection)
                fetched.put([(clip, threads.submit(source.read, clip.pack, clip.offset, clip.size)) for clip in clips])
        except (OSError, EOFError):
            os._exit(0)  # not awaiting what is being fetched


def _reply(connection: socket.socket, answers: "queue.Queue[_Answer]") -> None:
    while True:
        answer = answers.get()
        if isinstance(answer, CurateError):
            _send(connection, answer)
        else:
            frames, times_s = answer
            _send(connection, times_s)
            connection.sendall(frames.data.cast("B"))


def _answers(clips: _Fetched, sampling: Sampling) -> Iterator[_Answer]:
    for clip, content in clips:
        try:
            yield _decoded(clip, content.result(), sampling)
        except CurateError as error:
            yield error
            return
        except Exception as error:
            fix = "This should not be: please report it"
            yield CurateError(f"{type(error).__name__}: {error}", where=f"clip {clip.clip_id}", fix=fix)
            return


def _decoded(clip: Clip, content: bytes, sampling: Sampling) -> tuple[np.ndarray, np.ndarray] | DecodeError:
    try:
        return decode_clip(content, sampling, clip.duration_s)
    except DecodeError as error:
        return DecodeError(error.what, where=f"clip {clip.clip_id} in {clip.pack}")


def _send(connection: socket.socket, message: Any) -> None:
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    connection.sendall(_LENGTH.pack(len(content)) + content)


def _receive(connection: socket.socket) -> Any:
    length = bytearray(_LENGTH.size)
    _receive_into(connection, memoryview(length))
    content = bytearray(_LENGTH.unpack(length)[0])
    _receive_into(connection, memoryview(content))
    return pickle.loads(content)


def _receive_into(connection: socket.socket, view: memoryview) -> None:
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
