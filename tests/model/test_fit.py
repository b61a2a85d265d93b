import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from curate.model import zero_shot
from curate.model.definitions import Encoded, as_definition, as_definitions, encode
from curate.model.examples import Example, draw_batch, examples_of, pool_of, sampling_weights
from curate.model.fit import Fitted, Recipe, fit
from curate.model.metrics import f1_at
from curate.model.predict import trained
from curate.model.segmenter import Segmenter, load_model, save_model
from curate.model.track import Predictor
from tests.model.synthetic import ACTIONS, capability, rows, texts

CPU = torch.device("cpu")
SMALL = Recipe(steps=20, batch=8, width=32, layers=1, warmup=5, validate_every=10)


@pytest.fixture(scope="module")
def encoded() -> dict[str, Encoded]:
    return {e.definition.id: e for e in encode(as_definitions([capability(a) for a in ACTIONS]), texts)}


@pytest.fixture(scope="module")
def learned(encoded: dict[str, Encoded]) -> Fitted:
    recipe = Recipe(steps=150, batch=16, width=48, layers=1, warmup=20)
    return fit(examples_of(rows(120, 0), encoded), [], encoded, recipe, seed=0, device=CPU)


def f1_of(predict: Predictor, examples: list[Example], encoded: dict[str, Encoded]) -> float:
    scores = []
    for capability_id, definition in encoded.items():
        own = [e for e in examples if e.capability == capability_id]
        scores.append(f1_at([e.segments for e in own], predict([e.track for e in own], definition)))
    return float(np.mean(scores))


def weights_of(model: Segmenter) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_training_beats_zero_shot_on_clips_of_other_videos(learned: Fitted, encoded: dict[str, Encoded]) -> None:
    held_out = examples_of(rows(60, 1), encoded)
    before, after = (f1_of(predict, held_out, encoded) for predict in (zero_shot.predict, trained(learned.model)))
    assert before > 0.2, "the baseline is no straw man"
    assert after > before + 0.15


def test_fields_are_filled_with_values_of_their_enum(learned: Fitted, encoded: dict[str, Encoded]) -> None:
    held_out = [e for e in examples_of(rows(60, 1), encoded) if e.present]
    right = [
        found.fields["color"] == example.segments[0].fields["color"]
        for example in held_out
        for found in trained(learned.model)([example.track], encoded[example.capability])[0]
    ]
    assert np.mean(right) > 0.8


def test_a_definition_and_values_never_trained_on_need_no_new_weights(learned: Fitted) -> None:
    field = {"name": "color", "type": "string", "enum": ["orange", "teal", "pink", "gray"]}
    request = {"id": "new", "description": "thing jump", "fields": [field]}
    (unseen,) = encode([as_definition(request)], texts)
    track = examples_of(rows(1, 5), ACTIONS)[0].track
    (found,) = trained(learned.model, threshold=0.0)([track], unseen)
    assert {segment.fields["color"] for segment in found} <= {"orange", "teal", "pink", "gray"}


def test_the_same_seed_gives_the_same_weights_on_any_number_of_threads(encoded: dict[str, Encoded]) -> None:
    examples = examples_of(rows(10, 0), encoded)
    one = weights_of(fit(examples, [], encoded, SMALL, seed=3, device=CPU).model)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    two = weights_of(fit(examples, [], encoded, SMALL, seed=3, device=CPU).model)
    torch.set_num_threads(threads)
    assert same(one, two)
    assert not same(one, weights_of(fit(examples, [], encoded, SMALL, seed=4, device=CPU).model))


def test_a_killed_run_resumes_to_the_weights_it_would_have_had(
    encoded: dict[str, Encoded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.model.fit._CHECKPOINT_EVERY", 4)
    examples, validation = examples_of(rows(10, 0), encoded), examples_of(rows(6, 1), encoded)
    undisturbed = fit(examples, validation, encoded, SMALL, seed=0, device=CPU)
    checkpoint = tmp_path / "checkpoint.safetensors"
    seen: list[int] = []

    def run(killed_at: int | None) -> Fitted:
        def progress(what: str, done: int, total: int) -> None:
            seen.append(done)
            if done == killed_at:
                raise KeyboardInterrupt

        return fit(
            examples, validation, encoded, SMALL, seed=0, device=CPU, checkpoint=checkpoint, key="k", progress=progress
        )

    with pytest.raises(KeyboardInterrupt):
        run(killed_at=14)
    seen.clear()
    resumed = run(killed_at=None)
    assert seen[0] == 13, "from the checkpoint at step 12, not from the start"
    assert same(weights_of(undisturbed.model), weights_of(resumed.model))
    assert resumed.loss == undisturbed.loss
    assert resumed.validation_f1 == undisturbed.validation_f1


@pytest.mark.parametrize("content", [b"torn", None])
def test_a_torn_checkpoint_and_one_of_another_run_are_not_used(
    encoded: dict[str, Encoded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setattr("curate.model.fit._CHECKPOINT_EVERY", 4)
    examples = examples_of(rows(10, 0), encoded)
    checkpoint = tmp_path / "checkpoint.safetensors"
    if content is None:
        fit(examples, [], encoded, SMALL, seed=9, device=CPU, checkpoint=checkpoint, key="other")
    else:
        checkpoint.write_bytes(content)
    clean = fit(examples, [], encoded, SMALL, seed=0, device=CPU)
    found = fit(examples, [], encoded, SMALL, seed=0, device=CPU, checkpoint=checkpoint, key="mine")
    assert same(weights_of(clean.model), weights_of(found.model))


def test_bf16_learns_too_and_leaves_the_weights_in_full_precision(encoded: dict[str, Encoded]) -> None:
    examples = examples_of(rows(20, 0), encoded)
    full, half = (
        fit(examples, [], encoded, replace(SMALL, precision=name), seed=0, device=CPU) for name in ("fp32", "bf16")
    )
    assert all(value.dtype == torch.float32 for value in half.model.state_dict().values())
    assert not same(weights_of(full.model), weights_of(half.model))
    assert half.loss == pytest.approx(full.loss, rel=0.05)


def test_a_history_says_each_step_once_though_the_run_was_killed_and_tensorboard_shows_the_same(
    encoded: dict[str, Encoded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.model.fit._CHECKPOINT_EVERY", 4)
    monkeypatch.setattr("curate.model.fit._LOG_EVERY", 2)
    examples, history = examples_of(rows(10, 0), encoded), tmp_path / "history.jsonl"

    def run(killed_at: int | None) -> Fitted:
        def progress(what: str, done: int, total: int) -> None:
            if done == killed_at:
                raise KeyboardInterrupt

        return fit(
            examples, examples, encoded, SMALL, seed=0, device=CPU, checkpoint=tmp_path / "c.safetensors", key="k",
            history=history, tensorboard=tmp_path / "events", progress=progress,
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        run(killed_at=15)
    with history.open("a") as file:
        file.write('{"step": 15, "lo')
    done = run(None)
    said = [json.loads(line) for line in history.read_text().splitlines()]
    assert [line["step"] for line in said if "loss" in line] == list(range(2, 21, 2))
    assert [line["step"] for line in said if "validation_f1" in line] == [10, 20]
    assert said[-2]["loss"] == done.loss
    assert 0 <= done.waited < 1 and done.clips_per_s > 0 and done.seconds > 0
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (line["step"], pytest.approx(line["loss"])) for line in said if "loss" in line
    ]


def test_a_saved_model_answers_as_before(learned: Fitted, encoded: dict[str, Encoded], tmp_path: Path) -> None:
    save_model(tmp_path / "m", learned.model, {"mix": "base"})
    loaded, config = load_model(tmp_path / "m", "cpu")
    tracks = [e.track for e in examples_of(rows(4, 1), encoded)]
    assert config["mix"] == "base"
    assert trained(loaded)(tracks, encoded["bounce"]) == trained(learned.model)(tracks, encoded["bounce"])
    with safe_open(tmp_path / "m" / "model.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["curate"]) == config, "a file that went on alone says what it was made from"
    assert set(load_file(tmp_path / "m" / "model.safetensors")) == set(learned.model.state_dict())


def test_unmarked_time_is_negative_only_where_the_annotator_looked_at_all_of_it(encoded: dict[str, Encoded]) -> None:
    for exhaustive in (True, False):
        examples = [e for e in examples_of(rows(8, 0, exhaustive=exhaustive), encoded) if e.present]
        batch = draw_batch(pool_of(examples), encoded, size=8, seed=0, step=0)
        off = (batch.mask & (batch.on == 0)).sum()
        assert off > 0
        assert (batch.known & (batch.on == 0)).sum() == (off if exhaustive else 0)


def test_a_capability_is_drawn_as_often_as_the_mix_holds_it_and_half_of_the_time_present(
    encoded: dict[str, Encoded],
) -> None:
    examples = examples_of(rows(90, 0), encoded)[:-30]
    weights = sampling_weights(examples)
    for name in ACTIONS:
        own = [at for at, e in enumerate(examples) if e.capability == name]
        share = weights[own].sum()
        assert share == pytest.approx(len(own) / len(examples))
        assert sum(weights[at] for at in own if examples[at].present) == pytest.approx(share / 2)


def test_unsure_and_bad_clips_and_other_capabilities_teach_nothing(encoded: dict[str, Encoded]) -> None:
    (row,) = rows(1, 0)
    for label, verdict in zip(row["labels"], ("unsure", "bad_clip", "absent"), strict=True):
        label["verdict"] = verdict
    assert [e.capability for e in examples_of([row], encoded)] == [ACTIONS[2]]
    assert examples_of([row], ["another"]) == []
