"""Multiple choice by log-likelihood: a question's candidates are scored, and the likeliest is the answer.

`answer` and `question_part` serve any items; `xalign/evaluation/sets/question_set.py` makes those of sets.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from xalign.base.errors import DataError
from xalign.base.files import digest
from xalign.base.progress import Advance
from xalign.evaluation.engine.scoring import Request, request_tokens, score
from xalign.evaluation.engine.session import Session
from xalign.evaluation.items import Item
from xalign.evaluation.results import Record, Result, standard_error
from xalign.evaluation.task import Measured, Part
from xalign.models.backbone import Backbone

log = logging.getLogger(__name__)

DELIMITER = " "
"""Stands between context and continuation, at the beginning of the continuation."""

NEAR_TIE = 1e-3
"""Margin in nats below which rounding may decide which candidate wins."""

KINDS = ("", "_norm", "_bytes")
"""What log-likelihoods are divided by before the likeliest is taken: nothing, characters, UTF-8 bytes."""

BINS = 10
"""Bins of the calibration error."""


@dataclass(frozen=True)
class Questions:
    """Items of one language with the demonstrations that stand before each of them.

    `demonstrations` bring their own separators. `name` is the benchmark in the results, `shots` what was
    asked for.
    """

    name: str
    task: str
    version: str
    language: str
    items: Sequence[Item]
    demonstrations: Sequence[str] = ()
    shots: int = 0
    texts: Sequence[str] = ()
    """What the items are made of, as it stands in the set."""
    shown: Sequence[str] = ()
    """What the demonstrations are made of."""


def question_part(questions: Questions) -> Part:
    """The part of a task that asks some questions; its key holds every text that the model is shown.

    Raises:
        DataError: candidates of an item are alike.
    """
    for item in questions.items:
        if len(set(item.candidates)) < len(item.candidates):
            raise DataError(
                f"{questions.task}, {questions.language}, item {item.index}: alike candidates "
                f"{item.candidates}"
            )
    key = {
        "name": questions.name,
        "items": digest([asdict(item) for item in questions.items]),
        "demonstrations": digest(list(questions.demonstrations)),
        "shots": questions.shots,
    }
    size = sum(len(item.contexts) for item in questions.items)
    return Part(
        questions.task,
        questions.language,
        key,
        size,
        partial(answer, questions),
        questions.texts,
        questions.shown,
        partial(_require_room, questions),
    )


def answer(questions: Questions, session: Session, advance: Advance) -> Measured:
    """Answer every item; `advance` counts candidates.

    One record an item (log-likelihoods in nats, `margin` between the best two) and these rows: `accuracy`
    of the likeliest candidate, `accuracy_norm` and `accuracy_bytes` of the likeliest per character and per
    UTF-8 byte (acc, acc_norm and acc_bytes of lm-evaluation-harness: the delimiter does not count),
    `calibration_error`, and how many items are `near_ties`.

    Raises:
        DataError: a candidate is longer than the model's context.
    """
    prefixes = _prefixes(session.backbone, questions)
    pairs = zip(prefixes, questions.items, strict=True)
    requests = [request for prefix, item in pairs for request in _requests(prefix, item)]
    batch_tokens = session.batch_tokens
    scores = iter(
        score(
            session.backbone,
            requests,
            batch_tokens=batch_tokens,
            journal=session.journal,
            advance=advance,
        )
    )
    records: list[Record] = []
    for item in questions.items:
        sums = np.array([next(scores).log_likelihood for _ in item.contexts])
        texts = [continuation.removeprefix(DELIMITER) for continuation in item.continuations]
        place = {"language": questions.language, "index": item.index, "gold": item.gold}
        records.append(place | judged(sums, texts))
    rows = _rows(questions, records)
    return Measured(rows, {f"{questions.name}.{questions.task}": records})


def calibration_error(log_likelihoods: Sequence[Sequence[float]], gold: Sequence[int]) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3) with ten bins of equal width, from 0 to 1.

    The confidence of an answer is its share in the softmax over the log-likelihoods of the candidates.
    """
    confidences, right = [], []
    for values, wanted in zip(log_likelihoods, gold, strict=True):
        shares = np.exp(np.array(values) - np.max(values))
        confidences.append(1 / shares.sum())
        right.append(np.argmax(values) == wanted)
    confidence_N, right_N = np.array(confidences), np.array(right, float)
    # Bin m holds confidences in ((m - 1) / M, m / M].
    bin_N = np.clip(np.ceil(confidence_N * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = [abs((right_N - confidence_N)[bin_N == m].sum()) for m in range(BINS)]
    return float(sum(gaps) / len(right_N))


def _requests(prefix: str, item: Item) -> list[Request]:
    return [Request(prefix, a, b) for a, b in zip(item.contexts, item.continuations, strict=True)]


def judged(sums: np.ndarray, texts: Sequence[str], kinds: Sequence[str] = KINDS) -> Record:
    """What a record says of an item's candidates: their log-likelihoods, and the likeliest by each kind."""
    characters, sizes = [len(text) for text in texts], [len(text.encode()) for text in texts]
    divisors = dict(zip(KINDS, (np.ones(len(texts)), np.array(characters), np.array(sizes)), strict=True))
    second, best = np.sort(sums)[-2:]
    with np.errstate(divide="ignore"):  # a candidate without text is never the likeliest
        predictions = {f"prediction{kind}": int(np.argmax(sums / divisors[kind])) for kind in kinds}
    return {
        **predictions,
        "log_likelihoods": sums.tolist(),
        "margin": float(best - second),
        "characters": characters,
        "bytes": sizes,
    }


def _rows(questions: Questions, records: Sequence[Record]) -> list[Result]:
    def row(metric: str, value: float, stderr: float | None) -> Result:
        return Result(
            benchmark=questions.name,
            language=questions.language,
            metric=metric,
            value=value,
            stderr=stderr,
            n=len(records),
            shots=questions.shots,
            version=questions.version,
        )

    rows = []
    for kind in KINDS:
        right = [r[f"prediction{kind}"] == r["gold"] for r in records]
        rows.append(row(f"accuracy{kind}", float(np.mean(right)), standard_error(right)))
    error = calibration_error([r["log_likelihoods"] for r in records], [r["gold"] for r in records])
    near_ties = sum(r["margin"] < NEAR_TIE for r in records)
    if near_ties:
        log.info(
            "%s, %s: %d of %d items are near-ties: their candidates are less than %g nats apart",
            *(questions.task, questions.language, near_ties, len(records), NEAR_TIE),
        )
    return [*rows, row("calibration_error", error, None), row("near_ties", float(near_ties), None)]


def _prefixes(backbone: Backbone, questions: Questions) -> list[str]:
    """The demonstrations before each item; the first of them are left out where the context is too short."""
    limit = backbone.context
    shown = ["".join(questions.demonstrations[k:]) for k in range(len(questions.demonstrations) + 1)]
    dropped = [0] * len(questions.items)
    _require_room(questions, backbone)
    left = list(range(len(questions.items))) if limit is not None else []
    for k, prefix in enumerate(shown):
        left = _overflowing(backbone, questions.items, left, prefix, limit or 0)
        for i in left:
            dropped[i] = k + 1
    if any(dropped):
        log.warning(
            "%s, %s: the model's context of %d tokens is too short for all %d demonstrations before %d of %d "
            "items: up to %d, the first, are left out there",
            *(questions.task, questions.language, limit, len(questions.demonstrations)),
            *(sum(map(bool, dropped)), len(dropped), max(dropped)),
        )
    return [shown[k] for k in dropped]


def _require_room(questions: Questions, backbone: Backbone) -> None:
    """Raise DataError where a candidate without demonstrations has more tokens than the model's context."""
    limit = backbone.context
    if limit is None:
        return
    everyone = range(len(questions.items))
    if left := _overflowing(backbone, questions.items, everyone, "", limit):
        item = questions.items[left[0]]
        longest = max(item.candidates, key=len)
        raise DataError(
            f"{questions.task}, {questions.language}, item {item.index}: a candidate alone exceeds the "
            f"model's context of {limit} tokens, as {len(left)} of {len(everyone)} items' do: "
            f"'{longest[:60]}...'; a model with a longer context is needed, or benchmark.tasks without "
            f"{questions.task}"
        )


def _overflowing(
    backbone: Backbone, items: Sequence[Item], chosen: Sequence[int], prefix: str, limit: int
) -> list[int]:
    """Those of the items of which a candidate takes more than `limit` positions after the prefix."""
    # A token has a byte or more, special tokens apart: mostly there is nothing to count.
    room = limit - len(prefix.encode()) - 8
    doubtful = [i for i in chosen if max(len(text.encode()) for text in items[i].candidates) > room]
    counts = iter(request_tokens(backbone, [r for i in doubtful for r in _requests(prefix, items[i])]))
    return [i for i in doubtful if max([next(counts) for _ in items[i].contexts]) > limit]
