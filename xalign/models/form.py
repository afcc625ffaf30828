"""Whether a model computes what `Backbone` takes for granted: tried out when it is loaded.

transformers has decoders of a hundred families. Some scale their logits, some change the embeddings before
the first block or have several streams of hidden states: losses and representations would silently be others.
"""

import torch

from xalign.base.errors import ModelError
from xalign.config.choices import Pooling
from xalign.data.collate import Tokens
from xalign.models.backbone import Backbone, computing_in, evaluating
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
            layers = sorted({0, 1, depth // 2, depth})
            found = {f"layer {n}": backbone.represent(tokens, n, Pooling.mean) for n in layers}
            wanted = {f"layer {n}": every[:, n] for n in layers}
            found["the logits"] = backbone.logits_at(tokens, ones_BT.bool())
            wanted["the logits"] = backbone.model(input_ids=ids_BT).logits.flatten(0, 1)
    except Exception as error:  # a model's own code may raise whatever it likes
        raise ModelError(
            f"{where}: {kind} cannot be run as xalign runs a decoder: {first_line(error)}"
        ) from error
    broken = (~every.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if broken or not found["the logits"].isfinite().all():
        row = broken[0] if broken else 0
        raise not_finite(backbone, every[row], str(backbone.tokenizer.decode(ids_BT[row])))
    for what, value in found.items():
        difference = float((value - wanted[what]).norm() / wanted[what].norm().clamp(min=1e-12))
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{where}: {kind} is not of a form that xalign knows: {what} would differ from the model's "
                f"own by {difference:.1g} of their size"
            )
