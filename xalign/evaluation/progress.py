"""One progress bar a task on stderr; where that is no terminal, a plain line now and then."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.text import Text

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0

Advance = Callable[[int], None]


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "-/s", style="progress.data.speed")


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Advance]:
    """Yield a function that counts finished items: `advance(3)`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(description, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), Remaining())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


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
