"""Lightning's early stopping, on figures of validation."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks.early_stopping import EarlyStopping as LightningEarlyStopping

from xalign.evaluation.figures import metric_of
from xalign.training.module import AlignedModel


class EarlyStopping(LightningEarlyStopping):
    """Stops training when `monitor` has not got better for `patience` measurements.

    Whether more is better the metric itself says, unless `mode` does. A run that was stopped so and is
    started again, say because it was killed before its model was written, trains no further.
    """

    def __init__(self, monitor: str, *, mode: str | None = None, patience: int = 3, **options: Any) -> None:
        super().__init__(
            monitor,
            mode=mode or "min",
            patience=patience,
            check_on_train_epoch_end=False,
            verbose=options.pop("verbose", True),
            **options,
        )
        self.mode_given = mode is not None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        assert isinstance(pl_module, AlignedModel)
        validation = pl_module.config.validation
        if not self.mode_given and validation is not None and self.monitor.startswith("eval/"):
            self.mode = "max" if metric_of(self.monitor, validation).higher_is_better else "min"
            worst = float("-inf") if self.mode == "max" else float("inf")
            self.best_score = self.best_score.new_tensor(worst)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stopping_reason_message is not None:  # of a checkpoint: it had stopped
            trainer.should_stop = True
