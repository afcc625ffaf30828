"""A causal language model seen as two things: representations after a block, and supervised logits.

Shapes: B sentences, T tokens, D hidden size, L blocks, S supervised positions, V vocabulary.
"""

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xalign.choices import Pooling
from xalign.data.collate import IGNORED, Buckets, Tokens
from xalign.errors import ModelError, did_you_mean
from xalign.models.pooling import pool

FINAL_NORMS = ("norm", "ln_f", "layer_norm", "final_layer_norm", "final_layernorm")


class Backbone(nn.Module):
    """Any `AutoModelForCausalLM` with its tokenizer.

    Representations run only the blocks they need, through a truncated view: a shallow copy of the
    decoder that shares every parameter and keeps blocks [:layer]. `represent(..., layer=l)` equals
    Hugging Face's `hidden_states[l]`: 0 is the embeddings' output, and the last entry, alone, is
    after the final norm.

    Parameters stay in float32; with `compute_dtype` bfloat16 the model's matrix products run in bf16,
    while pooling and losses stay in float32.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        decoder = model.get_decoder()
        self._blocks = _name_of_blocks(decoder, model.config.get_text_config().num_hidden_layers)
        self._norm = _name_of_norm(decoder)
        self.compute_dtype: torch.dtype = torch.float32
        self._rounded_head: Tensor | None = None
        self._takes_positions = "position_ids" in inspect.signature(decoder.forward).parameters

    @property
    def depth(self) -> int:
        """Number of blocks, L."""
        return int(self.model.config.get_text_config().num_hidden_layers)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def hidden_states(self, tokens: Tokens, layer: int) -> Tensor:
        """Hidden states (B, T, D) after block `layer`; no later block runs."""
        return self._run(self._truncated(layer), tokens).last_hidden_state

    def represent(self, tokens: Tokens, layer: int, pooling: Pooling) -> Tensor:
        """Sentence vectors (B, D), float32, with gradient, from blocks [:layer] alone.

        Raises:
            ModelError: the layer is beyond the model's depth.
        """
        return pool(self.hidden_states(tokens, layer), tokens.content_mask, pooling)

    def represent_buckets(self, batch: Buckets, layer: int, pooling: Pooling) -> Tensor:
        """`represent` for a bucketed batch, in the batch's own order: (B, D)."""
        return torch.cat([self.represent(b, layer, pooling) for b in batch.buckets])[batch.order]

    def represent_all_layers(self, tokens: Tokens, *poolings: Pooling) -> Tensor:
        """Sentence vectors of every layer, (B, L + 1, D), float32, in one pass.

        Of several poolings (P, B, L + 1, D).
        """
        states = self._run(self.model.get_decoder(), tokens, output_hidden_states=True).hidden_states
        pooled = [torch.stack([pool(h, tokens.content_mask, p) for h in states], dim=1) for p in poolings]
        return pooled[0] if len(pooled) == 1 else torch.stack(pooled)

    def logits_at(self, tokens: Tokens, positions_BT: Tensor) -> Tensor:
        """Next-token logits (S, V) at the positions (B, T, bool) only, in row order."""
        hidden_BTD = self.hidden_states(tokens, self.depth)
        return self.head(hidden_BTD[positions_BT])

    def supervised_logits(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Logits (S, V) that predict the labelled tokens, and those tokens (S,)."""
        assert tokens.labels is not None
        targets_BT = tokens.labels[:, 1:]
        predicts_BT = torch.zeros_like(tokens.labels, dtype=torch.bool)
        predicts_BT[:, :-1] = targets_BT != IGNORED
        return self.logits_at(tokens, predicts_BT), targets_BT[targets_BT != IGNORED]

    def head(self, hidden_SD: Tensor) -> Tensor:
        """The language-model head on chosen hidden states: (S, D) -> (S, V)."""
        if self._rounded_head is not None:
            logits_SV = linear(hidden_SD.to(self._rounded_head.dtype), self._rounded_head)
        else:
            with self._arithmetic():
                logits_SV = self.model.get_output_embeddings()(hidden_SD)
        # Gemma 2 bounds its logits: cap * tanh(logits / cap).
        cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        return cap * torch.tanh(logits_SV / cap) if cap else logits_SV

    def _truncated(self, layer: int) -> nn.Module:
        if not 0 <= layer <= self.depth:
            raise ModelError(f"loss.layer={layer}: the model has layers 0 to {self.depth}")
        decoder = self.model.get_decoder()
        if layer == self.depth:
            return decoder
        view = copy.copy(decoder)
        view._modules = dict(decoder._modules)
        view._modules[self._blocks] = nn.ModuleList(list(getattr(decoder, self._blocks))[:layer])
        view._modules[self._norm] = nn.Identity()
        return view

    def _run(self, decoder: nn.Module, tokens: Tokens, **options: object):  # type: ignore[no-untyped-def]
        mask_BT = tokens.attention_mask
        if self._takes_positions and not bool(mask_BT[:, 0].all()):
            # Left padding shifts learned and rotary positions unless they are counted from the text.
            options["position_ids"] = (mask_BT.cumsum(1) - 1).clamp(min=0)
        with self._arithmetic():
            return decoder(input_ids=tokens.input_ids, attention_mask=mask_BT, use_cache=False, **options)

    def _arithmetic(self) -> torch.autocast:
        low = self.compute_dtype is not torch.float32
        return torch.autocast(self.device.type, self.compute_dtype if low else torch.bfloat16, enabled=low)


@contextmanager
def evaluating(backbone: Backbone) -> Iterator[None]:
    """No dropout and no graph inside; the former mode afterwards."""
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        backbone.train(training)


@contextmanager
def computing_in(backbone: Backbone, dtype: torch.dtype) -> Iterator[None]:
    """For measuring: the model's matrix products in `dtype` inside; the former arithmetic afterwards.

    The head is rounded once, not anew for every batch, which takes half as long as the product itself
    where the vocabulary is large.
    """
    former = backbone.compute_dtype, backbone._rounded_head
    head = backbone.model.get_output_embeddings()
    rounded = dtype is not torch.float32 and type(head) is nn.Linear and head.bias is None
    backbone.compute_dtype = dtype
    backbone._rounded_head = head.weight.detach().to(dtype) if rounded else None
    try:
        yield
    finally:
        backbone.compute_dtype, backbone._rounded_head = former


def _name_of_blocks(decoder: nn.Module, depth: int) -> str:
    for name, child in decoder.named_children():
        if isinstance(child, nn.ModuleList) and len(child) == depth:
            return name
    raise ModelError(
        f"{type(decoder).__name__} has no list of {depth} blocks: xalign needs a decoder-only model"
    )


def _name_of_norm(decoder: nn.Module) -> str:
    names = [name for name, _ in decoder.named_children()]
    for name in FINAL_NORMS:
        if name in names:
            return name
    raise ModelError(
        f"{type(decoder).__name__} has no final norm among its parts {', '.join(names)}; "
        f"known names: {', '.join(FINAL_NORMS)}{did_you_mean(names[-1], FINAL_NORMS)}"
    )
