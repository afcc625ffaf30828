"""Multiple choice by log-likelihood: what all such benchmarks share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xalign.errors import DataError
from xalign.evaluation.progress import progress_bar
from xalign.evaluation.results import Record, Result, standard_error
from xalign.evaluation.scoring import Request, score
from xalign.models.backbone import Backbone


@dataclass(frozen=True)
class Choice:
    """An item: demonstrations, context, the candidates that may follow, and the number of the right one."""

    language: str
    index: int
    prefix: str
    context: str
    candidates: tuple[str, ...]
    gold: int
    shots: int = 0


def answer(
    backbone: Backbone,
    choices: Sequence[Choice],
    benchmark: str,
    task: str,
    *,
    batch_tokens: int,
    version: str,
) -> tuple[list[Result], list[Record]]:
    """Answer every item; one record an item, and per language two rows.

    `accuracy` takes the candidate with the highest log-likelihood, `accuracy_norm` the one with the highest
    log-likelihood per UTF-8 byte.

    Raises:
        DataError: candidates of an item are alike.
    """
    for choice in choices:
        if len(set(choice.candidates)) < len(choice.candidates):
            raise DataError(
                f"{benchmark}, {choice.language}, item {choice.index}: alike candidates {choice.candidates}"
            )
    requests = [Request(c.prefix, c.context, candidate) for c in choices for candidate in c.candidates]
    with progress_bar(f"{benchmark}: {task}", len(requests)) as advance:
        scores = iter(score(backbone, requests, batch_tokens=batch_tokens, advance=advance))
    records: list[Record] = []
    for choice in choices:
        own = [next(scores) for _ in choice.candidates]
        sums = [s.log_likelihood for s in own]
        records.append(
            {
                "language": choice.language,
                "index": choice.index,
                "gold": choice.gold,
                "prediction": int(np.argmax(sums)),
                "prediction_norm": int(np.argmax([s.log_likelihood / s.bytes for s in own])),
                "log_likelihoods": sums,
                "bytes": [s.bytes for s in own],
            }
        )
    shots = {c.language: c.shots for c in choices}
    return [row for lang in shots for row in _rows(records, benchmark, lang, shots[lang], version)], records


def _rows(records: list[Record], benchmark: str, language: str, shots: int, version: str) -> list[Result]:
    own = [r for r in records if r["language"] == language]
    rows = []
    for metric, key in (("accuracy", "prediction"), ("accuracy_norm", "prediction_norm")):
        right = [r[key] == r["gold"] for r in own]
        rows.append(
            Result(
                benchmark=benchmark,
                language=language,
                metric=metric,
                value=float(np.mean(right)),
                stderr=standard_error(right),
                n=len(right),
                shots=shots,
                version=version,
            )
        )
    return rows
