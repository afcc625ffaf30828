"""The one console on standard error: log lines and bars only make way for each other if they share it."""

import logging
from functools import cache

from rich.console import Console, RenderableType
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text


@cache
def stderr() -> Console:
    """The console on standard error."""
    return Console(stderr=True)


def log_handler() -> logging.Handler:
    """Log lines for people; whole lines, not wrapped ones, where they go to a file."""
    if stderr().is_terminal:
        return RichHandler(console=stderr(), show_path=False, show_level=False, log_time_format="%H:%M:%S")
    plain = logging.StreamHandler()
    plain.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    return plain


class Bar(Progress):
    """A bar with count, speed, elapsed and remaining time, and below it a line that `note` sets."""

    def __init__(self, description: str, total: int, completed: int = 0) -> None:
        self.note = ""
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Speed(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=stderr(),
        )
        self.own = self.add_task(description, total=total, completed=completed)

    def make_tasks_table(self, tasks: "list[Task]") -> Table:  # type: ignore[override]
        """The bar and the note below it."""
        rows: list[RenderableType] = [super().make_tasks_table(tasks)]
        if self.note:
            rows.append(Text(f"  {self.note}", style="dim", no_wrap=True, overflow="ellipsis"))
        table = Table.grid()
        for row in rows:
            table.add_row(row)
        return table


class DownloadBar(Progress):
    """A bar with size, speed and remaining time of a download."""

    def __init__(self, description: str, total: int) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=stderr(),
        )
        self.own = self.add_task(description, total=total)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.0f}/s" if speed >= 10 else f"{speed:.2g}/s", style="progress.data.speed")
