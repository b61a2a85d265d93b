"""Files of predictions, whatever is in them."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.evaluation.predictions import Said, read_predictions

DEFINITIONS = ("jump", "roll")

words = st.sampled_from([
    "video", "data", "error", "results", "version", "external_data", "jump", "roll", "start_time", "end_time", "score",
    "metadata", "segment", "label", "k",
])  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


def read(text: str) -> tuple[list[Said], bool]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "theirs.json"
        path.write_text(text, encoding="utf-8")
        return read_predictions(path, DEFINITIONS)


@given(st.lists(anything, max_size=3))
@example([{"video": "a", "data": None}])
@example([{"results": {"a": [{"label": ["jump"], "segment": [0, 1]}]}}])
@example([{"video": "a", "data": {}, "video_id": 3}])
@example([{"a": {"jump": [{"start_time": 0, "end_time": 1, "metadata": []}]}}])
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(content: list[Any]) -> None:
    try:
        said, _ = read("\n".join(json.dumps(line) for line in content))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert said and all(isinstance(each, Said) for each in said)


def test_a_mark_at_the_start_and_a_line_separator_in_a_key_are_read() -> None:
    line = json.dumps({"video": "a\u2028b", "data": {"jump": []}}, ensure_ascii=False)
    assert [said.key for said in read(f"\ufeff{line}\n{line}\n")[0]] == ["a\u2028b"] * 2


@pytest.mark.parametrize("text", ["", "\n\n", "[", "{", '{"a": {"jump": [}}', "\x00"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read(text)


segments = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(0, 100)).map(
        lambda part: {"start_time": part[0] / 7, "end_time": (part[0] + part[1]) / 7, "score": part[2] / 100}
    ),
    max_size=3,
)
answers = st.dictionaries(
    st.text(min_size=1, max_size=4), st.fixed_dictionaries({"jump": segments, "roll": segments}), min_size=1, max_size=3
)


@given(answers)
def test_every_form_says_the_same(content: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    """A key may be any text, one that names a part of a form too."""
    lines = [json.dumps({"video": key, "data": data}) for key, data in content.items()]
    results = {
        key: [
            {"label": name, "score": s["score"], "segment": [s["start_time"], s["end_time"]]}
            for name, found in data.items()
            for s in found
        ]
        for key, data in content.items()
    }
    ours, by_line, activitynet = (
        {(said.key, name): (said.data or {}).get(name, []) for said in read(text)[0] for name in DEFINITIONS}
        for text in (json.dumps(content), "\n".join(lines), json.dumps({"version": "1", "results": results}))
    )
    assert ours == by_line == activitynet
