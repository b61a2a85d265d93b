import subprocess
import sys

_PROGRAM = """
import sys
for name in ("av", "datasets", "deltalake", "dvc", "polars", "pydantic", "yaml"):
    sys.modules[name] = None
import curate.model.fit, curate.model.infer, curate.model.metrics, curate.model.stream, curate.model.zero_shot
"""


def test_the_model_itself_needs_neither_catalog_nor_datasets_nor_decoder() -> None:
    """So that it runs where there are frame vectors and a GPU, and nothing else."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
