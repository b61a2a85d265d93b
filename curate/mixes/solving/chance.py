"""The order in which clips are drawn: a number for each clip that only the seed and its id decide.

The id's bytes, padded to words of 64 bits, are folded into the seed's number word by word with the finaliser of
SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). It is arithmetic of fixed
width alone, so that it is the same on every machine and with every version of every library.
"""

import numpy as np
import polars as pl

_WORD = 8


def draw(clip_ids: pl.Series, seed: int) -> np.ndarray:
    """uint64, one for each id."""
    found = mixed(np.full(len(clip_ids), seed & (2**64 - 1), dtype=np.uint64))
    if clip_ids.is_empty():
        return found
    content = np.array(clip_ids.cast(pl.Binary).to_list(), dtype=np.bytes_)
    width = -(-content.dtype.itemsize // _WORD) * _WORD
    words = content.astype(f"S{width}").view("<u8").reshape(len(clip_ids), -1)
    for word in words.T:  # the padding of a short id must not depend on how long another one is
        some = word != 0
        found[some] = mixed(found[some] ^ word[some])
    return found


def mixed(numbers: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 over uint64: equal numbers stay equal, and near ones are far apart."""
    found = numbers + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))


def turns(group: np.ndarray) -> np.ndarray:
    """Of each element, how many equal ones stand before it."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    found = np.empty(len(group), dtype=np.int64)
    found[order] = np.arange(len(group)) - np.repeat(first, np.diff(first, append=len(group)))
    return found
