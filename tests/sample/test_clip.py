from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from curate.sample.captions import facts, mirror, sample_caption
from curate.sample.clip import WEIGHTS_DIR, load_sample_clip
from curate.sample.copies import write_copy
from curate.sample.evaluate_clip import embed_video, zero_shot
from curate.sample.frames import described_frames

Clip = tuple[Any, Any, Any]


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_sample_clip()


def test_embeddings_of_both_towers_have_one_dimension_and_finite_length(clip: Clip) -> None:
    model, preprocess, tokenize = clip
    picture = Image.fromarray(next(described_frames(3))[0])
    with torch.inference_mode():
        image = model.encode_image(preprocess(picture)[None])
        texts = model.encode_text(tokenize(["a red ball bouncing", "nothing moving"]))
    assert image.shape == (1, 128)
    assert texts.shape == (2, 128)
    norms = torch.cat([image, texts]).norm(dim=1)
    assert torch.isfinite(norms).all()
    assert (norms > 0).all()
    assert not model.training


def test_any_english_tokenizes_within_the_short_vocabulary(clip: Clip) -> None:
    model, _, tokenize = clip
    tokens = tokenize(["Zebras crossing the Champs-Élysées at 30 km/h!", "a ball"])
    assert tokens.dtype == torch.int64
    assert tokens.max() < model.vocab_size


def test_the_shipped_model_is_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS_DIR.iterdir()) < 10_000_000


def test_zero_shot_beats_chance_on_held_out_seeds(clip: Clip) -> None:
    rows = {row.question: row for row in zero_shot(*clip, frames=300)}
    floors = {"shape": 0.4, "color": 0.7, "background": 0.9, "action or none": 0.6}
    assert {question: row.right for question, row in rows.items() if row.right < floors[question]} == {}
    assert all(row.right > 2 * row.chance for row in rows.values())


def test_a_reencoded_copy_embeds_where_its_original_does(
    clip: Clip, world: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    directory, truth = world
    video = next(
        v for v in truth["videos"] if v["kind"] == "original" and v["file"].endswith(".mp4") and not v["rotation_deg"]
    )
    write_copy(directory / video["file"], tmp_path / "copy.mp4", "reencode")
    _, original = embed_video(*clip[:2], directory / video["file"], 0)
    _, copy = embed_video(*clip[:2], tmp_path / "copy.mp4", 0)
    assert np.median((original * copy).sum(axis=1)) > 0.98


def test_a_caption_is_true_of_its_frame_and_not_of_all() -> None:
    rng = np.random.default_rng(0)
    shown = [description for _, description in itertools.islice(described_frames(4, frames_per_shot=2), 80)]
    known = [facts(description) for description in shown]
    for description in shown:
        caption = sample_caption(rng, description)
        assert caption.claim <= facts(description)
    named = [sample_caption(rng, description).claim for description in shown]
    share = np.mean([[claim <= k for k in known] for claim in named])
    assert 0.02 < share < 0.4


def test_a_mirrored_description_swaps_sides() -> None:
    description = next(d for _, d in described_frames(5, frames_per_shot=1) if d.action == "roll")
    swapped = {description.fields["direction"], mirror(description).fields["direction"]}
    assert swapped == {"left", "right"}
