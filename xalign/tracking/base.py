"""What a service for looking at runs is given: one of these a service, one call a kind of thing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Cell = str | float | int | bool | None


class Tracking:
    """Takes everything and shows nothing: of runs that are looked at in their folders alone."""

    def begin(self, config: Mapping[str, object]) -> None:
        """Open the run, with its resolved config."""

    def figures(self, values: Mapping[str, float]) -> None:
        """Figures of the whole run, by name."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """A table to sort and filter."""

    def bars(self, name: str, title: str, rows: Sequence[tuple[str, float]]) -> None:
        """A bar a row."""

    def picture(self, name: str, path: Path) -> None:
        """A picture (PNG)."""

    def page(self, name: str, path: Path) -> None:
        """A page of HTML with all that it needs in it."""

    def artifact(self, name: str, kind: str, files: Sequence[Path], about: Mapping[str, object]) -> None:
        """Files or folders that others build on."""

    def alert(self, title: str, text: str) -> None:
        """Something that a person should hear of at once."""

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Inside, another process logs into the run."""
        yield

    def end(self, exit_code: int) -> None:
        """Close the run: 0 done, 128 + n stopped by a signal, else failed."""
