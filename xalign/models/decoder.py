"""Where a model has its decoder and the decoder its blocks, by rule; and the decoder, cut before a block."""

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from xalign.base.errors import ModelError

DEPTHS = ("num_hidden_layers", "num_layers")
"""Names by which configs tell the number of blocks. LongCat's are two layers each, and told by the second."""


def find_blocks(model: PreTrainedModel) -> tuple[str, str]:
    """The decoder's name in the model, and the name of its list of blocks in the decoder.

    Raises:
        ModelError: there is no list of as many blocks as the config says.
    """
    text = model.config.get_text_config()
    depths = {getattr(text, name, None) for name in DEPTHS} - {None, 0}
    names = {module: name for name, module in model.named_modules()}
    for decoder in (model.get_decoder(), *_inner_models(model)):
        if decoder in names and decoder is not model:
            for name, list_of_blocks in _lists(decoder):
                if len(list_of_blocks) in depths:
                    return names[decoder], name
    depth = " or ".join(sorted(map(str, depths)))
    raise ModelError(
        f"{type(model).__name__} has no list of {depth} blocks: xalign needs a decoder-only model"
    )


def _inner_models(model: PreTrainedModel) -> list[nn.Module]:
    """The innermost first: around it stand those that add a head, or hand on what they are given."""
    return [m for m in reversed([*model.modules()]) if isinstance(m, PreTrainedModel)]


def _lists(decoder: nn.Module) -> Iterator[tuple[str, nn.ModuleList]]:
    """Lists of modules in a decoder, or, as in models that stem from BERT, in a part of it."""
    for name, child in decoder.named_children():
        if isinstance(child, nn.ModuleList):
            yield name, child
    for name, child in decoder.named_children():
        for inner, grandchild in child.named_children():
            if isinstance(grandchild, nn.ModuleList):
                yield f"{name}.{inner}", grandchild


class Reached(Exception):
    """The pass came to where the decoder is cut."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class _InPlaceOf(nn.Module):
    """Stands where a block was, and answers for it: decoders ask their blocks what attention they have."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.__dict__["block"] = block  # no part of this one: it has no parameters

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["block"], name)


class _Cut(_InPlaceOf):
    """Ends the pass with what the block would have been given.

    So nothing that comes later runs, whatever the architecture does after its blocks: norms, streams that are
    joined, norms that are also used before the first block.
    """

    def forward(self, *args: Tensor, **options: Tensor) -> Tensor:
        raise Reached(_hidden(args, options))


class _Noted(_InPlaceOf):
    """Writes down what the block is given."""

    def __init__(self, block: nn.Module, given: list[Tensor]) -> None:
        super().__init__(block)
        self.__dict__["given"] = given

    def forward(self, *args: Tensor, **options: Tensor) -> object:
        self.__dict__["given"].append(_hidden(args, options))
        return self.__dict__["block"](*args, **options)


class _Added(_InPlaceOf):
    """Adds to what the block is given."""

    def __init__(self, block: nn.Module, values: Tensor) -> None:
        super().__init__(block)
        self.__dict__["values"] = values

    def forward(self, *args: Tensor, **options: Tensor) -> object:
        hidden = _hidden(args, options)
        hidden = hidden + self.__dict__["values"].to(hidden.dtype)
        if args:
            return self.__dict__["block"](hidden, *args[1:], **options)
        return self.__dict__["block"](**{**options, "hidden_states": hidden})


def adding(decoder: nn.Module, blocks_name: str, number: int, values: Tensor) -> nn.Module:
    """A view of the decoder whose block `number`, from 0, is given so much more: (B, T, D)."""
    blocks = [*_blocks(decoder, blocks_name)]
    blocks[number] = _Added(blocks[number], values)
    return _with_blocks(decoder, blocks_name, blocks)


def cut_before(decoder: nn.Module, blocks_name: str, number: int) -> nn.Module:
    """A view of the decoder that ends where block `number`, from 0, begins; it shares every parameter.

    Running it raises `Reached`.
    """
    blocks = [*_blocks(decoder, blocks_name)]
    blocks[number] = _Cut(blocks[number])
    return _with_blocks(decoder, blocks_name, blocks)


def noting(decoder: nn.Module, blocks_name: str, given: list[Tensor]) -> nn.Module:
    """A view of the decoder that adds to `given` what each of its blocks is given, in the order they run."""
    blocks: list[nn.Module] = [_Noted(block, given) for block in _blocks(decoder, blocks_name)]
    return _with_blocks(decoder, blocks_name, blocks)


def mean_of_streams(hidden: Tensor, shape: tuple[int, int], width: int) -> Tensor:
    """Hidden states (B, T, D) of an architecture that has several streams of them between its blocks: their
    mean, stream by stream. `shape` is (B, T); those of all others are returned as they are.

    Gemma 3n has the streams in front, (S, B, T, D), DeepSeek V4 behind, (B, T, S, D), Qwen 4 side by side,
    (B, T, S D).
    """
    if hidden.ndim == 4:
        return hidden.mean(2 if hidden.shape[:2] == shape else 0)
    if hidden.ndim == 3 and hidden.shape[2] > width and hidden.shape[2] % width == 0:
        return hidden.unflatten(2, (-1, width)).mean(2)
    return hidden


def _hidden(args: tuple[Tensor, ...], options: dict[str, Tensor]) -> Tensor:
    return args[0] if args else options["hidden_states"]


def _blocks(decoder: nn.Module, blocks_name: str) -> nn.ModuleList:
    blocks = decoder.get_submodule(blocks_name)
    assert isinstance(blocks, nn.ModuleList)
    return blocks


def _with_blocks(decoder: nn.Module, blocks_name: str, blocks: list[nn.Module]) -> nn.Module:
    *within, name = blocks_name.split(".")
    view = holder = _view(decoder)
    # By the table of parts: to set an attribute of a view would register its part with the module, too.
    for part in within:
        holder._modules[part] = _view(holder.get_submodule(part))
        holder = holder.get_submodule(part)
    holder._modules[name] = nn.ModuleList(blocks)
    return view


def _view(module: nn.Module) -> nn.Module:
    view = copy.copy(module)
    # Setting a part by name would set it in the module, too.
    view._modules = dict(module._modules)
    return view
