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

from xalign.base.errors import ModelError, did_you_mean
from xalign.config.choices import Pooling
from xalign.data.collate import Tokens
from xalign.models.masks import packed_masks
from xalign.models.pooling import pool, pool_packed
from xalign.models.rounding import Rounded, RoundedLinear, rounding_once

FINAL_NORMS = ("norm", "ln_f", "layer_norm", "final_layer_norm", "final_layernorm")


class Backbone(nn.Module):
    """Any `AutoModelForCausalLM` with its tokenizer.

    Representations run only the blocks they need, through a truncated view: a shallow copy of the
    decoder that shares every parameter and keeps blocks [:layer]. `represent(..., layer=l)` equals
    Hugging Face's `hidden_states[l]`: 0 is the embeddings' output, and the last entry, alone, is
    after the final norm.

    Parameters stay in float32, but for `keep_low`; with `compute_dtype` bfloat16 the model's matrix products
    run in bf16, while pooling and losses stay in float32.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        decoder = model.get_decoder()
        self.blocks_name = _name_of_blocks(decoder, model.config.get_text_config().num_hidden_layers)
        self._norm = _name_of_norm(decoder)
        self.compute_dtype: torch.dtype = torch.float32
        self._rounded_head = Rounded()
        self._takes_positions = "position_ids" in inspect.signature(decoder.forward).parameters
        self.to_run_on: torch.device | None = None
        """Where it will run, of a model whose weights are still in their file."""

    @property
    def depth(self) -> int:
        """Number of blocks, L."""
        return int(self.model.config.get_text_config().num_hidden_layers)

    @property
    def blocks(self) -> list[nn.Module]:
        """The decoder's blocks, in order."""
        return list(getattr(self.model.get_decoder(), self.blocks_name))

    @property
    def device(self) -> torch.device:
        return self.to_run_on or next(self.model.parameters()).device

    @property
    def context(self) -> int | None:
        """Tokens that the model has positions for; None where it has no limit (alibi)."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def hidden_states(self, tokens: Tokens, layer: int) -> Tensor:
        """Hidden states (B, T, D) after block `layer`; no later block runs."""
        return self._run(self._truncated(layer), tokens).last_hidden_state

    def represent(self, tokens: Tokens, layer: int, pooling: Pooling) -> Tensor:
        """Sentence vectors (B, D), float32, with gradient, from blocks [:layer] alone.

        Raises:
            ModelError: the layer is beyond the model's depth.
        """
        hidden_BTD = self.hidden_states(tokens, layer)
        if tokens.texts is not None:
            return pool_packed(hidden_BTD, tokens.content_mask, tokens.texts, pooling)
        return pool(hidden_BTD, tokens.content_mask, pooling)

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

    def head(self, hidden_SD: Tensor) -> Tensor:
        """The language-model head on chosen hidden states: (S, D) -> (S, V)."""
        plain, cap = self.plain_head(), self.softcap
        with self.arithmetic():
            if plain is None:
                logits_SV = self.model.get_output_embeddings()(hidden_SD)
            else:
                logits_SV = linear(hidden_SD, *plain)
        return cap * torch.tanh(logits_SV / cap) if cap else logits_SV

    def rounded(self, hidden: Tensor) -> Tensor:
        """In the arithmetic of the matrix products."""
        return hidden.to(self.compute_dtype) if self.computes_low else hidden

    @property
    def softcap(self) -> float | None:
        """What bounds the logits, cap * tanh(logits / cap), in Gemma 2."""
        return getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)

    def plain_head(self) -> tuple[Tensor, Tensor | None] | None:
        """Weight (V, D) and bias (V,) of the head; None where it is more than that (an adapter on it, say).

        A head that gets no gradient is in the arithmetic of the matrix products, rounded once and not in
        every pass, which takes half as long as the product itself where the vocabulary is large.
        """
        head = self.model.get_output_embeddings()
        if type(head) not in (nn.Linear, RoundedLinear):
            return None
        assert isinstance(head, nn.Linear)
        if not self.computes_low or (head.weight.requires_grad and torch.is_grad_enabled()):
            return head.weight, head.bias
        return self._rounded_head(head.weight, self.compute_dtype), head.bias

    def roundings(self) -> dict[nn.Linear, Rounded]:
        """Where the rounded weight of each linear layer is kept that is no more than that."""
        head = self.model.get_output_embeddings()
        plain = [module for module in self.model.modules() if type(module) is nn.Linear]
        return {layer: self._rounded_head if layer is head else Rounded() for layer in plain}

    def forget_rounded_head(self) -> None:
        """Give the memory of the rounded head back; also needed where torch cannot see that it changes."""
        self._rounded_head.forget()

    def keep_low(self) -> None:
        """Keep trained matrices, and with them their gradients, in the arithmetic of the matrix products.

        Vectors (norms, biases) stay in float32, and so do the sums between blocks, which embeddings begin.
        """
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                dtype = self.compute_dtype if parameter.ndim > 1 else parameter.dtype
                # Copied even so: one that is part of the mapped file would keep all of it in memory.
                parameter.data = parameter.data.to(dtype, copy=True)
        for module in self.model.modules():
            if isinstance(module, nn.Embedding):
                module.register_forward_hook(lambda module, inputs, output: output.float())

    def probe_ids(self, texts: int, length: int) -> Tensor:
        """Token ids (texts, length) that the model knows, the same whenever they are asked for."""
        table = self.model.get_input_embeddings().weight
        assert isinstance(table, Tensor)
        # The first few are special in most vocabularies; numbers below 250 are in nearly every one.
        first, last = min(5, len(table) - 1), min(250, len(table))
        ids = torch.randint(first, last, (texts, length), generator=torch.Generator().manual_seed(0))
        return ids.to(self.device)

    def beside_text(self) -> dict[str, nn.Module]:
        """By name, the modules that text does not run through: a multimodal model's for pictures or sound."""
        parts = self.model.get_decoder(), self.model.get_output_embeddings()
        reached = {parameter for part in parts for parameter in part.parameters()}
        found = {}
        for name, module in self.model.named_modules():
            own = set(module.parameters(recurse=False))
            if own and not own & reached:
                found[name] = module
        return found

    def makers_of(self, layer: int) -> set[nn.Parameter]:
        """The parameters that hidden states after block `layer` are made by: of the blocks up to it, and of
        what stands before them."""
        return set(self._truncated(layer).parameters())

    def checkpoint_activations(self) -> None:
        """In training, keep only each block's input for the backward pass, which runs the block again."""
        self.model.activation_checkpointing_enable({"use_reentrant": False})

    def compile_blocks(self) -> None:
        """torch.compile, block by block: what is compiled serves every layer that is asked for."""
        for block in self.blocks:
            block.compile(dynamic=True)

    def _truncated(self, layer: int) -> nn.Module:
        if not 0 <= layer <= self.depth:
            raise ModelError(f"loss.layer={layer}: the model has layers 0 to {self.depth}")
        decoder = self.model.get_decoder()
        if layer == self.depth:
            return decoder
        view = copy.copy(decoder)
        # A copy with blocks left out: setting them by name would take them from the decoder, too.
        view._modules = dict(decoder._modules)
        view._modules[self.blocks_name] = nn.ModuleList(self.blocks[:layer])
        view._modules[self._norm] = nn.Identity()
        return view

    def _run(self, decoder: nn.Module, tokens: Tokens, **options: object):  # type: ignore[no-untyped-def]
        mask_BT = tokens.attention_mask
        if tokens.texts is not None and tokens.positions is not None:
            model = self.model
            masks = packed_masks(model.config, tokens.texts, tokens.positions, model.dtype)
            with self.arithmetic():
                return decoder(
                    input_ids=tokens.input_ids,
                    attention_mask=masks,
                    position_ids=tokens.positions,
                    use_cache=False,
                    **options,
                )
        if self._takes_positions and not bool(mask_BT[:, 0].all()):
            # Left padding shifts learned and rotary positions unless they are counted from the text.
            options["position_ids"] = (mask_BT.cumsum(1) - 1).clamp(min=0)
        with self.arithmetic():
            return decoder(input_ids=tokens.input_ids, attention_mask=mask_BT, use_cache=False, **options)

    def arithmetic(self) -> torch.autocast:
        """In which the model's own parts run: matrix products in `compute_dtype`."""
        dtype = self.compute_dtype if self.computes_low else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=self.computes_low)

    @property
    def computes_low(self) -> bool:
        """Whether matrix products are in fewer bits than the parameters."""
        return self.compute_dtype is not torch.float32


@contextmanager
def evaluating(backbone: Backbone) -> Iterator[None]:
    """No dropout and no graph inside; the former mode of every part afterwards."""
    training = [module for module in backbone.modules() if module.training]
    backbone.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def computing_in(backbone: Backbone, dtype: torch.dtype) -> Iterator[None]:
    """For measuring, without gradient: the model's matrix products in `dtype` inside; the former arithmetic
    afterwards."""
    former, backbone.compute_dtype = backbone.compute_dtype, dtype
    try:
        with rounding_once(backbone.roundings() if backbone.computes_low else {}):
            yield
    finally:
        backbone.compute_dtype = former
        if not backbone.computes_low:
            backbone.forget_rounded_head()


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
