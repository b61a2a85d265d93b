"""The sample CLIP: an `open_clip.CLIP` of 2.4 million weights that knows the sample world and nothing else.

It stands in for the real model where there is no network, so it is used in exactly the same way: a model, a
transform, a tokenizer. The image tower is open_clip's small residual network and not a vision transformer: trained
from nothing for half an hour on one core, convolutions learn shapes from far fewer frames. Its vocabulary is the
first 4,096 merges of open_clip's own byte-pair encoding, so any English tokenizes, in a twelfth of the space.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL.Image import Image
from safetensors.torch import load_file

WEIGHTS_DIR = Path(__file__).with_name("clip_weights")

Preprocess = Callable[[Image], torch.Tensor]
Tokenize = Callable[[list[str]], torch.Tensor]


def load_sample_clip(device: str = "cpu") -> tuple[CLIP, Preprocess, Tokenize]:
    """Opens the shipped weights.

    Returns the model in eval mode with float32 weights (`encode_image` takes (n, 3, 96, 96) and gives (n, 128),
    `encode_text` takes (n, 24) and gives (n, 128), both unnormalised unless asked), the transform from a PIL image
    to (3, 96, 96), and the tokenizer from texts to (n, 24) int64.
    """
    model = build_model()
    weights = load_file(WEIGHTS_DIR / "model.safetensors")
    model.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    return model.to(device).eval(), build_preprocess(), build_tokenizer()


def build_model() -> CLIP:
    """The untrained model of the shipped config."""
    return CLIP(**_config()["model_cfg"])


def build_preprocess() -> Preprocess:
    """open_clip's own evaluation transform with the shipped settings."""
    transform: Preprocess = image_transform_v2(PreprocessCfg(**_config()["preprocess_cfg"]), is_train=False)
    return transform


def build_tokenizer() -> Tokenize:
    """open_clip's tokenizer on the shortened merges."""
    context_length = _config()["model_cfg"]["text_cfg"]["context_length"]
    merges = WEIGHTS_DIR / "bpe_merges_4096.txt.gz"
    tokenizer: Tokenize = SimpleTokenizer(bpe_path=str(merges), context_length=context_length)
    return tokenizer


def _config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((WEIGHTS_DIR / "config.json").read_text())
    return config
