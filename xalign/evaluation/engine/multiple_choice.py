"""Multiple choice by log-likelihood: a question's candidates are scored, and the likeliest is the answer.

`answer` and `question_part` serve any items; `xalign/evaluation/sets/question_set.py` makes those of sets.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from xalign.base.errors import DataError
from xalign.base.files import digest
from xalign.base.progress import Advance
from xalign.evaluation.abstention import held_out_abstention
from xalign.evaluation.engine.scoring import Request, request_tokens, score
from xalign.evaluation.engine.session import Session
from xalign.evaluation.items import Item
from xalign.evaluation.prompts import PLAIN, PromptForm, Shown
from xalign.evaluation.results import Record, Result, standard_error
from xalign.evaluation.task import Measured, Part
from xalign.models.backbone import Backbone

log = logging.getLogger(__name__)

NEAR_TIE = 1e-3
"""Margin in nats below which rounding may decide which candidate wins."""

KINDS = ("", "_norm", "_bytes")
"""What log-likelihoods are divided by before the likeliest is taken: nothing, characters, UTF-8 bytes."""

BINS = 10
"""Bins of the calibration error."""


@dataclass(frozen=True)
class Questions:
    """Items of one language with the demonstrations that stand before each of them.

    `name` is the benchmark in the results, `shots` what was
    asked for.
    """

    name: str
    task: str
    version: str
    language: str
    items: Sequence[Item]
    demonstrations: Sequence[Shown] = ()
    shots: int = 0
    texts: Sequence[str] = ()
    """What the items are made of, as it stands in the set."""
    shown: Sequence[str] = ()
    """What the demonstrations are made of."""
    form: PromptForm = PLAIN
    """How they are put to the model."""
    abstain: bool = False
    """Whether rows of abstaining are wanted."""

    def requests(self, backbone: Backbone, item: Item, shown: Sequence[Shown]) -> list[Request]:
        """An item's candidates after demonstrations."""
        prompts = {
            context: self.form.prompt(backbone.tokenizer, shown, context)
            for context in dict.fromkeys(item.contexts)
        }
        delimited = zip(item.contexts, item.continuations, item.answers, strict=True)
        return [
            Request("", prompts[context], answer if self.form.chat else continuation)
            for context, continuation, answer in delimited
        ]


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
        "demonstrations": digest([asdict(shown) for shown in questions.demonstrations]),
        "shots": questions.shots,
        **questions.form.key,
        **({"abstain": True} if questions.abstain else {}),
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
    requests = _requests(session.backbone, questions)
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
        place = {"language": questions.language, "index": item.index, "gold": item.gold}
        records.append(place | judged(sums, item.answers))
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
    rows += [row("calibration_error", error, None), row("near_ties", float(near_ties), None)]
    if questions.abstain and len(records) > 1:
        likelihoods, gold = zip(*((r["log_likelihoods"], r["gold"]) for r in records), strict=True)
        found, count = held_out_abstention(likelihoods, gold)
        rows += [replace(row(name, value, None), n=count) for name, value in found.rows().items()]
    return rows


def _requests(backbone: Backbone, questions: Questions) -> list[Request]:
    """Every candidate of every item, in order; the first demonstrations are left out where the context is too
    short."""
    limit = backbone.context
    demonstrations, items = questions.demonstrations, questions.items
    _require_room(questions, backbone)
    found = [questions.requests(backbone, item, demonstrations) for item in items]
    dropped = [0] * len(items)
    left = _overflowing(backbone, found, limit)
    while left:
        for i in left:
            dropped[i] += 1
            found[i] = questions.requests(backbone, items[i], demonstrations[dropped[i] :])
        still = _overflowing(backbone, [found[i] for i in left], limit)
        left = [left[k] for k in still]
    if any(dropped):
        log.warning(
            "%s, %s: the model's context of %d tokens is too short for all %d demonstrations before %d of %d "
            "items: up to %d, the first, are left out there",
            *(questions.task, questions.language, limit, len(demonstrations)),
            *(sum(map(bool, dropped)), len(dropped), max(dropped)),
        )
    return [request for own in found for request in own]


def _require_room(questions: Questions, backbone: Backbone) -> None:
    """Raise DataError where a candidate without demonstrations has more tokens than the model's context."""
    limit = backbone.context
    if limit is None:
        return
    alone = [questions.requests(backbone, item, []) for item in questions.items]
    if left := _overflowing(backbone, alone, limit):
        item = questions.items[left[0]]
        longest = max(item.candidates, key=len)
        raise DataError(
            f"{questions.task}, {questions.language}, item {item.index}: a candidate alone exceeds the "
            f"model's context of {limit} tokens, as {len(left)} of {len(alone)} items' do: "
            f"'{longest[:60]}...'; a model with a longer context is needed, or benchmark.tasks without "
            f"{questions.task}"
        )


def _overflowing(backbone: Backbone, requests: Sequence[Sequence[Request]], limit: int | None) -> list[int]:
    """The numbers of the items of which a candidate takes more than `limit` positions."""
    if limit is None:
        return []

    def bytes_of(own: Request) -> int:
        return len((own.prefix + own.context + own.continuation).encode())

    # A token has a byte or more, special tokens apart: mostly there is nothing to count.
    doubtful = [i for i, own in enumerate(requests) if max(map(bytes_of, own)) > limit - 8]
    counts = iter(request_tokens(backbone, [request for i in doubtful for request in requests[i]]))
    return [i for i in doubtful if max([next(counts) for _ in requests[i]]) > limit]
