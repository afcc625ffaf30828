"""The aligned generative model and its objective, as a LightningModule.

Optimization is manual because each objective's gradient is looked at, clipped and weighted by itself:
at the start the instruction gradient is some sixty times the contrastive one, and under one global
clip it would drown it.
"""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from xalign import collectives
from xalign.choices import GradientClipping
from xalign.config import Config
from xalign.data.datamodule import StepBatch
from xalign.models.adapters import Adapter
from xalign.models.backbone import Backbone
from xalign.objectives import gradients
from xalign.phases import phases
from xalign.training.losses import Losses, Objective, mixed_seed
from xalign.training.optimizer import build_optimizer, cosine_with_warmup
from xalign.training.sharding import is_sharded, shard


class AlignedModel(pl.LightningModule):
    """A backbone trained on w_c L_contrastive + w_i L_instruction + w_r L_retention."""

    def __init__(self, backbone: Backbone, adapter: Adapter, config: Config, layer: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False  # checkpoints hold trained parameters only
        self.backbone = backbone
        self.adapter = adapter
        self.config = config
        self.layer = layer
        self.next_step = 0
        self.last_metrics: dict[str, float] = {}
        self.losses = Losses(backbone, adapter, config, layer)
        weights = config.loss
        objectives: dict[str, tuple[float, Objective]] = {
            "contrastive": (weights.contrastive_weight, self.losses.contrastive),
            "instruction": (weights.instruction_weight, self.losses.instruction),
            "retention": (weights.retention_weight, self.losses.retention),
        }
        self.objectives = {name: pair for name, pair in objectives.items() if pair[0] > 0}

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters that are trained, in a fixed order."""
        return [p for p in self.backbone.parameters() if p.requires_grad]

    def configure_model(self) -> None:
        # Lightning gives a mesh under strategy=fsdp alone.
        if self.device_mesh is not None and not is_sharded(self.backbone):
            shard(self.backbone, self.device_mesh["data_parallel"], self.config.strategy)

    # The step.

    def training_step(self, batch: StepBatch, batch_idx: int) -> None:
        # Dropout, too, is a function of the step alone, so that a resumed run repeats it.
        torch.manual_seed(mixed_seed(self.config.seed, batch.step, collectives.rank()))
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert not isinstance(optimizer, list)
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
        metrics: dict[str, float] = {"step": batch.step + 1, "lr": float(scheduler.get_last_lr()[0])}
        per_objective: dict[str, gradients.Gradients] = {}
        total = 0.0
        for name, (weight, objective) in self.objectives.items():
            optimizer.zero_grad(set_to_none=True)
            loss, extra = objective(batch)
            with phases("backward"):
                collectives.sum_gradients(self.trained)
            per_objective[name] = gradients.of(self.trained)
            value = collectives.global_sum(float(loss))
            metrics |= {f"loss/{name}": value, **extra}
            total += weight * value
        metrics["loss"] = total
        with phases("optimizer"):
            joined = self._join(per_objective, metrics, batch.step)
            per_objective.clear()  # the optimizer needs the room
            for parameter, gradient in zip(self.trained, joined, strict=True):
                parameter.grad = gradient
            finite = math.isfinite(total) and math.isfinite(metrics["gradient_norm"])
            if finite:
                optimizer.step()
        metrics["skipped"] = float(not finite)
        scheduler.step()
        self.next_step = batch.step + 1
        self.last_metrics = metrics

    def _join(
        self, parts: dict[str, gradients.Gradients], metrics: dict[str, float], step: int
    ) -> gradients.Gradients:
        """The weighted sum of the objectives' gradients, clipped as configured; norms into `metrics`."""
        trainer = self.config.trainer
        if step % trainer.gradient_stats_every == 0:
            metrics |= {f"gradient_norm/{name}": float(gradients.norm(g)) for name, g in parts.items()}
            if "contrastive" in parts and "instruction" in parts:
                cosine = gradients.cosine(parts["contrastive"], parts["instruction"])
                metrics["gradient_cosine"] = float(cosine)
        for name, gradient in parts.items():
            if trainer.clip is GradientClipping.per_objective:
                gradients.clip_(gradient, trainer.clip_norm)
            gradients.scale_(gradient, self.objectives[name][0])
        joined = gradients.add_(list(parts.values()))
        if trainer.clip is GradientClipping.total:
            metrics["gradient_norm"] = float(gradients.clip_(joined, trainer.clip_norm))
        else:
            metrics["gradient_norm"] = float(gradients.norm(joined))
        return joined

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.backbone, self.config.optimizer)
        scheduler = cosine_with_warmup(optimizer, self.config.optimizer, self.config.trainer.steps)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    # Checkpoints: what was trained, and where training stands.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
        checkpoint["next_step"] = self.next_step
        if self.losses.queue is not None:
            checkpoint["queue"] = self.losses.queue.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.next_step = int(checkpoint["next_step"])
        if self.losses.queue is not None:
            self.losses.queue.load_state_dict(checkpoint["queue"])
