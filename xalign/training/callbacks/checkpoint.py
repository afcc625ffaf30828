"""When to save: every few steps or minutes, at the end, when losses go wrong, and when asked to stop."""

import time
from pathlib import Path

import pytorch_lightning as pl

from xalign.base.errors import Stopped
from xalign.base.files import fsync
from xalign.base.stopping import Requests
from xalign.config.training import TrainerConfig
from xalign.data.step import StepBatch
from xalign.distributed import collectives
from xalign.training.callbacks.guard import Diverged
from xalign.training.checkpoints import Kind, remove_unfinished, write
from xalign.training.module import AlignedModel
from xalign.workspace.folder import RunFolder


class StopRequests(pl.Callback):
    """Notes signals while there is training; the first of the callbacks, so that none gets lost."""

    def __init__(self) -> None:
        self.requests = Requests()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Now, not earlier: Lightning has just put a handler of its own in place, which starts a broadcast in
        # the middle of whatever the ranks are doing.
        self.requests.start()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.requests.end()


class Checkpoints(pl.Callback):
    """Saves at step boundaries, on all ranks at the same one, whichever of them was asked to stop.

    The steps' lines in `metrics.jsonl` are on disk before the checkpoint is.
    """

    def __init__(self, folder: RunFolder, config: TrainerConfig, requests: Requests) -> None:
        self.folder, self.requests = folder, requests
        self.every, self.last = config.checkpoint_every, config.steps
        self.seconds = 60 * config.checkpoint_minutes
        self.saved, self.saved_at = 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, AlignedModel)
        self.saved = pl_module.next_step
        if trainer.is_global_zero:
            remove_unfinished(self.folder.checkpoints)
        # A clock that nobody sets: changes of the time of day mean nothing to it.
        self.saved_at = time.monotonic()

    def at_step_end(self, trainer: pl.Trainer, module: AlignedModel, batch: StepBatch) -> None:
        step = module.next_step
        # The first rank's clock counts for all; a signal may reach any of them.
        due = trainer.is_global_zero and time.monotonic() - self.saved_at >= self.seconds
        asked, late = collectives.maxima([self.requests.asked, due])
        if asked or late or step % self.every == 0 or step == self.last:
            self._save(trainer, step)
        if asked:
            raise Stopped(int(asked), f"step {step} is saved")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, AlignedModel)
        if pl_module.next_step not in (self.saved, self.last):  # a callback has ended training
            self._save(trainer, pl_module.next_step)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        assert isinstance(pl_module, AlignedModel)
        if isinstance(exception, Diverged):
            self._save(trainer, pl_module.next_step)

    def _save(self, trainer: pl.Trainer, step: int) -> None:
        if trainer.is_global_zero:
            fsync(self.folder.metrics)
        save(trainer, self.folder.checkpoints, Kind.step, step)
        self.saved, self.saved_at = step, time.monotonic()


def save(trainer: pl.Trainer, folder: Path, kind: Kind, step: int) -> None:
    """Write a checkpoint of a trainer's state; of the kind `best`, without that of the optimizer.

    Raises:
        Unwritable: the disk is full.
    """
    weights_only = kind is Kind.best
    write(
        folder,
        kind,
        step,
        lambda path: trainer.save_checkpoint(path, weights_only=weights_only),
        first=trainer.is_global_zero,
    )
