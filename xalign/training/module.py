"""The aligned generative model and its objectives, as a LightningModule.

Optimization is manual because each objective's gradient is looked at, weighted and clipped by itself
(`xalign/training/combine.py`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import nn

from xalign.base.phases import phases
from xalign.config.schema import Config
from xalign.data.step import StepBatch
from xalign.distributed import collectives
from xalign.distributed.collectives import is_sharded
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone
from xalign.models.reference import FrozenCopy, Reference
from xalign.objectives.base import Objective
from xalign.objectives.passes import Pass, mixed_seed
from xalign.training import gradients
from xalign.training.accumulate import accumulate
from xalign.training.combine import combine
from xalign.training.optimizer import build_optimizer, cosine_with_warmup
from xalign.training.sharding import mesh_of, shard

FORMER_QUEUE = "queue"
"""Key of the contrastive queue in checkpoints of earlier versions, which had no `objectives`."""


class AtStepEnd(Protocol):
    """Something to be done at the end of each step, when all callbacks have logged."""

    def at_step_end(self, trainer: pl.Trainer, module: "AlignedModel", batch: StepBatch) -> None: ...


class AlignedModel(pl.LightningModule):
    """A backbone trained on the weighted sum of its objectives."""

    def __init__(
        self,
        backbone: Backbone,
        adapter: Adapter,
        objectives: Mapping[str, Objective],
        config: Config,
        reference: Reference | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False  # checkpoints hold trained parameters only
        self.backbone = backbone
        self.adapter = adapter
        self.objectives = dict(objectives)
        self.own = nn.ModuleDict({name: o.own for name, o in objectives.items() if o.own is not None})
        """What objectives train beside the model."""
        self.reference = reference
        self.config = config
        self.next_step = 0
        self.last_metrics: dict[str, float] = {}
        """Everything that was logged of the step."""
        self.at_step_end: Sequence[AtStepEnd] = ()
        """What is done when a step has been logged, in this order."""

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters that are trained, in a fixed order."""
        return [p for p in self.parameters() if p.requires_grad]

    def configure_model(self) -> None:
        # Lightning gives a mesh under strategy=fsdp alone.
        if self.device_mesh is None or is_sharded(self.backbone):
            return
        mesh = mesh_of(self.device_mesh.device_type, self.config.strategy.replicate)
        shard(self.backbone, mesh, self.config.strategy, self.adapter.whole())
        if isinstance(self.reference, FrozenCopy):
            shard(self.reference.backbone, mesh, self.config.strategy)

    # The step.

    def training_step(self, batch: StepBatch, batch_idx: int) -> None:
        config, step = self.config, batch.step
        # Dropout, too, is a function of the step alone, so that a resumed run repeats it.
        torch.manual_seed(mixed_seed(config.seed, step, collectives.rank()))
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert not isinstance(optimizer, list)
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
        metrics: dict[str, float] = {"step": step + 1, "lr": float(scheduler.get_last_lr()[0])}
        parts: dict[str, gradients.Gradients] = {}
        weights: dict[str, float] = {}
        total = 0.0
        for name, part in batch.parts.items():
            optimizer.zero_grad(set_to_none=True)
            objective = self.objectives[name]
            value, figures = accumulate(objective, self.run(step), part)
            with phases("backward"):
                collectives.sum_gradients(self.trained)
            parts[name] = gradients.of(self.trained)
            weights[name] = objective.config.weight_at(step, config.trainer.steps)
            if objective.multiplier is not None:
                weights[name] *= objective.multiplier.value
                metrics[f"{name}_multiplier"] = objective.multiplier.value
                objective.multiplier.see(value)
            metrics |= {f"loss/{name}": value} | {f"{name}_{key}": figure for key, figure in figures.items()}
            total += weights[name] * value
        metrics["loss"] = total
        with phases("optimizer"):
            joined = combine(
                config.loss.combine,
                parts,
                weights,
                clip_norm=config.trainer.clip_norm,
                seed=mixed_seed(config.seed, step),
                statistics=step % config.trainer.gradient_stats_every == 0,
            )
            parts.clear()  # the optimizer needs the room
            metrics |= joined.figures | {"gradient_norm": joined.norm}
            for parameter, gradient in zip(self.trained, joined.gradient, strict=True):
                parameter.grad = gradient
            finite = math.isfinite(total) and math.isfinite(joined.norm)
            if finite:
                optimizer.step()
        metrics["skipped"] = float(not finite)
        scheduler.step()
        self.next_step = step + 1
        self.log_dict(metrics)

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        """Lightning's `log`, by which its callbacks see a figure; and for the step's line in the log, whoever
        calls it, before or after others."""
        self.last_metrics[name] = value if isinstance(value, int | float) else float(value)
        # The line goes to the loggers as a whole.
        super().log(name, value, *args, **{**options, "logger": False})

    def on_train_batch_end(self, outputs: Any, batch: StepBatch, batch_idx: int) -> None:
        # After every callback, in whichever order they are.
        for follow_up in self.at_step_end:
            follow_up.at_step_end(self.trainer, self, batch)
        # What is logged from now on, as at the start of the next step, belongs to the next line.
        self.last_metrics = {}

    def run(self, step: int) -> Pass:
        """What objectives may run of the model at a step."""
        return Pass(self.backbone, self.reference, self.config.seed, step)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self, self.config.optimizer)
        scheduler = cosine_with_warmup(optimizer, self.config.optimizer, self.config.trainer.steps)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    # Checkpoints: what was trained, what objectives keep, and where training stands.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = {name for name, p in self.named_parameters() if p.requires_grad}
        kept |= {f"own.{name}" for name, _ in self.own.named_buffers()}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in kept}
        checkpoint["next_step"] = self.next_step
        checkpoint["objectives"] = {name: o.state() for name, o in self.objectives.items()}
        checkpoint["multipliers"] = {
            name: o.multiplier.value for name, o in self.objectives.items() if o.multiplier is not None
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.next_step = int(checkpoint["next_step"])
        states = checkpoint.get("objectives")
        if states is None:
            states = {"contrastive": checkpoint[FORMER_QUEUE]} if FORMER_QUEUE in checkpoint else {}
        for name, state in states.items():
            if name in self.objectives:
                self.objectives[name].load_state(state)
        for name, value in checkpoint.get("multipliers", {}).items():
            multiplier = self.objectives[name].multiplier if name in self.objectives else None
            if multiplier is not None:
                multiplier.value = float(value)
