"""Whether a model computes what `Backbone` takes for granted: tried out when it is loaded.

transformers has decoders of two hundred types. Some run blocks several times, some look ahead, some keep
other hidden states than those after their blocks: losses and representations would silently be others.
"""

import torch
from torch import Tensor

from xalign.base.errors import ModelError
from xalign.config.choices import Pooling
from xalign.data.collate import Tokens
from xalign.models.backbone import Backbone, computing_in, evaluating
from xalign.models.decoder import mean_of_streams
from xalign.models.finite import not_finite
from xalign.models.sources import first_line

TOLERANCE = 1e-3
"""Relative difference that float32 rounding makes; another formula makes one of about 1."""


def require_known_form(backbone: Backbone, where: str) -> None:
    """Compare hidden states of the truncated decoder with those of the whole one, and logits with the model's
    own; `where` begins the message.

    Raises:
        ModelError: they differ, or the model cannot be run.
    """
    kind = type(backbone.model).__name__
    ids_BT = backbone.probe_ids(2, 8)
    ones_BT = torch.ones_like(ids_BT)
    tokens, depth = Tokens(ids_BT, ones_BT, ones_BT), backbone.depth
    try:
        with evaluating(backbone), computing_in(backbone, torch.float32):
            every = backbone.represent_all_layers(tokens, Pooling.mean)
            own = backbone.model(input_ids=ids_BT, output_hidden_states=True)
            wanted = _named(backbone, own.hidden_states, ids_BT)
            found = {what: backbone.represent(tokens, int(what.split()[-1]), Pooling.mean) for what in wanted}
            found["the logits"] = backbone.logits_at(tokens, ones_BT.bool())
            wanted["the logits"] = own.logits.flatten(0, 1)
            later_BT = torch.cat([ids_BT[:, :-1], ids_BT[:, :1]], 1)
            states_BTD = backbone.hidden_states(tokens, depth)[:, :-1]
            others_BTD = backbone.hidden_states(Tokens(later_BT, ones_BT, ones_BT), depth)[:, :-1]
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error
    except Exception as error:  # a model's own code may raise whatever it likes
        raise ModelError(
            f"{where}: {kind} cannot be run as xalign runs a decoder: {first_line(error)}"
        ) from error
    broken = (~every.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if broken or not found["the logits"].isfinite().all():
        row = broken[0] if broken else 0
        raise not_finite(backbone, every[row], str(backbone.tokenizer.decode(ids_BT[row])))
    for what, value in found.items():
        difference = _difference(value, wanted[what])
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{where}: {kind} is not of a form that xalign knows: {what} would differ from the model's "
                f"own by {difference:.1g} of their size"
            )
    if _difference(others_BTD, states_BTD) > TOLERANCE:
        raise ModelError(f"{where}: {kind} looks ahead: a token sees those after it; a decoder is needed")


def _named(backbone: Backbone, states: tuple[Tensor, ...] | None, ids_BT: Tensor) -> dict[str, Tensor]:
    """The model's own hidden states of the first layers, the middle and the last, pooled."""
    depth = backbone.depth
    if states is None:
        return {}
    if len(states) != depth + 1:
        raise ModelError(
            f"{type(backbone.model).__name__} gives {len(states)} hidden states of {depth} blocks: no single "
            "state is after a block"
        )
    first = 0
    if states[0].shape == states[1].shape and _leaves_out_embeddings(backbone, states[0], ids_BT):
        states, first = (states[0], *states[:-2], states[-1]), 1  # numbered as all others do
    size = (ids_BT.shape[0], ids_BT.shape[1])
    chosen = {0, 1, depth // 2, depth} - set(range(first))
    if states[-1].shape != (*size, backbone.width):
        chosen -= {depth}  # Gemma 3n tells the streams after the last block instead; logits are compared
    ones_BT = torch.ones_like(ids_BT)
    tokens = Tokens(ids_BT, ones_BT, ones_BT)
    return {
        f"layer {n}": backbone.pooled(
            mean_of_streams(states[n], size, backbone.width), tokens, Pooling.mean
        ).float()
        for n in sorted(chosen)
    }


def _leaves_out_embeddings(backbone: Backbone, first_BTD: Tensor, ids_BT: Tensor) -> bool:
    """Mamba and RWKV begin with the state after the first block, and end with two of the last."""
    ones_BT = torch.ones_like(ids_BT)
    second_BTD = backbone.hidden_states(Tokens(ids_BT, ones_BT, ones_BT), 1)
    return _difference(second_BTD, first_BTD) <= TOLERANCE


def _difference(found: Tensor, wanted: Tensor) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))
