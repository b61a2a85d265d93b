"""The vector index: which clips are near a vector, for duplicates and for search.

`Index` is a manifest and immutable segments in a directory; see `curate.index.index`. Only numpy, FAISS and the
standard library are imported here.
"""

from curate.index.index import Index
from curate.index.types import Batch, Changes, Matches, Run, here

__all__ = ["Batch", "Changes", "Index", "Matches", "Run", "here"]
