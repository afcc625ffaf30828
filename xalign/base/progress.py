"""One progress bar a task on stderr; where that is no terminal, a plain line now and then."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from xalign.base.terminal import Bar, stderr

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0

Advance = Callable[[int], None]


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Advance]:
    """Yield a function that counts finished items: `advance(3)`."""
    if not stderr().is_terminal:
        yield _lines(description, total)
        return
    with Bar(description, total) as bar:
        yield lambda count: bar.advance(bar.own, count)


def _lines(description: str, total: int) -> Advance:
    start = last = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last > SECONDS_BETWEEN_LINES:
            last = now
            speed = done / (now - start)
            left = (total - done) / speed
            log.info("%s: %d of %d, %.0f/s, %.0f s left", description, done, total, speed, left)

    return advance
