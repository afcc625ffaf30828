"""Matching sentences with their translations by similarity: items, rows and records.

Shapes: N pairs of a language, L layers (embeddings included).
"""

from collections.abc import Sequence
from functools import partial
from itertools import product

import torch
from torch import Tensor

from xalign.base.files import digest
from xalign.base.progress import Advance
from xalign.evaluation.contributions import Reduce, Scores, contributions, first_layer
from xalign.evaluation.engine.session import Session
from xalign.evaluation.engine.similarity import distinct_pairs, only_blocker, similarities
from xalign.evaluation.item_scores import item_scores
from xalign.evaluation.metrics import Metric
from xalign.evaluation.results import Evaluation, Record, Result
from xalign.evaluation.sets.sentence_task import SentenceTask
from xalign.evaluation.sets.sentences import Pairs, sentence_pairs
from xalign.evaluation.statistics import over_layers
from xalign.evaluation.task import Measured, Part, Setting

RECORDS = 2
"""Version of what the records hold: older ones in the cache lack the rivals."""


def match_parts(task: SentenceTask, setting: Setting) -> list[Part]:
    """Parts that match sentences with their translations, at every layer, raw and centred."""
    options = {"poolings": list(task.config.poolings), "max_length": task.config.max_length}
    return [
        Part(
            task.name,
            language,
            {"pairs": digest(pairs), "records": RECORDS, **options},
            len(pairs),
            partial(_measure, task, language, pairs),
            [text for _, text in pairs],
        )
        for language, pairs in sentence_pairs(setting, task.name).items()
    ]


def _measure(task: SentenceTask, language: str, pairs: Pairs, session: Session, advance: Advance) -> Measured:
    kept, vectors = distinct_pairs(pairs), task.sentence_vectors
    index = [number for number, _ in kept]
    results: list[Result] = []
    records: list[Record] = []
    metrics = task.metrics()
    variants = [metric for metric in metrics if metric.has_layers]
    for metric, (pooling, centred) in zip(variants, product(vectors.poolings, (False, True)), strict=True):
        found = session.represent([side for _, pair in kept for side in pair], pooling, vectors.max_length)
        by_layer = [task.blocked(s) for s in similarities(found[0::2], found[1::2], centred=centred)]
        own = hit_records(index, {"language": language, "metric": metric.name}, by_layer)
        summaries = [summary for summary in metrics if summary.of == metric.name]
        results += _layer_rows(session.name, language, metric, summaries, own, task.version)
        records += own
    advance(len(pairs))
    return Measured(results, {f"{session.name}.{task.name}": records})


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
    benchmark: str,
    language: str,
    metric: Metric,
    summaries: Sequence[Metric],
    records: list[Record],
    version: str,
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

    rows = [row(metric.name, scores.at(k), first_layer, k) for k in range(scores.values.shape[1])]
    for own in summaries:
        assert own.summary is not None
        rows.append(row(own.name, scores, over_layers(own.summary), None))
    return rows
