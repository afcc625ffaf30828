"""A causal language model seen as two things: representations after a block, and supervised logits.

Shapes: B sentences, T tokens, D hidden size, L blocks, S supervised positions, V vocabulary.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xalign.base.errors import ModelError
from xalign.config.choices import Pooling
from xalign.data.collate import Tokens
from xalign.models.decoder import Reached, adding, cut_before, find_blocks, mean_of_streams, noting
from xalign.models.head import HeadForm, form_of_head, own_logits
from xalign.models.masks import packed_masks
from xalign.models.pooling import pool, pool_packed
from xalign.models.rounding import Rounded, RoundedLinear, rounding_once
from xalign.models.tokenizer_check import begins_with_special


class Backbone(nn.Module):
    """Any `AutoModelForCausalLM` with its tokenizer.

    Representations run only the blocks they need, through a view of the decoder that shares every parameter
    and is cut after block `layer`. `represent(..., layer=l)` equals Hugging Face's `hidden_states[l]`: 0 is
    what the first block is given, and the last entry, alone, is after the final norm. Of several streams of
    hidden states between blocks it is the mean.

    Parameters stay in float32, but for `keep_low`; with `compute_dtype` bfloat16 the model's matrix products
    run in bf16, while pooling and losses stay in float32.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.decoder_name, self.blocks_name = find_blocks(model)
        self.compute_dtype: torch.dtype = torch.float32
        self._rounded_head = Rounded()
        self.to_run_on: torch.device | None = None
        """Where it will run, of a model whose weights are still in their file."""
        self.head_form = form_of_head(model, self.decoder_name)
        self.leaves_out_first = not begins_with_special(tokenizer)
        """Whether a text's first token is no part of its vectors: where no special token stands before it, it
        sees nothing but itself, and draws most attention in its place."""
        self._takes_positions = "position_ids" in inspect.signature(self.decoder.forward).parameters

    @property
    def depth(self) -> int:
        """Number of blocks, L."""
        return len(self.blocks)

    @property
    def width(self) -> int:
        """Size of a hidden state, D."""
        return int(self.model.get_output_embeddings().weight.shape[1])

    @property
    def decoder(self) -> nn.Module:
        """The part that makes hidden states of tokens."""
        return self.model.get_submodule(self.decoder_name)

    @property
    def blocks(self) -> list[nn.Module]:
        """The decoder's blocks, in order."""
        blocks = self.decoder.get_submodule(self.blocks_name)
        assert isinstance(blocks, nn.ModuleList)
        return list(blocks)

    @property
    def device(self) -> torch.device:
        return self.to_run_on or next(self.model.parameters()).device

    @property
    def context(self) -> int | None:
        """Tokens that the model has positions for; None where it has no limit (alibi)."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def hidden_states(self, tokens: Tokens, layer: int, added: tuple[int, Tensor] | None = None) -> Tensor:
        """Hidden states (B, T, D) after block `layer`; no later block runs.

        `added`: a layer below, and what is added to the states after it (B, T, D).
        """
        if not 0 <= layer <= self.depth:
            raise ModelError(f"loss.layer={layer}: the model has layers 0 to {self.depth}")
        decoder = self.decoder
        if added is not None:
            assert added[0] < layer
            decoder = adding(decoder, self.blocks_name, *added)
        if layer == self.depth:
            return self._run(decoder, tokens).last_hidden_state
        try:
            self._run(cut_before(decoder, self.blocks_name, layer), tokens)
        except Reached as reached:
            return self._one_stream(reached.hidden, tokens)
        raise ModelError(f"{type(self.model).__name__} does not run its block {layer + 1}")

    def represent(self, tokens: Tokens, layer: int, pooling: Pooling) -> Tensor:
        """Sentence vectors (B, D), float32, with gradient, from blocks [:layer] alone.

        Raises:
            ModelError: the layer is beyond the model's depth.
        """
        return self.pooled(self.hidden_states(tokens, layer), tokens, pooling)

    def pooled(self, hidden_BTD: Tensor, tokens: Tokens, pooling: Pooling) -> Tensor:
        """Sentence vectors (N, D), float32, of hidden states (B, T, D)."""
        mask_BT = self.represented(tokens)
        if tokens.texts is not None:
            return pool_packed(hidden_BTD, mask_BT, tokens.texts, pooling)
        return pool(hidden_BTD, mask_BT, pooling)

    def represented(self, tokens: Tokens) -> Tensor:
        """The tokens (B, T) that make a text's vector, 1 or 0."""
        return tokens.without_first() if self.leaves_out_first else tokens.content_mask

    def represent_layers(self, tokens: Tokens, layers: Sequence[int], pooling: Pooling) -> Tensor:
        """Sentence vectors of some layers (N, K, D), float32, with gradient, in one pass that runs no block
        above the deepest."""
        deepest = max(layers)
        if deepest == self.depth:
            states = self._every_layer(tokens)
        else:
            given: list[Tensor] = []
            noted = noting(self.decoder, self.blocks_name, given)
            try:
                self._run(cut_before(noted, self.blocks_name, deepest), tokens)
            except Reached as reached:
                given.append(reached.hidden)
            states = [self._one_stream(hidden, tokens) for hidden in given]
        return torch.stack([self.pooled(states[layer], tokens, pooling) for layer in layers], dim=1)

    def represent_all_layers(self, tokens: Tokens, *poolings: Pooling) -> Tensor:
        """Sentence vectors of every layer, (B, L + 1, D), float32, in one pass.

        Of several poolings (P, B, L + 1, D).
        """
        states = self._every_layer(tokens)
        pooled = [torch.stack([self.pooled(h, tokens, p) for h in states], dim=1) for p in poolings]
        return pooled[0] if len(pooled) == 1 else torch.stack(pooled)

    def _every_layer(self, tokens: Tokens) -> list[Tensor]:
        given: list[Tensor] = []
        last = self._run(noting(self.decoder, self.blocks_name, given), tokens).last_hidden_state
        if len(given) != self.depth:
            why = "some run several times" if len(given) > self.depth else "others wait for pictures or sound"
            raise ModelError(
                f"{type(self.model).__name__} runs {len(given)} blocks for a text where it has {self.depth}: "
                f"{why}, so that no single state is after a block"
            )
        return [*(self._one_stream(states, tokens) for states in given), last]

    def _one_stream(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        batch, length = tokens.input_ids.shape
        return mean_of_streams(hidden, (batch, length), self.width)

    def logits_at(self, tokens: Tokens, positions_BT: Tensor) -> Tensor:
        """Next-token logits (S, V) at the positions (B, T, bool) only, in row order."""
        hidden_BTD = self.hidden_states(tokens, self.depth)
        return self.head(hidden_BTD[positions_BT])

    def head(self, hidden_SD: Tensor) -> Tensor:
        """The language-model head on chosen hidden states: (S, D) -> (S, V)."""
        plain, form = self.plain_head(), self.head_form
        with self.arithmetic():
            if form is None:
                return own_logits(self.model, self.decoder_name, hidden_SD)
            if plain is None:
                logits_SV = self.model.get_output_embeddings()(hidden_SD)
            else:
                logits_SV = linear(hidden_SD, *plain)
        return form(logits_SV)

    def before_head(self, hidden: Tensor) -> Tensor:
        """What `plain_head` is multiplied with: scaled, in the arithmetic of the matrix products."""
        form = self.head_form or HeadForm()
        hidden = hidden if form.scale == 1.0 else hidden * form.scale
        return hidden.to(self.compute_dtype) if self.computes_low else hidden

    @property
    def softcap(self) -> float | None:
        """What bounds the logits, cap * tanh(logits / cap), in Gemma 2."""
        return None if self.head_form is None else self.head_form.softcap

    def plain_head(self) -> tuple[Tensor, Tensor | None] | None:
        """Weight (V, D) and bias (V,) of the head; None where it is more than that (an adapter on it, say).

        A head that gets no gradient is in the arithmetic of the matrix products, rounded once and not in
        every pass, which takes half as long as the product itself where the vocabulary is large.
        """
        head = self.model.get_output_embeddings()
        if type(head) not in (nn.Linear, RoundedLinear) or self.head_form is None:
            return None
        assert isinstance(head, nn.Linear)
        if head.bias is not None and self.head_form.scale != 1.0:
            return None  # the bias is scaled, too
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
        reached = set(self.model.get_output_embeddings().parameters())
        reached |= {parameter for block in self.blocks for parameter in block.parameters()}
        for module in self._running(None):
            reached |= set(module.parameters(recurse=False))
        found = {}
        for name, module in self.model.named_modules():
            own = set(module.parameters(recurse=False))
            if own and not own & reached:
                found[name] = module
        return found

    def makers_of(self, layer: int) -> set[nn.Parameter]:
        """The parameters that hidden states after block `layer` are made by: of the blocks up to it, and of
        what runs before them."""
        inside = {parameter for block in self.blocks for parameter in block.parameters()}
        found = {parameter for block in self.blocks[:layer] for parameter in block.parameters()}
        for module in self._running(layer):
            found |= set(module.parameters(recurse=False)) - inside
        return found

    def _running(self, layer: int | None) -> set[nn.Module]:
        """The decoder and all modules that run for hidden states after block `layer`; None: for logits."""
        ran = {self.decoder}
        ids_BT = self.probe_ids(1, 2)
        ones_BT = torch.ones_like(ids_BT)

        def note(module: nn.Module, _: object) -> None:
            ran.add(module)

        hooks = [module.register_forward_pre_hook(note) for module in self.model.modules()]
        try:
            with evaluating(self):
                if layer is None:
                    with self.arithmetic():
                        self.model(input_ids=ids_BT)
                else:
                    self.hidden_states(Tokens(ids_BT, ones_BT, ones_BT), layer)
        finally:
            for hook in hooks:
                hook.remove()
        return ran

    def checkpoint_activations(self) -> None:
        """In training, keep only each block's input for the backward pass, which runs the block again."""
        self.model.activation_checkpointing_enable({"use_reentrant": False})

    def compile_blocks(self) -> None:
        """torch.compile, block by block: what is compiled serves every layer that is asked for."""
        for block in self.blocks:
            block.compile(dynamic=True)

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
