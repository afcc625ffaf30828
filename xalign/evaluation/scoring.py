"""Exact log-likelihoods of continuations, with the keys and values of shared demonstrations computed once.

Shapes: B requests, T tokens, D hidden size, S scored positions.
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Cache

from xalign.data.collate import pad
from xalign.errors import DataError
from xalign.evaluation.progress import Advance
from xalign.evaluation.representations import batches, computing_in
from xalign.models.backbone import Backbone, evaluating

log = logging.getLogger(__name__)

LOGITS_AT_ONCE = 2**27
"""Logits held at a time: 512 positions of a vocabulary of 262,144, 0.5 GB in float32."""


@dataclass(frozen=True)
class Request:
    """A continuation to score after `prefix + context`; `prefix` is what many requests begin with."""

    prefix: str
    context: str
    continuation: str


@dataclass(frozen=True)
class Score:
    """Natural log-likelihood of a continuation, the tokens it was summed over, its UTF-8 bytes."""

    log_likelihood: float
    tokens: int
    bytes: int


@dataclass(frozen=True)
class _Row:
    """Token ids of a whole request; its continuation begins at `start`."""

    ids: list[int]
    start: int


def score(
    backbone: Backbone,
    requests: Sequence[Request],
    *,
    batch_tokens: int,
    reuse: bool = True,
    advance: Advance = lambda count: None,
) -> list[Score]:
    """Score requests, in their order; `advance` counts them.

    Text becomes tokens as in lm-evaluation-harness: prefix, context and continuation as one string, of
    which the continuation is what is left after the tokens of `prefix + context`; white space at the end
    of the context belongs to the continuation. `reuse=False` runs every request as a whole, as is also
    done, with a log line, where a model's cache does not give the same numbers.

    Raises:
        DataError: a request is longer than the model's context.
    """
    rows = _encode(backbone, requests)
    groups: dict[str, list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(request.prefix, []).append(i)
    shared = {prefix: _shared_tokens([rows[i] for i in g]) if prefix else 0 for prefix, g in groups.items()}
    values = [0.0] * len(rows)
    with evaluating(backbone):
        if reuse and any(shared.values()):
            trial = max(groups, key=lambda prefix: shared[prefix])
            with computing_in(backbone, torch.float32):
                reuse = _reuse_is_exact(backbone, [rows[i] for i in groups[trial][:4]], shared[trial])
        for prefix, group in groups.items():
            cut = shared[prefix] if reuse else 0
            cache = _cache(backbone, rows[group[0]].ids[:cut]) if cut else None
            # Demonstrations count towards a batch although they are not run: their keys take its memory.
            for batch in batches([len(rows[i].ids) for i in group], batch_tokens):
                chosen = [group[k] for k in batch]
                sums = _log_likelihoods(backbone, [rows[i] for i in chosen], cut, cache)
                for i, value in zip(chosen, sums, strict=True):
                    values[i] = value
                advance(len(chosen))
    return [
        Score(value, len(row.ids) - row.start, len(request.continuation.encode()))
        for value, row, request in zip(values, rows, requests, strict=True)
    ]


def token_log_likelihoods(backbone: Backbone, hidden_SD: Tensor, targets_S: Tensor) -> Tensor:
    """Log-probabilities (S,) in float32 of the tokens that follow S positions, few logits at a time."""
    size = max(1, LOGITS_AT_ONCE // backbone.model.get_output_embeddings().weight.shape[0])
    parts = [
        -cross_entropy(backbone.head(hidden).float(), targets, reduction="none")
        for hidden, targets in zip(hidden_SD.split(size), targets_S.split(size), strict=True)
    ]
    return torch.cat(parts)


def context_length(backbone: Backbone) -> int | None:
    """Tokens that the model has positions for; None where it has no limit (alibi)."""
    limit = getattr(backbone.model.config.get_text_config(), "max_position_embeddings", None)
    return None if limit is None else int(limit)


def _encode(backbone: Backbone, requests: Sequence[Request]) -> list[_Row]:
    heads = [(r.prefix + r.context).rstrip() for r in requests]
    wholes = [r.prefix + r.context + r.continuation for r in requests]
    # Candidates of an item share their context: each text is tokenised once.
    distinct = list(dict.fromkeys([*heads, *wholes]))
    ids = dict(zip(distinct, backbone.tokenizer(distinct)["input_ids"], strict=True))
    limit = context_length(backbone)
    rows = []
    for head, whole in zip(heads, wholes, strict=True):
        row = _Row(ids[whole], len(ids[head]))
        if limit is not None and len(row.ids) > limit:
            raise DataError(f"{len(row.ids)} tokens exceed the model's context of {limit}: '{whole[:60]}...'")
        if not 0 < row.start < len(row.ids):
            raise DataError(f"context and continuation must each have a token of their own: '{whole[-60:]}'")
        rows.append(row)
    return rows


def _shared_tokens(rows: Sequence[_Row]) -> int:
    """Length of the longest common token prefix that leaves the position before each continuation."""
    first, limit = rows[0].ids, min(row.start for row in rows) - 1
    for row in rows[1:]:
        limit = next((k for k in range(limit) if row.ids[k] != first[k]), limit)
    return limit


def _cache(backbone: Backbone, ids: Sequence[int]) -> Cache:
    tokens = pad(backbone.tokenizer, [ids]).to(backbone.device)
    cache: Cache = _decode(backbone, tokens.input_ids, tokens.attention_mask, None).past_key_values
    return cache


def _decode(  # type: ignore[no-untyped-def]
    backbone: Backbone, ids_BT: Tensor, mask_BT: Tensor, past: Cache | None
):
    low = backbone.compute_dtype != torch.float32
    with torch.autocast(backbone.device.type, torch.bfloat16, enabled=low):
        return backbone.model.get_decoder()(
            input_ids=ids_BT, attention_mask=mask_BT, past_key_values=past, use_cache=True
        )


def _log_likelihoods(backbone: Backbone, rows: Sequence[_Row], cut: int, cache: Cache | None) -> list[float]:
    """Sums over continuation tokens; the first `cut` tokens of every row are in the cache."""
    tokens = pad(backbone.tokenizer, [row.ids[cut:] for row in rows]).to(backbone.device)
    if cache is None:
        hidden_BTD = backbone.hidden_states(tokens, backbone.depth)
    else:
        past = copy.deepcopy(cache)
        past.batch_repeat_interleave(len(rows))
        cached_BT = tokens.attention_mask.new_ones(len(rows), cut)
        mask_BT = torch.cat([cached_BT, tokens.attention_mask], 1)
        hidden_BTD = _decode(backbone, tokens.input_ids, mask_BT, past).last_hidden_state
    scored_BT = tokens.attention_mask.bool()[:, 1:].clone()
    for b, row in enumerate(rows):
        scored_BT[b, : row.start - cut - 1] = False
    values_S = token_log_likelihoods(
        backbone, hidden_BTD[:, :-1][scored_BT], tokens.input_ids[:, 1:][scored_BT]
    )
    return [float(part.double().sum()) for part in values_S.split([len(r.ids) - r.start for r in rows])]


def _reuse_is_exact(backbone: Backbone, rows: Sequence[_Row], cut: int) -> bool:
    # Half precision rounds differently in batches of another shape; a wrong cache is off by nats.
    tolerance = 1e-3 if next(backbone.model.parameters()).dtype == torch.float32 else 0.5
    whole = _log_likelihoods(backbone, rows, 0, None)
    try:
        reused = _log_likelihoods(backbone, rows, cut, _cache(backbone, rows[0].ids[:cut]))
    except Exception as error:  # a cache can fail in any way its model's code likes
        log.warning("demonstrations are run anew for every item: the model's cache failed (%r)", error)
        return False
    worst = max(abs(a - b) for a, b in zip(whole, reused, strict=True))
    if not worst <= tolerance:
        log.warning(
            "demonstrations are run anew for every item: with the model's cache, sums differ by %.2g", worst
        )
        return False
    log.info("demonstrations are run once (largest difference from running them anew: %.1g)", worst)
    return True
