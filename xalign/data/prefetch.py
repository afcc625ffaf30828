"""Batches made by a background thread, so that training finds the next one ready."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetched(Generic[T]):
    """`make(step)` for each step, in order, the next `ahead` of them while the consumer is busy.

    One thread, not worker processes: tokenizers and tensor copies release Python's lock, nothing has to be
    sent between processes, and one thread keeps the order. What `make` raises reaches the consumer, with its
    traceback, when it asks for that step. The thread ends with the iteration: at the last step, when the
    iterator is closed or dropped, on `close()`.
    """

    def __init__(self, make: Callable[[int], T], steps: Sequence[int], ahead: int = 2) -> None:
        self.make, self.steps, self.ahead = make, steps, ahead
        self.waited = 0.0
        """Seconds that the consumer waited for the item it got last."""
        self._pool: ThreadPoolExecutor | None = None

    # Without a length: Lightning would count to it from 0, whatever step a run resumes at.
    def __iter__(self) -> Iterator[T]:
        self.close()
        pool = self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        steps = iter(self.steps)
        try:
            # One more than `ahead`: the first of them is what the consumer waits for.
            made = deque(pool.submit(self.make, step) for step in islice(steps, self.ahead))
            while made:
                made.extend(pool.submit(self.make, step) for step in islice(steps, 1))
                started = time.perf_counter()
                item = made.popleft().result()
                self.waited = time.perf_counter() - started
                yield item
            self.waited = 0.0
        finally:
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """End the thread, after the item it is making."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
