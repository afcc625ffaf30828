"""The aligned generative model and its objective, as a LightningModule.

Optimization is manual because each objective's gradient is looked at, clipped and weighted by itself:
at the start the instruction gradient is some sixty times the contrastive one, and under one global
clip it would drown it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from xalign import collectives
from xalign.choices import GradientClipping
from xalign.config import Config
from xalign.data.datamodule import StepBatch
from xalign.models.adapters import Adapter
from xalign.models.backbone import Backbone
from xalign.objectives import gradients
from xalign.objectives.contrastive import info_nce
from xalign.objectives.instruction import answer_cross_entropy
from xalign.objectives.retention import retention_kl
from xalign.training.optimizer import adamw, cosine_with_warmup


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
        weights = config.loss
        objectives: dict[str, tuple[float, Callable[[StepBatch], tuple[Tensor, dict[str, float]]]]] = {
            "contrastive": (weights.contrastive_weight, self.contrastive_loss),
            "instruction": (weights.instruction_weight, self.instruction_loss),
            "retention": (weights.retention_weight, self.retention_loss),
        }
        self.objectives = {name: pair for name, pair in objectives.items() if pair[0] > 0}

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters that are trained, in a fixed order."""
        return [p for p in self.backbone.parameters() if p.requires_grad]

    # The losses: sums over this rank's rows, divided by global counts.

    def contrastive_loss(self, batch: StepBatch) -> tuple[Tensor, dict[str, float]]:
        """Mean InfoNCE over the global batch: this rank's share, with the share of nearest translations."""
        assert batch.sentences is not None
        loss = self.config.loss
        vectors = self.backbone.represent_buckets(batch.sentences, self.layer, loss.pooling)
        source, target = vectors.chunk(2)
        start = collectives.rank() * batch.pairs
        summed, hits = info_nce(
            collectives.gather_rows(source),
            collectives.gather_rows(target),
            groups_N=collectives.gather_rows(batch.groups),
            source_keys_N=collectives.gather_rows(batch.source_keys),
            target_keys_N=collectives.gather_rows(batch.target_keys),
            tau=loss.tau,
            symmetric=loss.symmetric,
            centering=loss.centering,
            rows=slice(start, start + batch.pairs),
        )
        count = batch.pairs * collectives.world_size()
        return summed / count, {"contrastive_accuracy": collectives.global_sum(float(hits)) / count}

    def instruction_loss(self, batch: StepBatch) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy of answer tokens over the global batch: this rank's share."""
        assert batch.instructions is not None
        pairs = [self.backbone.supervised_logits(bucket) for bucket in batch.instructions.buckets]
        count = collectives.global_sum(sum(len(targets) for _, targets in pairs))
        summed = torch.stack([answer_cross_entropy(logits, targets) for logits, targets in pairs]).sum()
        return summed / max(count, 1), {}

    def retention_loss(self, batch: StepBatch) -> tuple[Tensor, dict[str, float]]:
        """Mean KL to the model before training at sampled positions: this rank's share."""
        assert batch.retention is not None
        buckets = batch.retention.buckets
        chosen = self._sampled_positions([b.content_mask for b in buckets], batch.step)
        count = collectives.global_sum(sum(int(c.sum()) for c in chosen))
        parts = []
        depth = self.backbone.depth
        for bucket, positions in zip(buckets, chosen, strict=True):
            with torch.no_grad(), self.adapter.disabled():
                before_SD = self.backbone.hidden_states(bucket, depth)[positions]
            now_SD = self.backbone.hidden_states(bucket, depth)[positions]
            # One pass of the head for both: rounding a large vocabulary's weights to bf16 takes as
            # long as the product itself.
            before, now = self.backbone.head(torch.cat([before_SD, now_SD])).chunk(2)
            parts.append(retention_kl(before.detach(), now))
        return torch.stack(parts).sum() / max(count, 1), {}

    def _sampled_positions(self, masks: list[Tensor], step: int) -> list[Tensor]:
        """As many of the masks' positions as `trainer.retention_tokens`, as masks of the same shapes."""
        generator = torch.Generator().manual_seed(_mixed(self.config.seed, step, collectives.rank()))
        flat = torch.cat([m.flatten() for m in masks]).cpu()
        positions = flat.nonzero().flatten()
        keep = positions[torch.randperm(len(positions), generator=generator)]
        chosen = torch.zeros_like(flat, dtype=torch.bool)
        chosen[keep[: self.config.trainer.retention_tokens]] = True
        parts = chosen.split([m.numel() for m in masks])
        return [p.view(m.shape).to(m.device) for p, m in zip(parts, masks, strict=True)]

    # The step.

    def training_step(self, batch: StepBatch, batch_idx: int) -> None:
        # Dropout, too, is a function of the step alone, so that a resumed run repeats it.
        torch.manual_seed(_mixed(self.config.seed, batch.step, collectives.rank()))
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert not isinstance(optimizer, list)
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
        metrics: dict[str, float] = {"step": batch.step + 1, "lr": float(scheduler.get_last_lr()[0])}
        per_objective: dict[str, gradients.Gradients] = {}
        total = 0.0
        for name, (weight, objective) in self.objectives.items():
            optimizer.zero_grad(set_to_none=True)
            loss, extra = objective(batch)
            self.manual_backward(loss)
            collectives.sum_gradients(self.trained)
            per_objective[name] = [p.grad for p in self.trained]
            value = collectives.global_sum(float(loss.detach()))
            metrics |= {f"loss/{name}": value, **extra}
            total += weight * value
        metrics["loss"] = total
        joined = self._join(per_objective, metrics, batch.step)
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
        joined = gradients.add(list(parts.values()))
        if trainer.clip is GradientClipping.total:
            metrics["gradient_norm"] = float(gradients.clip_(joined, trainer.clip_norm))
        else:
            metrics["gradient_norm"] = float(gradients.norm(joined))
        return joined

    def configure_optimizers(self) -> Any:
        optimizer = adamw(self.backbone, self.config.optimizer)
        scheduler = cosine_with_warmup(optimizer, self.config.optimizer, self.config.trainer.steps)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    # Checkpoints: what was trained, and where training stands.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
        checkpoint["next_step"] = self.next_step

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.next_step = int(checkpoint["next_step"])


def _mixed(*numbers: int) -> int:
    """One seed from several numbers, such that neighbours give unrelated streams."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
