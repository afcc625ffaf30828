"""One progress bar a task on stderr; where that is no terminal, a plain line now and then."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from xalign.base.cache import human_size
from xalign.base.terminal import Bar, DownloadBar, stderr

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


@contextmanager
def download_bar(description: str, total: int, quiet: bool = False) -> Iterator[Advance]:
    """The same for bytes that are downloaded, with their size and speed: `advance(4096)`."""
    if quiet:
        yield lambda count: None
    elif not stderr().is_terminal:
        yield _lines(description, total, human_size)
    else:
        with DownloadBar(description, total) as bar:
            yield lambda count: bar.advance(bar.own, count)


def _lines(description: str, total: int, shown: Callable[[int], str] = str) -> Advance:
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
            done_of = f"{shown(done)} of {shown(total)}, {shown(round(speed))}/s"
            log.info("%s: %s, %.0f s left", description, done_of, left)

    return advance
