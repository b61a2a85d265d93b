"""What is said: faster-whisper, with a model that the user has as a local directory. Nothing is ever downloaded."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curate.analyze.clips import Span
from curate.analyze.speech import samples_between
from curate.errors import InputError
from curate.identity import file_id
from curate.specs.analysis import Signals

_FILES = ("model.bin", "config.json", "tokenizer.json")
"""What a CTranslate2 Whisper model has at least; without its tokenizer, faster-whisper would fetch one."""


@dataclass(frozen=True)
class Sentence:
    """What is said over [start_s, end_s), in seconds from the first shown frame."""

    start_s: float
    end_s: float
    text: str


def require_model(spec: Signals, *, asked_by: object) -> None:
    """Makes sure that speech can be transcribed.

    Raises:
        InputError: there is no model, or no faster-whisper.
    """
    if spec.whisper is None:
        raise InputError(
            "`transcript` needs a Whisper model, and none is configured",
            where=asked_by,
            fix="Set signals.whisper in configs/analysis.yaml to the directory of a faster-whisper (CTranslate2) model",
        )
    missing = [name for name in _FILES if not (Path(spec.whisper) / name).is_file()]
    if missing:
        raise InputError(
            f"signals.whisper is {spec.whisper!r}, which holds no {missing[0]}",
            where="configs/analysis.yaml",
            fix="Name the directory of a faster-whisper (CTranslate2) model; nothing is downloaded",
        )
    if find_spec("faster_whisper") is None:
        raise InputError(
            "`transcript` needs faster-whisper", where=asked_by, fix="Install it: pip install 'curate[transcript]'"
        )


def model_key(directory: str | None) -> str | None:
    """A hash of a model's weights; None where there is none."""
    weights = Path(directory or "") / "model.bin"
    return _weights_id(weights, weights.stat().st_mtime_ns) if directory and weights.is_file() else None


@lru_cache(maxsize=4)
def _weights_id(weights: Path, modified_ns: int) -> str:
    return file_id(weights)


def transcribe(path: Path | str, start_offset_s: float, span: Span, spec: Signals) -> list[Sentence]:
    """What is said in a span of a video that has sound.

    Raises:
        DecodeError: the sound is damaged there.
    """
    assert spec.whisper is not None
    samples = samples_between(path, start_offset_s, span)
    found, _ = load_model(spec.whisper).transcribe(samples, language=spec.language, vad_filter=True)
    return [Sentence(span[0] + part.start, min(span[0] + part.end, span[1]), part.text.strip()) for part in found]


@lru_cache(maxsize=1)
def load_model(directory: str) -> Any:
    """A Whisper model, loaded once in a process; it counts with one thread, as everything in a worker."""
    from faster_whisper import WhisperModel

    return WhisperModel(directory, device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
