"""The same for TensorBoard: figures, pictures, tables as text, the config as hyperparameters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xalign.tracking.base import Cell, Tracking

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

MOST_ROWS = 500
"""Of a table, which is text here."""


class TensorboardTracking(Tracking):
    """Writes beside the steps, which Lightning's logger writes to the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: Mapping[str, object] = {}
        self.found: dict[str, float] = {}
        self._writer: SummaryWriter | None = None

    @property
    def writer(self) -> "SummaryWriter":
        """Opened at the first call."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder))
        return self._writer

    def begin(self, config: Mapping[str, object]) -> None:
        self.config = config

    def figures(self, values: Mapping[str, float]) -> None:
        self.found |= values
        for name, value in values.items():
            self.writer.add_scalar(name, value)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
        lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows[:MOST_ROWS]]
        self.writer.add_text(name, "\n".join(lines))

    def bars(self, name: str, title: str, rows: Sequence[tuple[str, float]]) -> None:
        self.figures({f"{name}/{label}": value for label, value in rows})

    def picture(self, name: str, path: Path) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        self.writer.add_image(name, pixels, dataformats="HWC")

    def alert(self, title: str, text: str) -> None:
        self.writer.add_text(title, text)

    def end(self, exit_code: int) -> None:
        if exit_code == 0 and self.found:
            plain = {k: v for k, v in flat(self.config).items() if isinstance(v, str | int | float | bool)}
            self.writer.add_hparams(plain, dict(self.found), run_name=".")
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Dotted keys: {'loss': {'tau': 0.05}} -> {'loss.tau': 0.05}."""
    found: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _cell(cell: Cell) -> str:
    text = f"{cell:.4g}" if isinstance(cell, float) else str("" if cell is None else cell)
    return text.replace("|", "\\|").replace("\n", " ")
