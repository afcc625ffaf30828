"""Bits per byte: how well a model predicts held-out text, comparable between tokenizers.

Total negative log2-likelihood of the text's tokens, each text after a beginning-of-sequence token alone,
over the text's UTF-8 bytes. Lower is better.
"""

from collections.abc import Mapping, Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from xalign.data.collate import pad
from xalign.errors import ModelError
from xalign.evaluation.progress import Advance, progress_bar
from xalign.evaluation.representations import batches
from xalign.evaluation.results import Record, Result
from xalign.evaluation.scoring import context_length, token_log_likelihoods
from xalign.models.backbone import Backbone, evaluating

VERSION = "1"


def measure(
    backbone: Backbone,
    texts: Mapping[str, Sequence[str]],
    benchmark: str,
    *,
    batch_tokens: int,
) -> tuple[list[Result], list[Record]]:
    """One row a language with any text, one record (bits, bytes) a text."""
    results: list[Result] = []
    records: list[Record] = []
    with progress_bar(f"{benchmark}: bits per byte", sum(map(len, texts.values()))) as advance:
        for language, own in texts.items():
            bits = text_bits(backbone, own, batch_tokens=batch_tokens, advance=advance)
            sizes = np.array([len(text.encode()) for text in own])
            value, stderr = ratio_of_sums(bits, sizes)
            results.append(
                Result(
                    benchmark=benchmark,
                    language=language,
                    metric="bits_per_byte",
                    value=value,
                    stderr=stderr,
                    n=len(own),
                    version=VERSION,
                )
            )
            records += [
                {"language": language, "index": i, "bits": float(b), "bytes": int(size)}
                for i, (b, size) in enumerate(zip(bits, sizes, strict=True))
            ]
    return results, records


def text_bits(
    backbone: Backbone,
    texts: Sequence[str],
    *,
    batch_tokens: int,
    advance: Advance = lambda count: None,
) -> NDArray[np.float64]:
    """Negative log2-likelihood of each text. No token is left out.

    A text longer than the model's context is run in pieces, each after the beginning-of-sequence token.
    """
    first = _first_token(backbone)
    limit = context_length(backbone)
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
                nats[owners[i]] -= float(part.double().sum())
            advance(len({owners[i] for i in batch}))
    return nats / log(2)


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
