"""Bits per byte: how well a model predicts held-out text, comparable between tokenizers.

Total negative log2-likelihood of the text's tokens, each text after a beginning-of-sequence token alone,
over the text's UTF-8 bytes. Lower is better.
"""

import logging
import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from xalign.data.collate import pad
from xalign.errors import ModelError
from xalign.evaluation.representations import batches
from xalign.evaluation.results import Record, Result
from xalign.evaluation.scoring import token_log_likelihoods
from xalign.evaluation.sentences import digest, require_corpus
from xalign.evaluation.task import Measured, Part, Session, Setting, Task
from xalign.models.backbone import Backbone, evaluating
from xalign.models.finite import require_finite_figures
from xalign.progress import Advance

log = logging.getLogger(__name__)

VERSION = "1"


def _parts(setting: Setting) -> list[Part]:
    corpus = require_corpus(setting, "bits_per_byte")
    parts = []
    for language in dict.fromkeys([setting.pivot, *setting.languages]):
        own = dict.fromkeys(text for text in corpus.texts(language) if text is not None)
        texts = list(own)[: setting.benchmark.limit]
        if texts:
            measure = partial(_measure, language, texts)
            parts.append(Part("bits_per_byte", language, {"texts": digest(texts)}, len(texts), measure))
        else:
            log.warning("%s: no text in %s: bits per byte not measured", setting.benchmark.name, language)
    return parts


def _measure(language: str, texts: Sequence[str], session: Session, advance: Advance) -> Measured:
    name = session.benchmark.name
    bits = text_bits(session.backbone, texts, batch_tokens=session.benchmark.batch_tokens, advance=advance)
    sizes = np.array([len(text.encode()) for text in texts])
    value, stderr = ratio_of_sums(bits, sizes)
    row = Result(
        benchmark=name,
        language=language,
        metric="bits_per_byte",
        value=value,
        stderr=stderr,
        n=len(texts),
        version=VERSION,
    )
    records: list[Record] = [
        {"language": language, "index": i, "bits": float(b), "bytes": int(size)}
        for i, (b, size) in enumerate(zip(bits, sizes, strict=True))
    ]
    return Measured([row], {f"{name}.bits_per_byte": records})


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


TASK = Task(VERSION, parallel_text=True, parts=_parts)
