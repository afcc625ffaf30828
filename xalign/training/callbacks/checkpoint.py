"""Checkpoints that are whole or absent, at step boundaries only; Ctrl-C and SIGTERM wait for one."""

import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from xalign.errors import RunError
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel

log = logging.getLogger(__name__)

LAST = "last.ckpt"
BEST = "best.ckpt"
"""Trained parameters of the step that `trainer.select` chose, where it is set."""


class Interrupted(RunError):
    """The user or the system asked the run to stop; its state is saved."""

    exit_code = 130


class Unwritable(RunError):
    """The checkpoint could not be written: a full disk, a lost file system."""


class Checkpoints(pl.Callback):
    """Saves every `every` steps, at the end, on a user-facing error, and when told to stop."""

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every
        self.stop_signal: str | None = None
        self.former: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            self.former = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.stop_signal = signal.Signals(number).name
        # A second Ctrl-C does not wait.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log.warning("%s: finishing this step and saving it (Ctrl-C again to stop at once)", self.stop_signal)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, AlignedModel)
        step = pl_module.next_step
        if self.stop_signal or step % self.every == 0 or step == pl_module.config.trainer.steps:
            save(trainer, self.folder / LAST)
        if self.stop_signal:
            raise Interrupted(
                f"stopped by {self.stop_signal} after step {step}; the same command goes on from there"
            )

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, RunError) and not isinstance(exception, Interrupted | Unwritable):
            save(trainer, self.folder / LAST)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)
        self.former = {}


def save(trainer: pl.Trainer, path: Path, *, weights_only: bool = False) -> None:
    """Write a checkpoint, whole or not at all; every rank must call this.

    Raises:
        Unwritable: the disk is full.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(part, weights_only=weights_only)
        if trainer.is_global_zero:
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
    except (OSError, RuntimeError) as error:  # torch's archive writer raises the latter
        part.unlink(missing_ok=True)
        raise Unwritable(
            f"cannot write the checkpoint {part}: {str(error).splitlines()[0]}. "
            "The checkpoint before it, if there is one, is kept; mend the disk and run the same command"
        ) from error


def restore_chosen(backbone: Backbone, folder: Path) -> int:
    """Put the trained parameters that are to be exported into a backbone; returns their step.

    They are the best checkpoint's where steps were chosen between, else the last one's.
    """
    path = folder / BEST if (folder / BEST).exists() else folder / LAST
    saved = torch.load(path, map_location="cpu", weights_only=True)
    values = {name.removeprefix("backbone."): value for name, value in saved["state_dict"].items()}
    backbone.load_state_dict(values, strict=False)
    return int(saved["next_step"])


def newest(folder: Path) -> Path | None:
    """The checkpoint to go on from, if there is one.

    Raises:
        RunError: it cannot be read; names it and what to do.
    """
    path = folder / LAST
    if not path.exists():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises a dozen kinds for damaged archives
        raise RunError(
            f"{path} cannot be read ({type(error).__name__}): it is damaged. Delete it to train again "
            "from the start; what was measured before training is kept"
        ) from error
    return path
