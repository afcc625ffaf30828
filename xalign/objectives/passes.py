"""What an objective may run of the model in a step: hidden states, sentence vectors, losses at the head.

Shapes: B rows, T tokens, S positions, N texts, D hidden size, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from xalign.config.choices import Pooling
from xalign.data.collate import Buckets, Tokens
from xalign.distributed import collectives
from xalign.distributed.collectives import is_sharded
from xalign.models.backbone import Backbone
from xalign.models.reference import Reference
from xalign.objectives.kernels import full_logits
from xalign.objectives.kernels.linear_cross_entropy import (
    add_cross_entropy_gradients,
    cross_entropies,
    linear_cross_entropy,
)
from xalign.objectives.kernels.linear_kl import linear_kl


@dataclass(frozen=True)
class Pass:
    """The model at one step. What it gives has a gradient, except inside `reference`."""

    backbone: Backbone
    before: Reference | None
    """The model before training; None where no objective needs it."""
    seed: int
    step: int
    scale: float = 1.0
    """By what a `SumObjective`'s sum will be multiplied."""

    def hidden(self, tokens: Tokens, layer: int) -> Tensor:
        """Hidden states (B, T, D) after block `layer`; no later block runs."""
        return self.backbone.hidden_states(tokens, layer)

    def represent(self, tokens: Tokens, layer: int, pooling: Pooling) -> Tensor:
        """A vector for each text (N, D), float32, from blocks [:layer] alone."""
        return self.backbone.represent(tokens, layer, pooling)

    @contextmanager
    def reference(self) -> Iterator["Pass"]:
        """Inside, a pass of the model before training: in evaluation mode, without gradient."""
        assert self.before is not None, (
            "the objective's `needs` do not say that it runs the model before training"
        )
        with self.before.running() as backbone:
            yield Pass(backbone, None, self.seed, self.step)

    def cross_entropy(self, hidden_SD: Tensor, targets_S: Tensor) -> Tensor:
        """Cross-entropy (nats) of the words that follow, from final hidden states, summed (scalar).

        Exact without logits of all positions. Where the head is trained, its gradient is added as the loss is
        computed, in the memory of one: the sum must then be what `SumObjective.summed` returns, not a
        multiple.
        """
        backbone = self.backbone
        plain = backbone.plain_head()
        if plain is None:
            return full_logits.cross_entropy(backbone.head(hidden_SD), targets_S)
        (weight_VD, bias_V), softcap, rounded_SD = plain, backbone.softcap, backbone.before_head(hidden_SD)
        if weight_VD.requires_grad and not is_sharded(backbone) and torch.is_grad_enabled():
            made: Tensor = _IntoHead.apply(rounded_SD, targets_S, weight_VD, bias_V, softcap, self.scale)
            return made
        return linear_cross_entropy(rounded_SD, weight_VD, targets_S, bias_V=bias_V, softcap=softcap)

    def log_likelihoods(self, tokens: Tokens) -> Tensor:
        """Log-likelihood (nats) of each text's supervised tokens (N,), in the order of the texts here."""
        backbone, chosen_BT = self.backbone, tokens.predicts
        hidden_SD = backbone.hidden_states(tokens, backbone.depth)[chosen_BT]
        targets_S = tokens.labels_after(chosen_BT)
        owner_S, count = tokens.owners(chosen_BT), tokens.size
        plain = backbone.plain_head()
        if plain is None:
            logits_SV = backbone.head(hidden_SD).float()
            found_S = logits_SV.log_softmax(-1).gather(1, targets_S[:, None])[:, 0]
            return found_S.new_zeros(count).index_add(0, owner_S, found_S)
        (weight_VD, bias_V), softcap, rounded_SD = plain, backbone.softcap, backbone.before_head(hidden_SD)
        if not (weight_VD.requires_grad and torch.is_grad_enabled()):
            each_S = cross_entropies(rounded_SD, weight_VD, targets_S, bias_V=bias_V, softcap=softcap)
            return each_S.new_zeros(count).index_add(0, owner_S, -each_S)
        # The gradient of a trained head is made for a sum, whose texts weigh as the loss says later.
        texts = [owner_S == number for number in range(count)]
        return -torch.stack(
            [
                linear_cross_entropy(
                    rounded_SD[own_S], weight_VD, targets_S[own_S], bias_V=bias_V, softcap=softcap
                )
                for own_S in texts
            ]
        )

    def kl(self, before_SD: Tensor, now_SD: Tensor, temperature: float = 1.0) -> Tensor:
        """KL(model before training || model) of next-token distributions, from final hidden states of both,
        summed; both sides' logits divided by the temperature.

        Exact without logits of all positions.
        """
        assert self.before is not None, (
            "the objective's `needs` do not say that it runs the model before training"
        )
        backbone = self.backbone
        plain = backbone.plain_head()
        # Logits that are more than a product are not divided by dividing what is multiplied.
        linear = plain is not None and plain[1] is None and backbone.softcap is None
        if plain is None or not (linear or temperature == 1):
            with self.before.running() as before:
                before_SV = before.head(before_SD)
            return full_logits.kl(before_SV / temperature, backbone.head(now_SD) / temperature)
        weight_VD, bias_V = plain
        if temperature != 1:
            before_SD, now_SD = before_SD / temperature, now_SD / temperature
        return linear_kl(
            backbone.before_head(before_SD),
            backbone.before_head(now_SD),
            weight_VD,
            bias_V=bias_V,
            softcap=backbone.softcap,
            before_head=self.before.own_head(),
        )

    def sampled_positions(self, texts: Buckets, count: int) -> list[Tensor]:
        """`count` a rank of the global batch's positions that are not special tokens, as masks of the
        buckets' shapes.

        Each position of a text draws a number, whatever rank and row the text is on; the lowest are taken. A
        collective operation.
        """
        rank, ranks = collectives.rank(), collectives.world_size()
        own_number = texts.order.argsort().tolist()  # by place in the buckets
        drawn: list[Tensor] = []
        for tokens in texts.buckets:
            numbers = []
            for length in tokens.content_counts():
                number = own_number.pop(0) * ranks + rank
                generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.step, number))
                numbers.append(torch.rand(length, generator=generator, dtype=torch.float64))
            drawn.append(torch.cat(numbers))
        every = sorted(collectives.gather_lists(torch.cat(drawn).tolist()))
        taken = min(count * ranks, len(every))
        highest = every[taken - 1] if taken else -1.0
        chosen = []
        for tokens, numbers_P in zip(texts.buckets, drawn, strict=True):
            mask_BT = tokens.content_mask.bool().cpu()
            chosen.append(
                mask_BT.masked_scatter(mask_BT, numbers_P <= highest).to(tokens.content_mask.device)
            )
        return chosen


class _IntoHead(torch.autograd.Function):
    """Cross-entropy whose gradient of the head is added to `.grad` at once, and not kept for the backward
    pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_SD: Tensor,
        targets_S: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        softcap: float | None,
        scale: float,
    ) -> Tensor:
        loss, gradient_SD = add_cross_entropy_gradients(
            hidden_SD.detach(), weight_VD, targets_S, scale=scale, bias_V=bias_V, softcap=softcap
        )
        ctx.scale, ctx.dtype = scale, hidden_SD.dtype
        ctx.save_for_backward(gradient_SD)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_SD,) = ctx.saved_tensors
        if incoming.device.type == "cpu":  # elsewhere one would wait for the value
            # What the head got cannot be scaled any more.
            assert abs(float(incoming) / ctx.scale - 1) < 1e-5, (
                "a multiple of Pass.cross_entropy was returned"
            )
        return gradient_SD.to(ctx.dtype), None, None, None, None, None


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers, such that neighbours give unrelated streams."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
