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
from xalign.data.collate import Tokens
from xalign.data.datamodule import StepBatch
from xalign.models.adapters import Adapter
from xalign.models.backbone import Backbone
from xalign.objectives import gradients
from xalign.objectives.cached import cached_backward
from xalign.objectives.contrastive import Negatives, info_nce, unit_vectors
from xalign.objectives.instruction import answer_cross_entropy
from xalign.objectives.queue import NegativeQueue
from xalign.objectives.retention import retention_kl
from xalign.objectives.vocabulary import linear_cross_entropy, linear_kl
from xalign.phases import phases
from xalign.training.optimizer import build_optimizer, cosine_with_warmup


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
        self.queue = NegativeQueue(weights.queue) if weights.queue else None
        objectives: dict[str, tuple[float, Callable[[StepBatch], tuple[Tensor, dict[str, float]]]]] = {
            "contrastive": (weights.contrastive_weight, self.contrastive),
            "instruction": (weights.instruction_weight, self.instruction),
            "retention": (weights.retention_weight, self.retention),
        }
        self.objectives = {name: pair for name, pair in objectives.items() if pair[0] > 0}

    @property
    def trained(self) -> list[nn.Parameter]:
        """Parameters that are trained, in a fixed order."""
        return [p for p in self.backbone.parameters() if p.requires_grad]

    # The objectives: each leaves the gradient of this rank's share of its mean over the global batch.

    def contrastive(self, batch: StepBatch) -> tuple[Tensor, dict[str, float]]:
        """InfoNCE over the global batch, however small the micro-batches; with the share of hits."""
        assert batch.sentences is not None
        sentences, loss = batch.sentences, self.config.loss
        start = collectives.rank() * batch.pairs
        count = batch.pairs * collectives.world_size()
        groups, source_keys, target_keys = map(
            collectives.gather_rows, (batch.groups, batch.source_keys, batch.target_keys)
        )

        def represent(chunk: list[Tokens]) -> Tensor:
            with phases("forward"):
                return torch.cat([self.backbone.represent(t, self.layer, loss.pooling) for t in chunk])

        def loss_of(vectors: Tensor) -> tuple[Tensor, Tensor]:
            source, target = map(collectives.gather_rows, vectors[sentences.order].chunk(2))
            past = None if self.queue is None else self.queue.negatives(vectors.device)
            summed, hits = info_nce(
                source,
                target,
                groups_N=groups,
                source_keys_N=source_keys,
                target_keys_N=target_keys,
                tau=loss.tau,
                symmetric=loss.symmetric,
                centering=loss.centering,
                rows=slice(start, start + batch.pairs),
                past=past,
            )
            if self.queue is not None:
                source, target = (
                    unit_vectors(side.detach(), groups, loss.centering) for side in (source, target)
                )
                self.queue.push(Negatives(source, target, source_keys, target_keys))
            return summed / count, hits

        value, hits = cached_backward(sentences.chunks(), represent, loss_of)
        return value, {"contrastive_accuracy": collectives.global_sum(float(hits)) / count}

    def instruction(self, batch: StepBatch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of answer tokens."""
        assert batch.instructions is not None
        buckets = batch.instructions.buckets
        count = collectives.global_sum(sum(b.supervised_count for b in buckets))
        parts = []
        for tokens in buckets:
            with phases("forward"):
                hidden_SD, targets_S = self.backbone.supervised(tokens)
                summed = self._cross_entropy(hidden_SD, targets_S)
            parts.append(self._backward(summed / max(count, 1)))
        return torch.stack(parts).sum(), {}

    def retention(self, batch: StepBatch) -> tuple[Tensor, dict[str, float]]:
        """KL to the model before training, at sampled positions."""
        assert batch.retention is not None
        buckets = batch.retention.buckets
        chosen = self._sampled_positions([b.content_mask for b in buckets], batch.step)
        count = collectives.global_sum(sum(int(c.sum()) for c in chosen))
        parts = []
        depth = self.backbone.depth
        for tokens, positions in zip(buckets, chosen, strict=True):
            with phases("forward"):
                with torch.no_grad(), self.adapter.disabled():
                    before_SD = self.backbone.hidden_states(tokens, depth)[positions]
                now_SD = self.backbone.hidden_states(tokens, depth)[positions]
                summed = self._kl(before_SD, now_SD)
            parts.append(self._backward(summed / max(count, 1)))
        return torch.stack(parts).sum(), {}

    def _cross_entropy(self, hidden_SD: Tensor, targets_S: Tensor) -> Tensor:
        backbone = self.backbone
        plain = backbone.plain_head()
        if plain is None:
            return answer_cross_entropy(backbone.head(hidden_SD), targets_S)
        weight_VD, bias_V = plain
        hidden_SD = backbone.rounded(hidden_SD)
        return linear_cross_entropy(hidden_SD, weight_VD, targets_S, bias_V=bias_V, softcap=backbone.softcap)

    def _kl(self, before_SD: Tensor, now_SD: Tensor) -> Tensor:
        backbone = self.backbone
        plain = backbone.plain_head()
        if plain is None:
            with torch.no_grad(), self.adapter.disabled():
                before_SV = backbone.head(before_SD)
            return retention_kl(before_SV, backbone.head(now_SD))
        weight_VD, bias_V = plain
        before_SD, now_SD = backbone.rounded(before_SD), backbone.rounded(now_SD)
        return linear_kl(before_SD, now_SD, weight_VD, bias_V=bias_V, softcap=backbone.softcap)

    def _backward(self, loss: Tensor) -> Tensor:
        with phases("backward"):
            loss.backward()
        return loss.detach()

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
            with phases("backward"):
                collectives.sum_gradients(self.trained)
            per_objective[name] = gradients.of(self.trained)
            value = collectives.global_sum(float(loss))
            metrics |= {f"loss/{name}": value, **extra}
            total += weight * value
        metrics["loss"] = total
        with phases("optimizer"):
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
        optimizer = build_optimizer(self.backbone, self.config.optimizer)
        scheduler = cosine_with_warmup(optimizer, self.config.optimizer, self.config.trainer.steps)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    # Checkpoints: what was trained, and where training stands.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
        checkpoint["next_step"] = self.next_step
        if self.queue is not None:
            checkpoint["queue"] = self.queue.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.next_step = int(checkpoint["next_step"])
        if self.queue is not None:
            self.queue.load_state_dict(checkpoint["queue"])


def _mixed(*numbers: int) -> int:
    """One seed from several numbers, such that neighbours give unrelated streams."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
