"""Where a step's time goes: seconds by phase, kept by one timer for the whole process.

    with phases("forward"):
        loss = ...

On a GPU nothing waits for it: events are put into its queue, and read when the step is over.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Phases:
    """Seconds spent in named phases since they were last taken. Phases do not nest."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time inside as `name`'s, also where an exception ends it."""
        if torch.cuda.is_initialized():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            try:
                yield
            finally:
                end.record()
                self._events.append((name, start, end))
            return
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def take(self) -> dict[str, float]:
        """Seconds by phase, in the order of their first appearance; from here on all are 0 again."""
        if self._events:
            torch.cuda.synchronize()
            for name, start, end in self._events:
                self.add(name, start.elapsed_time(end) / 1000)
            self._events.clear()
        taken, self._seconds = self._seconds, {}
        return taken


phases = Phases()
"""The timer of this process."""
