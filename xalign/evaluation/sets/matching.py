"""Matching sentences with their translations by similarity: items, rows and records.

Shapes: N pairs of a language, L layers (embeddings included).
"""

from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from xalign.evaluation.engine.session import Session
from xalign.evaluation.engine.similarity import distinct_pairs, similarities
from xalign.evaluation.metrics import Metric, Summary
from xalign.evaluation.results import Record, Result, standard_error
from xalign.evaluation.sets.sentence_task import SentenceTask
from xalign.evaluation.sets.sentences import Pairs, sentence_pairs
from xalign.evaluation.task import Measured, Part, Setting
from xalign.files import digest
from xalign.progress import Advance


def match_parts(task: SentenceTask, setting: Setting) -> list[Part]:
    """Parts that match sentences with their translations, at every layer, raw and centred."""
    options = {"poolings": list(task.config.poolings), "max_length": task.config.max_length}
    return [
        Part(
            task.name,
            language,
            {"pairs": digest(pairs), "records": "rivals", **options},
            len(pairs),
            partial(_measure, task, language, pairs),
            [text for _, text in pairs],
        )
        for language, pairs in sentence_pairs(setting, task.name).items()
    ]


def _measure(task: SentenceTask, language: str, pairs: Pairs, session: Session, advance: Advance) -> Measured:
    kept, vectors = distinct_pairs(pairs), task.sentence_vectors
    numbers_N = np.array([number for number, _ in kept])
    results: list[Result] = []
    records: list[Record] = []
    metrics = {metric.name: metric for metric in task.metrics()}
    variants = [metric for metric in metrics.values() if metric.has_layers]
    for metric, (pooling, centred) in zip(variants, product(vectors.poolings, (False, True)), strict=True):
        found = session.represent([side for _, pair in kept for side in pair], pooling, vectors.max_length)
        scores = [task.matches(s) for s in similarities(found[0::2], found[1::2], centred=centred)]
        fields: dict[str, NDArray[np.int64]] = {}
        for way in scores[0]:
            fields[way] = torch.stack([s[way][0] for s in scores], -1).int().numpy()
            rivals_NL = torch.stack([s[way][1] for s in scores], -1).numpy()
            # As numbers of items, which pairs that were left out have, too.
            fields[f"{way}_rival"] = np.where(rivals_NL >= 0, numbers_N[rivals_NL], rivals_NL)
        values_NL = np.mean([fields[way] for way in scores[0]], axis=0)
        summaries = [own for own in metrics.values() if own.of == metric.name]
        results += _layer_rows(session.name, language, metric, summaries, values_NL, task.version)
        records += [
            {"language": language, "index": int(number), "metric": metric.name}
            | {key: value[i].tolist() for key, value in fields.items()}
            for i, number in enumerate(numbers_N)
        ]
    advance(len(pairs))
    return Measured(results, {f"{session.name}.{task.name}": records})


def _layer_rows(
    benchmark: str,
    language: str,
    metric: Metric,
    summaries: Sequence[Metric],
    values_NL: NDArray[np.float64],
    version: str,
) -> list[Result]:
    """A row a layer from one value an item and layer, then what is said of all layers together."""

    def row(name: str, values_N: NDArray[np.float64], value: float, layer: int | None) -> Result:
        return Result(
            benchmark=benchmark,
            language=language,
            metric=name,
            value=value,
            stderr=standard_error(values_N),
            n=len(values_NL),
            layer=layer,
            version=version,
        )

    rows = [row(metric.name, v, float(v.mean()), layer) for layer, v in enumerate(values_NL.T)]
    means_L = values_NL.mean(0)
    for own in summaries:
        if own.summary is Summary.mean:
            rows.append(row(own.name, values_NL.mean(1), float(means_L.mean()), None))
        else:
            # The error of a maximum is that of the layer where it is; that it was chosen is left out.
            rows.append(row(own.name, values_NL[:, means_L.argmax()], float(means_L.max()), None))
    return rows
