"""Where metrics go besides `metrics.jsonl`; a resumed run goes on in the same place."""

import csv
import io
import json
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from xalign.base.files import naming, write_atomically
from xalign.config.choices import LoggerName
from xalign.config.schema import Config
from xalign.tracking.wandb_run import WandbSteps
from xalign.workspace.folder import RunFolder


def logger_of(config: Config, folder: RunFolder, step: int) -> Logger | None:
    """The configured logger, for a run that has done so many steps."""
    match config.logger.name:
        case LoggerName.none:
            return None
        case LoggerName.csv:
            return CsvMetrics(folder.path / "logs" / "metrics.csv", folder.metrics)
        case LoggerName.tensorboard:
            # What an interrupted run logged beyond its checkpoint comes again: the former is hidden.
            return TensorBoardLogger(folder.path, name="logs", version="tensorboard", purge_step=step + 1)
        case LoggerName.wandb:
            return WandbSteps(config.logger, folder.path, str(folder.known().get("wandb_id")))


@contextmanager
def finished(logger: Logger | None) -> Iterator[None]:
    """Close W&B's run on leaving where it was opened for the steps alone: the next run of this process would
    be logged into it."""
    try:
        yield
    finally:
        if isinstance(logger, WandbSteps):
            logger.finish()


class RunLogger(Logger):
    """What Lightning's callbacks have as the trainer's logger: figures that they log go into the step's line,
    and with it to the configured logger, whose `experiment` this has."""

    def __init__(self, real: Logger | None) -> None:
        super().__init__()
        self.real = real
        self._logged: dict[str, float] = {}

    @property
    def name(self) -> str | None:
        return "run" if self.real is None else self.real.name

    @property
    def version(self) -> int | str | None:
        return "" if self.real is None else self.real.version

    @property
    def experiment(self) -> Any:
        """The configured logger's, such as W&B's run."""
        return getattr(self.real, "experiment", None)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep them for the step that is under way."""
        self._logged |= {key: float(value) for key, value in metrics.items() if key != "epoch"}

    def take(self) -> dict[str, float]:
        """What was logged since this was last called."""
        logged, self._logged = self._logged, {}
        return logged

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """They are in `config.yaml`."""


class CsvMetrics(Logger):
    """`metrics.jsonl` as a table.

    Begun anew from that file whenever training starts or there is a new column, so that a killed run leaves
    neither gaps nor repetitions; otherwise a row is added a step. (Lightning's own empties the file.)
    """

    name, version = "csv", ""

    def __init__(self, path: Path, source: Path) -> None:
        super().__init__()
        self.path, self.source = path, source
        self.columns: list[str] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row whose line is in the source already."""
        if metrics.keys() <= set(self.columns):
            with naming(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(metrics)
            return
        rows = [json.loads(line) for line in self.source.read_text(encoding="utf-8").splitlines()]
        self.columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path, text.getvalue())

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """They are in `config.yaml`."""
