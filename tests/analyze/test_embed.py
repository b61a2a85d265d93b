"""The embedder against open_clip's own path, and what it says when a model cannot be had."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

from curate.analyze.embed import load_embedder, model_id
from curate.errors import InputError
from curate.sample.clip import load_sample_clip
from curate.specs.analysis import Embedding

SAMPLE = Embedding(model="sample", weights="sample")
SMALL = "ViT-S-32-alt"
RANDOM = Embedding(model=SMALL, weights="random", device="cpu")


def pictures(width: int, height: int, count: int = 4) -> np.ndarray:
    """Smooth pictures with edges, so that resizing matters as it does for footage."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, 9, 16, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BICUBIC)) for p in small])


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (1280, 720)])
def test_the_sample_model_sees_what_its_own_transform_shows_it(size: tuple[int, int]) -> None:
    model, transform, _ = load_sample_clip()
    given = pictures(*size)
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transform(Image.fromarray(p)) for p in given])).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = load_embedder(SAMPLE).images(given)
    assert (found * expected).sum(axis=1).min() > 0.999
    assert found.dtype == np.float32 and found.shape == (4, load_embedder(SAMPLE).dim)


def test_a_model_that_crops_gets_the_middle_as_its_own_transform_cuts_it() -> None:
    embedder = load_embedder(RANDOM)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(SMALL).eval()
    transform = image_transform_v2(PreprocessCfg(**open_clip.get_model_preprocess_cfg(model)), is_train=False)
    given = pictures(640, 360)
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transform(Image.fromarray(p)) for p in given])).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (embedder.images(given) * expected).sum(axis=1).min() > 0.999
    branch = embedder.branch(640, 360, every_s=0.5)
    assert (branch.width, branch.height, branch.every_s) == (398, 224, 0.5)


def test_vectors_have_length_one_and_nothing_gives_nothing() -> None:
    embedder = load_embedder(SAMPLE)
    for vectors in (embedder.images(pictures(96, 96)), embedder.texts(["a red ball", "a blue box"])):
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder.texts([]).shape == embedder.images(np.zeros((0, 96, 96, 3), np.uint8)).shape == (0, embedder.dim)


def test_random_weights_are_the_same_in_every_process() -> None:
    program = (
        "import numpy as np, sys\n"
        "from curate.analyze.embed import load_embedder\n"
        "from curate.specs.analysis import Embedding\n"
        f"spec = Embedding(model={SMALL!r}, weights='random', device='cpu')\n"
        "print(float(load_embedder(spec).texts(['a'])[0, :8].sum()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(float(load_embedder(RANDOM).texts(["a"])[0, :8].sum()), abs=1e-5)


def test_a_local_file_is_loaded_and_named_by_its_content(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = open_clip.create_model(SMALL)
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    spec = Embedding(model=SMALL, weights=str(path), device="cpu")
    embedder = load_embedder(spec)
    assert embedder.model_id == model_id(spec) != model_id(RANDOM)
    assert str(path) not in embedder.model_id
    assert not np.allclose(embedder.texts(["a"]), load_embedder(RANDOM).texts(["a"]))


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not weights of"):
        load_embedder(Embedding(model=SMALL, weights=str(path)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Embedding(model="ViT-B-23"), "no open_clip model 'ViT-B-23'.*ViT-B-32"),
        (Embedding(model="ViT-B-32", weights="laion9b"), "neither a file nor a tag.*laion2b_s34b_b79k"),
        (Embedding(model="sample", weights="sample", device="tpu"), "no device 'tpu'.*auto, cpu, cuda"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(spec: Embedding, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_embedder(spec)


def test_without_network_the_error_names_both_remedies(tmp_path: Path) -> None:
    program = (
        "from curate.analyze.embed import load_embedder\n"
        "from curate.errors import InputError\n"
        "from curate.specs.analysis import Embedding\n"
        "try: load_embedder(Embedding())\n"
        "except InputError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert "Connect to the network once" in done.stdout and "weights: path/to/file" in done.stdout
    assert "Traceback" not in done.stderr and "Failed" not in done.stderr
