"""Draws from an iterator in a thread of its own, a few items ahead of who takes them."""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

_LOOK_S = 0.1


@contextmanager
def ahead(items: Generator[T, None, None], most: int) -> Iterator[Iterator[T]]:
    """The items, in their order; what making one raises is raised where it would be taken.

    The thread ends with the block, wherever in the items that is, and the generator is closed in it.

    Args:
        items: drawn from by that thread alone.
        most: items that wait to be taken; one more is being made.
    """
    made: queue.Queue[tuple[Any, bool, BaseException | None]] = queue.Queue(most)
    left = threading.Event()

    def hand_on(item: Any, is_last: bool, error: BaseException | None) -> None:
        while not left.is_set():
            with suppress(queue.Full):
                made.put((item, is_last, error), timeout=_LOOK_S)
                break

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                hand_on(item, False, None)
                if left.is_set():
                    break
        except BaseException as raised:
            error = raised
        finally:
            items.close()
        hand_on(None, True, error)

    def take() -> Iterator[T]:
        while True:
            item, is_last, error = made.get()
            if error is not None:
                raise error
            if is_last:
                return
            yield item

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        left.set()
        thread.join()
