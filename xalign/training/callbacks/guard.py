"""Non-finite losses: the step is skipped and said so; after a few in a row the run stops, state saved."""

import logging

import pytorch_lightning as pl

from xalign.base.errors import RunError
from xalign.data.step import StepBatch
from xalign.training.module import AlignedModel

log = logging.getLogger(__name__)


class Diverged(RunError):
    """Too many steps in a row were not finite. Raised on all ranks alike, between steps."""


class NonFiniteGuard(pl.Callback):
    """Stops after `max_bad_steps` consecutive steps whose loss or gradient was NaN or infinite."""

    def __init__(self, max_bad_steps: int) -> None:
        self.max_bad_steps = max_bad_steps
        self.bad = 0

    def at_step_end(self, trainer: pl.Trainer, module: AlignedModel, batch: StepBatch) -> None:
        metrics = module.last_metrics
        if not metrics["skipped"]:
            self.bad = 0
            return
        self.bad += 1
        losses = ", ".join(f"{k}={v:.4g}" for k, v in metrics.items() if k.startswith("loss/"))
        log.warning(
            "step %d skipped: loss or gradient is not finite (%s, gradient norm %.4g)",
            metrics["step"],
            losses,
            metrics["gradient_norm"],
        )
        if self.bad >= self.max_bad_steps:
            raise Diverged(
                f"{self.bad} steps in a row had a non-finite loss or gradient "
                f"(last: step {metrics['step']:.0f}, {losses}); the parameters are still those of the last "
                "good step, and saved. Try a lower optimizer.lr, a larger loss.tau or trainer.precision=fp32"
            )
