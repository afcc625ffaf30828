"""The objectives on a step's batch: forward, backward, a micro-batch at a time.

Each leaves in the parameters' `.grad` the gradient of this rank's share of its mean over the global batch,
and returns that share, detached, with figures for the log. Summed over ranks, N ranks equal one on the same
batch; what a micro-batch holds makes no difference either. One objective's activations are gone before the
next begins.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from xalign import collectives
from xalign.config import Config
from xalign.data.collate import Buckets, Tokens
from xalign.data.datamodule import StepBatch
from xalign.models.adapters import Adapter
from xalign.models.backbone import Backbone
from xalign.objectives.cached import cached_backward
from xalign.objectives.contrastive import Negatives, info_nce, unit_vectors
from xalign.objectives.instruction import answer_cross_entropy
from xalign.objectives.linear_cross_entropy import add_cross_entropy_gradients, linear_cross_entropy
from xalign.objectives.linear_kl import linear_kl
from xalign.objectives.queue import NegativeQueue
from xalign.objectives.retention import retention_kl
from xalign.phases import phases
from xalign.training.sharding import in_step, is_sharded

Objective = Callable[[StepBatch], tuple[Tensor, dict[str, float]]]


class Losses:
    """The three objectives of a model."""

    def __init__(self, backbone: Backbone, adapter: Adapter, config: Config, layer: int) -> None:
        self.backbone, self.adapter, self.config, self.layer = backbone, adapter, config, layer
        self.queue = NegativeQueue(config.loss.queue) if config.loss.queue else None

    def contrastive(self, batch: StepBatch) -> tuple[Tensor, dict[str, float]]:
        """InfoNCE over the global batch, however small the micro-batches; with the share of hits."""
        assert batch.sentences is not None
        sentences, loss = self._in_step(batch.sentences), self.config.loss
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
        buckets = self._in_step(batch.instructions).buckets
        count = collectives.global_sum(sum(b.supervised_count for b in buckets))
        parts = []
        for tokens in buckets:
            with phases("forward"):
                hidden_SD, targets_S = self.backbone.supervised(tokens)
            parts.append(self._answers(hidden_SD, targets_S, 1 / max(count, 1)))
        return torch.stack(parts).sum(), {}

    def retention(self, batch: StepBatch) -> tuple[Tensor, dict[str, float]]:
        """KL to the model before training, at sampled positions."""
        assert batch.retention is not None
        buckets = self._in_step(batch.retention).buckets
        chosen = self._sampled_positions(batch.retention, batch.step)
        chosen += [torch.zeros_like(b.content_mask, dtype=torch.bool) for b in buckets[len(chosen) :]]
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

    def _answers(self, hidden_SD: Tensor, targets_S: Tensor, scale: float) -> Tensor:
        """`scale` times the targets' summed cross-entropy, forward and backward."""
        backbone = self.backbone
        plain = backbone.plain_head()
        if plain is None:
            with phases("forward"):
                loss = scale * answer_cross_entropy(backbone.head(hidden_SD), targets_S)
            return self._backward(loss)
        (weight_VD, bias_V), softcap, rounded_SD = plain, backbone.softcap, backbone.rounded(hidden_SD)
        if weight_VD.requires_grad and not is_sharded(backbone):
            with phases("forward"):
                loss, gradient_SD = add_cross_entropy_gradients(
                    rounded_SD, weight_VD, targets_S, scale=scale, bias_V=bias_V, softcap=softcap
                )
            with phases("backward"):
                hidden_SD.backward(gradient_SD.to(hidden_SD.dtype))
            return loss
        with phases("forward"):
            loss = scale * linear_cross_entropy(
                rounded_SD, weight_VD, targets_S, bias_V=bias_V, softcap=softcap
            )
        return self._backward(loss)

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
        if is_sharded(self.backbone):
            self.backbone.forget_rounded_head()  # the next pass gathers it anew
        return loss.detach()

    def _in_step(self, batch: Buckets) -> Buckets:
        return in_step(batch) if is_sharded(self.backbone) else batch

    def _sampled_positions(self, batch: Buckets, step: int) -> list[Tensor]:
        """`trainer.retention_tokens` a rank of the global batch's positions, as masks of the buckets' shapes.

        Each position of a text draws a number, whatever rank and row the text is on; the lowest are taken.
        """
        rank, ranks = collectives.rank(), collectives.world_size()
        own_number = batch.order.argsort().tolist()  # by place in the buckets
        drawn: list[list[Tensor]] = []
        for tokens in batch.buckets:
            drawn.append([])
            for count in tokens.content_counts():
                number = own_number.pop(0) * ranks + rank
                generator = torch.Generator().manual_seed(mixed_seed(self.config.seed, step, number))
                drawn[-1].append(torch.rand(count, generator=generator, dtype=torch.float64))
        flat = [torch.cat(numbers) for numbers in drawn]
        every = sorted(collectives.gather_lists(torch.cat(flat).tolist()))
        taken = min(self.config.trainer.retention_tokens * ranks, len(every))
        highest = every[taken - 1] if taken else -1.0
        chosen = []
        for tokens, numbers in zip(batch.buckets, flat, strict=True):
            mask = tokens.content_mask.bool().cpu()
            chosen.append(mask.masked_scatter(mask, numbers <= highest).to(tokens.content_mask.device))
        return chosen


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers, such that neighbours give unrelated streams."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
