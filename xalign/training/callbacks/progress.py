"""The progress bar: losses, pairs and tokens a second, time left. Plain lines where there is no terminal."""

import pytorch_lightning as pl

from xalign.base.terminal import Bar, stderr
from xalign.data.step import StepBatch
from xalign.training.module import AlignedModel


class TrainingProgress(pl.Callback):
    """A rich bar on standard error of rank 0."""

    def __init__(self) -> None:
        self.bar: Bar | None = None  # what ends training before it starts is told by itself

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, AlignedModel)
        self.steps = pl_module.config.trainer.steps
        if trainer.is_global_zero and stderr().is_terminal:
            self.bar = Bar("training", self.steps, pl_module.next_step)
            self.bar.start()

    def at_step_end(self, trainer: pl.Trainer, module: AlignedModel, batch: StepBatch) -> None:
        text = _summary(module.last_metrics)
        done = module.next_step
        if self.bar:
            self.bar.note = text
            self.bar.update(self.bar.own, completed=done)
        elif trainer.is_global_zero and (done % max(1, self.steps // 10) == 0 or done == self.steps):
            stderr().print(f"training {done}/{self.steps} {text}", highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None


def _summary(metrics: dict[str, float]) -> str:
    parts = [f"loss {metrics['loss']:.3f}"]
    parts += [f"{k.removeprefix('loss/')} {v:.3f}" for k, v in metrics.items() if k.startswith("loss/")]
    parts += [f"{metrics['pairs_per_second']:.0f} pairs/s", f"{metrics['tokens_per_second']:.0f} tokens/s"]
    return " · ".join(parts)
