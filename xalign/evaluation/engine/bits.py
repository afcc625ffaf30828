"""Bits of texts, and bits a byte.

Shapes: B rows, T tokens, D hidden size, S positions.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xalign.base.errors import ModelError
from xalign.base.progress import Advance
from xalign.data.collate import pad
from xalign.evaluation.engine.representations import batches
from xalign.evaluation.engine.scoring import token_log_likelihoods
from xalign.models.backbone import Backbone, evaluating
from xalign.models.finite import require_finite_figures


def text_bits(
    backbone: Backbone,
    texts: Sequence[str],
    *,
    batch_tokens: int,
    advance: Advance = lambda count: None,
) -> NDArray[np.float64]:
    """Negative log2-likelihood of each text. No token is left out.

    A text longer than the model's context is run in pieces, each after the beginning-of-sequence token.

    Raises:
        ModelError: a log-likelihood is not finite.
    """
    first = _first_token(backbone)
    limit = backbone.context
    rows, owners = [], []
    for owner, ids in enumerate(backbone.tokenizer(list(texts), add_special_tokens=False)["input_ids"]):
        room = len(ids) if limit is None else limit - 1
        for start in range(0, len(ids), max(1, room)):
            rows.append([first, *ids[start : start + room]])
            owners.append(owner)
    nats = np.zeros(len(texts))
    with evaluating(backbone):
        for batch in batches([len(row) for row in rows], batch_tokens):
            tokens = pad(backbone.tokenizer, [rows[i] for i in batch]).to(backbone.device)
            hidden_BTD = backbone.hidden_states(tokens, backbone.depth)
            real_BT = tokens.attention_mask[:, 1:].bool()
            values_S = token_log_likelihoods(
                backbone, hidden_BTD[:, :-1][real_BT], tokens.input_ids[:, 1:][real_BT]
            )
            for i, part in zip(batch, values_S.split([len(rows[i]) - 1 for i in batch]), strict=True):
                value = float(part.double().sum())
                require_finite_figures(backbone, [] if math.isfinite(value) else [rows[i]])
                nats[owners[i]] -= value
            advance(len({owners[i] for i in batch}))
    return nats / math.log(2)


def ratio_of_sums(
    numerators: NDArray[np.float64], denominators: NDArray[np.int64]
) -> tuple[float, float | None]:
    """sum(a) / sum(b) and its standard error over items by the delta method (Cochran 1977, section 6.4)."""
    ratio = numerators.sum() / denominators.sum()
    n = len(numerators)
    if n < 2:
        return float(ratio), None
    residuals = numerators - ratio * denominators
    return float(ratio), float(np.sqrt((residuals**2).sum() / (n * (n - 1))) / denominators.mean())


def _first_token(backbone: Backbone) -> int:
    """What the tokenizer puts before a text (not always its `bos_token`: XGLM's is `</s>`)."""
    tokenizer = backbone.tokenizer
    for token in [*tokenizer("")["input_ids"][:1], tokenizer.bos_token_id, tokenizer.eos_token_id]:
        if token is not None:
            return int(token)
    raise ModelError("bits per byte needs a tokenizer with a beginning- or end-of-sequence token")
