"""Parallel sentences under measurement: what retrieval, MEXA, bits per byte and the picture have in common.

Shapes: N pairs of a language, L layers (embeddings included), D hidden size.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from xalign.choices import Pooling
from xalign.data.parallel import ParallelCorpus
from xalign.errors import DataError, did_you_mean
from xalign.evaluation.contributions import Reduce, Scores, contributions, first_layer
from xalign.evaluation.item_scores import item_scores
from xalign.evaluation.representations import Picture, choose_points, draw
from xalign.evaluation.results import LAYER_SUMMARIES, Evaluation, Record, Result, summary_name
from xalign.evaluation.similarity import distinct_pairs, only_blocker, similarities
from xalign.evaluation.task import Measured, Part, Session, Setting, Task
from xalign.progress import Advance

log = logging.getLogger(__name__)

POINTS = 600
"""Most points of the picture."""

RECORDS = 2
"""Version of what the records of retrieval and MEXA hold: older ones in the cache lack the rivals."""

Pairs = list[tuple[str, str]]
"""(pivot text, text) of one language."""


def require_corpus(setting: Setting, task: str) -> ParallelCorpus:
    """The parallel text, which holds every language that is to be measured.

    Raises:
        DataError: there is none, or it lacks a language.
    """
    corpus, name = setting.corpus, setting.benchmark.name
    if corpus is None:
        raise DataError(f"benchmark.tasks: '{task}' needs parallel text, and '{name}' has none")
    for language in (setting.pivot, *setting.languages):
        if language not in corpus.languages:
            raise DataError(
                f"benchmark '{name}' has no text in '{language}'; it has {', '.join(corpus.languages)}"
                f"{did_you_mean(language, corpus.languages)}"
            )
    return corpus


def sentence_pairs(setting: Setting, task: str) -> dict[str, Pairs]:
    """The first `benchmark.limit` pairs of each language that has two distinct ones.

    Raises:
        DataError: no language has.
    """
    corpus = require_corpus(setting, task)
    pairs: dict[str, Pairs] = {}
    for language in setting.languages:
        found = list(corpus.pairs(setting.pivot, language))[: setting.benchmark.limit]
        if len(distinct_pairs(found)) < 2:
            name = setting.benchmark.name
            log.warning("%s: fewer than two pairs %s-%s: no %s", name, setting.pivot, language, task)
        else:
            pairs[language] = found
    if not pairs:
        raise DataError(
            f"benchmark '{setting.benchmark.name}' has no pairs of '{setting.pivot}' with "
            f"{', '.join(setting.languages)}"
        )
    return pairs


def digest(value: object) -> str:
    """Hexadecimal sha256 of anything that JSON can write: texts, in keys."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def layered_task(
    name: str, metric: str, version: str, blocked: Callable[[Tensor], dict[str, Tensor]]
) -> Task:
    """A task on the similarities of sentences with their translations, at every layer, raw and centred.

    `blocked` takes similarities (N, N) to one or more (N, N) booleans by name: whether sentence j keeps
    sentence i from its translation. Where none does it is a hit; an item's value is the mean of its hits.
    """

    def parts(setting: Setting) -> list[Part]:
        options = {"poolings": setting.benchmark.poolings, "max_length": setting.benchmark.max_length}
        return [
            Part(
                name,
                language,
                {"pairs": digest(own), "records": RECORDS, **options},
                len(own),
                partial(measure, language, own),
                [text for _, text in own],
            )
            for language, own in sentence_pairs(setting, name).items()
        ]

    def measure(language: str, pairs: Pairs, session: Session, advance: Advance) -> Measured:
        kept = distinct_pairs(pairs)
        index = [number for number, _ in kept]
        benchmark = session.benchmark
        results: list[Result] = []
        records: list[Record] = []
        for pooling in benchmark.poolings:
            vectors = session.represent([side for _, pair in kept for side in pair], pooling)
            for centred in (False, True):
                full_name = metric + "_centred" * centred + f"_{pooling}" * (pooling is not Pooling.mean)
                by_layer = [blocked(s) for s in similarities(vectors[0::2], vectors[1::2], centred=centred)]
                own = hit_records(index, {"language": language, "metric": full_name}, by_layer)
                results += _layer_rows(benchmark.name, language, full_name, own, version)
                records += own
        advance(len(pairs))
        return Measured(results, {f"{benchmark.name}.{name}": records})

    return Task(version, parallel_text=True, parts=parts)


def hit_records(index: list[int], common: Record, by_layer: list[dict[str, Tensor]]) -> list[Record]:
    """A record an item: its hits of every layer by name, and the numbers of the items that alone keep it from
    a hit (`<name>_rival`, None where it hits or several do)."""
    names = by_layer[0].keys()
    hits = {name: torch.stack([~b[name].any(1) for b in by_layer], -1).int() for name in names}
    rivals = {name: torch.stack([only_blocker(b[name]) for b in by_layer], -1) for name in names}
    return [
        {**common, "index": number}
        | {name: hits[name][i].tolist() for name in names}
        | {f"{name}_rival": [None if k < 0 else index[k] for k in rivals[name][i].tolist()] for name in names}
        for i, number in enumerate(index)
    ]


def _layer_rows(
    benchmark: str, language: str, metric: str, records: list[Record], version: str
) -> list[Result]:
    """A row a layer, then what is said of all layers together."""
    (scores,) = item_scores(Evaluation("", [], {benchmark: records})).values()

    def row(name: str, own: Scores, reduce: Reduce, layer: int | None) -> Result:
        found = contributions(own, reduce, own.index)
        return Result(
            benchmark=benchmark,
            language=language,
            metric=name,
            value=float(reduce(own.values.mean(0))),
            stderr=found.error,
            n=len(own.index),
            layer=layer,
            version=version,
        )

    rows = [row(metric, scores.at(k), first_layer, k) for k in range(scores.values.shape[1])]
    for summary, reduce in LAYER_SUMMARIES[metric.split("_")[0]].items():
        rows.append(row(summary_name(metric, summary), scores, reduce, None))
    return rows


def picture_points(setting: Setting) -> list[tuple[int, str, str]]:
    """(sentence, language, text) of the picture's points."""
    return choose_points(sentence_pairs(setting, "picture"), setting.pivot, POINTS)


def picture(session: Session, points: list[tuple[int, str, str]], layer: int) -> Picture:
    """The points as they lie at a layer, with the benchmark's first pooling."""
    vectors = session.represent([text for _, _, text in points], session.benchmark.poolings[0])
    return draw(points, vectors[:, layer])
