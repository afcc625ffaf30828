"""Numbers that are not finite: in weights, and where they first arise in a pass."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xalign.base.errors import ModelError
from xalign.config.choices import Pooling
from xalign.data.collate import Tokens
from xalign.models.backbone import Backbone, evaluating


def require_finite_weights(model: nn.Module, where: str) -> None:
    """Look at every weight once: a tenth of a second for each gigabyte; `where` begins the message.

    Raises:
        ModelError: a weight is infinite or no number; names the first of its parameter.
    """
    broken = [name for name, value in model.state_dict().items() if not _is_finite(value)]
    if not broken:
        return
    value = model.state_dict()[broken[0]]
    count = int((~value.isfinite()).sum())
    others = f", and {len(broken) - 1} parameters more" if len(broken) > 1 else ""
    raise ModelError(
        f"{where}: weights are not finite: {count:,} of {value.numel():,} in {broken[0]}{others}; "
        "the checkpoint is damaged, or of a training that diverged"
    )


def require_finite_figures(backbone: Backbone, rows: Sequence[Sequence[int]]) -> None:
    """`rows` are the token ids of texts whose figures are not finite: say where that begins.

    Raises:
        ModelError: there are any.
    """
    if not rows:
        return
    found: list[Tensor] = []
    # One may be so because of another that stood beside it: each is run alone.
    for ids in rows:
        ids_1T = torch.tensor([list(ids)], device=backbone.device)
        ones_1T = torch.ones_like(ids_1T)
        with evaluating(backbone):
            found += backbone.represent_all_layers(Tokens(ids_1T, ones_1T, ones_1T), Pooling.mean)
        if not found[-1].isfinite().all():
            break
    number = len(found) - 1 if not found[-1].isfinite().all() else 0
    raise not_finite(backbone, found[number], str(backbone.tokenizer.decode(list(rows[number]))))


def not_finite(backbone: Backbone, states_LD: Tensor, text: str) -> ModelError:
    """What to raise for a text whose hidden states, or logits after them, are not finite."""
    broken = (~states_LD.isfinite().all(1)).nonzero().flatten().tolist()
    layer = broken[0] if broken else None
    place = "the logits" if layer is None else "the embeddings" if layer == 0 else f"layer {layer}"
    low = (
        "; benchmark.precision=fp32 rounds less, trainer.precision=fp32 in training"
        if backbone.computes_low
        else ""
    )
    return ModelError(
        f"the model computes numbers that are not finite: first in {place} of {backbone.depth}, for the text "
        f"'{' '.join(text.split())[:80]}'{low}"
    )


def _is_finite(value: Tensor) -> bool:
    if not value.is_floating_point() or value.numel() == 0:
        return True
    return bool(torch.stack(value.aminmax()).isfinite().all())  # one pass, no copy
