"""The mean of what was trained, over late steps, in the place of the last step's."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from xalign.config.training import TrainerConfig
from xalign.training.module import AlignedModel


class Average(pl.Callback):
    """Stochastic weight averaging (Izmailov et al. 2018, algorithm 1), a model every step: at the last step
    the trained parameters become their mean over all steps after the share `trainer.average_from` of them.

    To stand before whatever measures or saves the last step. torch's and Lightning's own averaging copy the
    whole model, frozen weights too.
    """

    def __init__(self, config: TrainerConfig) -> None:
        assert config.average_from is not None
        self.last = config.steps
        self.first = min(int(config.average_from * config.steps) + 1, config.steps)
        self.count = 0
        self.mean: list[Tensor] = []
        """Of each trained parameter, in float32, over the steps so far."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, AlignedModel)
        step, trained = pl_module.next_step, pl_module.trained
        if step < self.first:
            return
        self.count += 1
        with torch.no_grad():
            if self.count == 1:
                self.mean = [parameter.detach().float().clone() for parameter in trained]
            for mean, parameter in zip(self.mean, trained, strict=True):
                mean.lerp_(parameter.to(mean), 1 / self.count)
            if step == self.last:
                for mean, parameter in zip(self.mean, trained, strict=True):
                    parameter.copy_(mean)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count, self.mean = state_dict["count"], state_dict["mean"]
