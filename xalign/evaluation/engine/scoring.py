"""Exact log-likelihoods of continuations; what requests have in common is run once.

The numbers are those of lm-evaluation-harness 0.4.13 (`TemplateLM.loglikelihood`, `HFLM`): same tokens, same
sums. Requests become trees (`prefix_tree`), which are run so that demonstrations are run once, each distinct
token prefix below them is one position, and only positions that predict something reach the head
(`tree_engine`).

Shapes: S positions, D hidden size, V vocabulary.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xalign.base.errors import DataError, ModelError
from xalign.base.progress import Advance
from xalign.evaluation.engine.journal import NO_JOURNAL, Journal
from xalign.evaluation.engine.prefix_tree import Row
from xalign.evaluation.engine.tree_engine import Engine, Way, choose_way, read_log_probabilities, tree_reach
from xalign.models.backbone import Backbone, evaluating
from xalign.models.finite import require_finite_figures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """A continuation to score after `prefix + context`; `prefix` is what many requests begin with.

    Where both are empty, the whole continuation is scored after the tokenizer's first token.
    """

    prefix: str
    context: str
    continuation: str


@dataclass(frozen=True)
class Score:
    """Natural log-likelihood of a continuation, the tokens it was summed over, its UTF-8 bytes, characters.

    `greedy`: each of its tokens was the likeliest at its place.
    """

    log_likelihood: float
    tokens: int
    bytes: int
    characters: int
    greedy: bool


def score(
    backbone: Backbone,
    requests: Sequence[Request],
    *,
    batch_tokens: int,
    way: Way = Way.tree,
    journal: Journal = NO_JOURNAL,
    advance: Advance = lambda count: None,
) -> list[Score]:
    """Score requests, in their order; `advance` counts them.

    Text becomes tokens as in lm-evaluation-harness: prefix, context and continuation as one string, of
    which the continuation is what is left after the tokens of `prefix + context`; white space at the end
    of the context belongs to the continuation. What requests share is found in their tokens. `way` is the
    most that may be shared; where that is not exact for a model, less is, with a log line. What is in the
    `journal` is not run again.

    Raises:
        DataError: a request is longer than the model's context.
        ModelError: a log-likelihood is not finite.
    """
    rows = require_room(backbone, requests)
    results = score_rows(backbone, rows, batch_tokens=batch_tokens, way=way, journal=journal, advance=advance)
    return [
        Score(
            value,
            len(row.ids) - row.start,
            len(request.continuation.encode()),
            len(request.continuation),
            greedy,
        )
        for (value, greedy), row, request in zip(results, rows, requests, strict=True)
    ]


def require_room(backbone: Backbone, requests: Sequence[Request]) -> list[Row]:
    """The requests as tokens.

    Raises:
        DataError: one is longer than the model's context.
    """
    rows = _encode(backbone, requests)
    limit = backbone.context
    for request, row in zip(requests, rows, strict=True):
        text = request.prefix + request.context + request.continuation
        if limit is not None and len(row.ids) - 1 > limit:
            raise DataError(
                f"{len(row.ids) - 1} tokens exceed the model's context of {limit}: '{text[:60]}...'"
            )
        if not 0 < row.start < len(row.ids):
            raise DataError(f"context and continuation must each have a token of their own: '{text[-60:]}'")
    return rows


def score_rows(
    backbone: Backbone,
    rows: Sequence[Row],
    *,
    batch_tokens: int,
    way: Way = Way.tree,
    journal: Journal = NO_JOURNAL,
    advance: Advance = lambda count: None,
) -> list[tuple[float, bool]]:
    """(log-likelihood, greedy) of each row's tokens from its `start`, in their order; see `score`.

    Raises:
        ModelError: a log-likelihood is not finite.
    """
    entries = journal.entries(way, batch_tokens, [[row.start, *row.ids] for row in rows])
    results: dict[int, tuple[float, bool]] = {i: (*found,) for i, found in entries.found.items()}
    advance(len(results))
    reach = tree_reach(backbone, backbone.context)
    within = [i for i, row in enumerate(rows) if reach is None or len(row.ids) - 1 <= reach]
    beyond = sorted(set(range(len(rows))) - set(within))
    if beyond and way is Way.tree:
        log.info("%d requests are too long for trees of this model: %s", len(beyond), Way.prefix)
    with evaluating(backbone):
        for numbers, most in ((within, way), (beyond, Way.prefix if way is Way.tree else way)):
            own = [rows[i] for i in numbers]
            chosen, groups = choose_way(backbone, own, most, reach)
            engine = Engine(backbone, own, chosen, batch_tokens)
            done = {k for k, i in enumerate(numbers) if i in entries.found}
            for group in groups:
                for batch in engine.score_group(group, done):
                    found = {numbers[k]: result for k, result in batch.items()}
                    broken = [rows[i].ids for i, (value, _) in found.items() if not math.isfinite(value)]
                    require_finite_figures(backbone, broken)
                    results |= found
                    entries.add(found)
                    advance(len(found))
    return [results[i] for i in range(len(rows))]


def request_tokens(backbone: Backbone, requests: Sequence[Request]) -> list[int]:
    """Positions that each request takes of the model's context (`Backbone.context`).

    A request's last token is only predicted, so it takes none.
    """
    return [len(row.ids) - 1 for row in _encode(backbone, requests)]


def first_token(backbone: Backbone) -> int:
    """What an empty context becomes: beginning-of-sequence, else end-of-sequence (`HFLM.prefix_token_id`).

    Raises:
        ModelError: the tokenizer has neither.
    """
    for token in (backbone.tokenizer.bos_token_id, backbone.tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ModelError("an empty context needs a tokenizer with a beginning- or end-of-sequence token")


def token_log_likelihoods(backbone: Backbone, hidden_SD: Tensor, targets_S: Tensor) -> Tensor:
    """Log-probabilities (S,) in float32 of the tokens that follow S positions, few logits at a time."""
    found_S = hidden_SD.new_empty(len(hidden_SD), dtype=torch.float32)

    def read(first: int, values_RV: Tensor) -> None:
        own = slice(first, first + len(values_RV))
        found_S[own] = values_RV.gather(1, targets_S[own, None])[:, 0]

    read_log_probabilities(backbone, hidden_SD, read)
    return found_S


# From text to rows of token ids.


def _encode(backbone: Backbone, requests: Sequence[Request]) -> list[Row]:
    heads = [(r.prefix + r.context).rstrip() for r in requests]
    wholes = [r.prefix + r.context + r.continuation for r in requests]
    ids = prompt_tokens(backbone, [*heads, *wholes])
    empty = [not r.prefix + r.context for r in requests]
    bare: dict[str, list[int]] = {}
    if any(empty):
        texts = list(dict.fromkeys(w for w, alone in zip(wholes, empty, strict=True) if alone))
        encoded = backbone.tokenizer(texts, add_special_tokens=False)["input_ids"]
        bare = dict(zip(texts, encoded, strict=True))
    rows = []
    for head, whole, alone in zip(heads, wholes, empty, strict=True):
        if alone:
            first = first_token(backbone)
            rows.append(Row(bare[whole] if bare[whole][:1] == [first] else [first, *bare[whole]], 1))
        else:
            rows.append(Row(ids[whole], len(ids[head])))
    return rows


def prompt_tokens(backbone: Backbone, texts: Sequence[str]) -> dict[str, list[int]]:
    """Ids of each distinct text; no special tokens where it brings the first one with it."""
    tokenizer = backbone.tokenizer
    own = [t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id) if t is not None][:1]
    begins = str(tokenizer.decode(own)) if own else None
    plain = [t for t in dict.fromkeys(texts) if not begins or not t.startswith(begins)]
    marked = [t for t in dict.fromkeys(texts) if begins and t.startswith(begins)]
    ids = dict(zip(plain, tokenizer(plain)["input_ids"], strict=True)) if plain else {}
    if marked:
        encoded = tokenizer(marked, add_special_tokens=False)["input_ids"]
        ids |= dict(zip(marked, encoded, strict=True))
    return ids
