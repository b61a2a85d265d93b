"""Transcripts. A Whisper model cannot be had offline, so what it says is given here, and all around it is real."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from curate.analyze import transcript
from curate.analyze.measure import SIGNALS
from curate.errors import InputError
from curate.specs.analysis import Signals
from tests.media.test_loudness import tone, write


def test_sentences_stand_in_the_videos_time_and_inside_the_span(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: dict[str, Any] = {}

    class Model:
        def transcribe(self, samples: np.ndarray, **options: Any) -> tuple[list[SimpleNamespace], None]:
            heard.update(samples=samples, options=options)
            return [
                SimpleNamespace(start=0.5, end=1.0, text=" What a goal! "),
                SimpleNamespace(start=1.5, end=2.4, text="Yes."),
            ], None

    monkeypatch.setattr(transcript, "load_model", lambda directory: Model())
    path = write(tmp_path / "a.mkv", [tone(0.3)], layout="mono")
    spec = Signals(whisper="somewhere", language="en")
    found = transcript.transcribe(path, 0.0, (1.0, 3.0), spec)
    assert [(each.start_s, each.end_s, each.text) for each in found] == [
        (1.5, 2.0, "What a goal!"),
        (2.5, 3.0, "Yes."),
    ]
    assert heard["samples"].shape == (32_000,) and heard["samples"].dtype == np.float32
    assert heard["options"]["language"] == "en"


def test_a_directory_that_would_make_faster_whisper_fetch_something_is_refused(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds no tokenizer\.json.*nothing is downloaded"):
        transcript.require_model(Signals(whisper=str(tmp_path)), asked_by="a test")
    (tmp_path / "tokenizer.json").write_text("{}")
    transcript.require_model(Signals(whisper=str(tmp_path)), asked_by="a test")


def test_another_model_in_the_same_place_is_another_and_the_same_elsewhere_is_not(tmp_path: Path) -> None:
    keys = []
    for name, content in (("one", b"weights"), ("two", b"weights"), ("three", b"others")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.bin").write_bytes(content)
        keys.append(transcript.model_key(str(tmp_path / name)))
    assert keys[0] == keys[1] != keys[2] and transcript.model_key(None) is None
    assert SIGNALS[-1] == "transcript", "the dearest comes last"
