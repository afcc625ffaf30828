"""Runs on Weights & Biases: one from the first line to the last, whatever interrupts it."""

import logging
import os
import signal
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import Logger

from xalign.config.schema import LoggerConfig
from xalign.tracking.base import Cell, Tracking

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

log = logging.getLogger(__name__)

STEP = "train/step"
"""What figures of training are drawn over; W&B's own count goes on when a step is repeated."""
SYSTEM = ("pairs_per_second", "tokens_per_second", "mfu", "peak_memory_gb")
"""Figures of the machine, beside those that begin with `seconds/`."""


def section(key: str) -> str:
    """The name of a step's figure on W&B, which makes a section of what stands before the first slash."""
    if key.startswith(("eval/", "analysis/")):
        return key
    return f"system/{key}" if key in SYSTEM or key.startswith("seconds/") else f"train/{key}"


def is_offline(config: LoggerConfig) -> bool:
    """Whether runs stay on disk: as configured, or else where no key is set. `WANDB_MODE` wins."""
    mode = os.environ.get("WANDB_MODE")
    if mode:
        return mode != "online"
    return not has_key() if config.offline is None else config.offline


def has_key() -> bool:
    """Whether `wandb login` has left a key, or the environment has one. (W&B's own call for this asks its
    server.)"""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    place = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return netrc(place).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False


def run_id(known: str | None, made: str) -> str:
    """The id of a run: that of W&B's own sweep, whose agent starts us, or the one of an earlier session."""
    return os.environ.get("WANDB_RUN_ID") or known or made


def opened(config: LoggerConfig, folder: Path, own_id: str, group: str | None = None) -> "Run":
    """The run, begun or gone on with."""
    import wandb

    return wandb.init(
        project=config.project,
        entity=config.entity,
        name=folder.name,
        id=own_id,
        dir=str(folder),
        group=config.group or group,
        job_type=config.job_type,
        tags=config.tags or None,
        notes=config.notes,
        mode="offline" if is_offline(config) else "online",
        resume="allow",
        reinit="return_previous",
        settings=wandb.Settings(silent=True, console="off"),
    )


def define_metrics(run: "Run") -> None:
    """What is drawn over what, and what a run's summary keeps of it."""
    run.define_metric(STEP, hidden=True)
    for name in ("train/*", "system/*", "eval/*", "analysis/*"):
        run.define_metric(name, step_metric=STEP)
    run.define_metric("train/loss", step_metric=STEP, summary="min,last")


class WandbSteps(Logger):
    """A step's figures, in sections, into a run: the one of the whole experiment where this process has it
    open, or one that is opened when the first step is logged, by the one rank that logs."""

    def __init__(self, config: LoggerConfig, folder: Path, own_id: str) -> None:
        super().__init__()
        self.settings, self.folder, self.id = config, folder, own_id
        self.own: Run | None = None
        """What was opened for the steps alone."""

    name, version = "wandb", ""

    @property
    def experiment(self) -> Any:
        """W&B's run; None on ranks that log nothing."""
        import wandb
        from pytorch_lightning.utilities import rank_zero_only

        if wandb.run is not None and wandb.run.id == self.id:
            return wandb.run
        if getattr(rank_zero_only, "rank", 0) != 0:
            return None
        self.own = opened(self.settings, self.folder, self.id)
        define_metrics(self.own)
        return self.own

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a line of `metrics.jsonl`."""
        self.experiment.log({section(key): value for key, value in metrics.items()})

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """They are the run's config already."""

    def finish(self) -> None:
        """Close the run, where it was opened for the steps alone."""
        if self.own is not None:
            self.own.finish()
            self.own = None


class WandbTracking(Tracking):
    """Keeps the run open over the whole experiment."""

    def __init__(self, config: LoggerConfig, folder: Path, own_id: str, group: str | None) -> None:
        self.settings, self.folder, self.id, self.group = config, folder, own_id, group
        self.run: Run | None = None

    def _open(self) -> "Run":
        if self.run is None:
            self.run = opened(self.settings, self.folder, self.id, self.group)
            define_metrics(self.run)
        return self.run

    def begin(self, config: Mapping[str, object]) -> None:
        self._open().config.update(dict(config), allow_val_change=True)

    def figures(self, values: Mapping[str, float]) -> None:
        self._open().summary.update(dict(values))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        import wandb

        # Columns of numbers with gaps are such all the same.
        made = wandb.Table(columns=list(columns), data=[list(row) for row in rows], allow_mixed_types=True)
        self._open().log({name: made})

    def bars(self, name: str, title: str, rows: Sequence[tuple[str, float]]) -> None:
        import wandb

        made = wandb.Table(columns=["label", "value"], data=[list(row) for row in rows])
        self._open().log({name: wandb.plot.bar(made, "label", "value", title=title)})

    def picture(self, name: str, path: Path) -> None:
        import wandb

        self._open().log({name: wandb.Image(str(path))})

    def page(self, name: str, path: Path) -> None:
        import wandb

        self._open().log({name: wandb.Html(path.read_text(encoding="utf-8"), inject=False)})

    def artifact(self, name: str, kind: str, files: Sequence[Path], about: Mapping[str, object]) -> None:
        import wandb

        made = wandb.Artifact(f"{self.folder.name}-{name}", type=kind, metadata=dict(about))
        for path in files:
            if path.is_dir():
                made.add_dir(str(path))
            else:
                made.add_file(str(path))
        self._open().log_artifact(made)

    def alert(self, title: str, text: str) -> None:
        self._open().alert(title=title, text=text)

    @contextmanager
    def lent(self) -> Iterator[None]:
        self._close(0)
        yield
        self._open()

    def end(self, exit_code: int) -> None:
        if self.run is not None and exit_code - 128 in (signal.SIGTERM, signal.SIGUSR1):
            self.run.mark_preempting()  # a scheduler's, and not the run's own end
        self._close(exit_code)

    def _close(self, exit_code: int) -> None:
        if self.run is not None:
            self.run.finish(exit_code=exit_code)
            self.run = None
