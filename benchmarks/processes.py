"""Processes that a benchmark spreads its work over."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def processes() -> ProcessPoolExecutor:
    """As many as this process may use cores. Not forked: libraries run threads by now, and their locks would be copied
    as they stand."""
    return ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn"))
