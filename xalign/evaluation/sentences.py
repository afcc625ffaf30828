"""Parallel sentences under measurement: what retrieval, MEXA, bits per byte and the picture have in common.

Shapes: N pairs of a language, L layers (embeddings included), D hidden size.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from xalign.choices import Pooling
from xalign.data.parallel import ParallelCorpus
from xalign.errors import DataError, did_you_mean
from xalign.evaluation.representations import Picture, choose_points, draw
from xalign.evaluation.results import LAYER_SUMMARIES, Record, Result, standard_error, summary_name
from xalign.evaluation.similarity import distinct_pairs, similarities
from xalign.evaluation.task import Measured, Part, Session, Setting, Task
from xalign.progress import Advance

log = logging.getLogger(__name__)

POINTS = 600
"""Most points of the picture."""

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


def layered_task(name: str, metric: str, version: str, score: Callable[[Tensor], dict[str, Tensor]]) -> Task:
    """A task on the similarities of sentences with their translations, at every layer, raw and centred.

    `score` takes similarities (N, N) to one or more (N,) booleans by name; an item's value is their mean.
    """

    def parts(setting: Setting) -> list[Part]:
        options = {"poolings": setting.benchmark.poolings, "max_length": setting.benchmark.max_length}
        return [
            Part(
                name,
                language,
                {"pairs": digest(own), **options},
                len(own),
                partial(measure, language, own),
                [text for _, text in own],
            )
            for language, own in sentence_pairs(setting, name).items()
        ]

    def measure(language: str, pairs: Pairs, session: Session, advance: Advance) -> Measured:
        kept = distinct_pairs(pairs)
        benchmark = session.benchmark
        results: list[Result] = []
        records: list[Record] = []
        for pooling in benchmark.poolings:
            vectors = session.represent([side for _, pair in kept for side in pair], pooling)
            for centred in (False, True):
                full_name = metric + "_centred" * centred + f"_{pooling}" * (pooling is not Pooling.mean)
                scores = [score(s) for s in similarities(vectors[0::2], vectors[1::2], centred=centred)]
                fields = {key: torch.stack([s[key] for s in scores], -1).int().numpy() for key in scores[0]}
                values_NL = np.mean(list(fields.values()), axis=0)
                results += _layer_rows(benchmark.name, language, full_name, values_NL, version)
                records += [
                    {"language": language, "index": index, "metric": full_name}
                    | {key: value[i].tolist() for key, value in fields.items()}
                    for i, (index, _) in enumerate(kept)
                ]
        advance(len(pairs))
        return Measured(results, {f"{benchmark.name}.{name}": records})

    return Task(version, parallel_text=True, parts=parts)


def _layer_rows(
    benchmark: str, language: str, metric: str, values_NL: np.ndarray, version: str
) -> list[Result]:
    """A row a layer from one value an item and layer, then what is said of all layers together."""

    def row(name: str, values_N: np.ndarray, value: float, layer: int | None) -> Result:
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

    rows = [row(metric, v, float(v.mean()), layer) for layer, v in enumerate(values_NL.T)]
    for summary, reduce in LAYER_SUMMARIES[metric.split("_")[0]].items():
        # The error of a maximum is that of the layer where it is; that the layer was chosen is left out.
        own_N = values_NL.mean(1) if summary == "mean" else values_NL[:, values_NL.mean(0).argmax()]
        rows.append(row(summary_name(metric, summary), own_N, float(reduce(values_NL.mean(0))), None))
    return rows


def picture_points(setting: Setting) -> list[tuple[int, str, str]]:
    """(sentence, language, text) of the picture's points."""
    return choose_points(sentence_pairs(setting, "picture"), setting.pivot, POINTS)


def picture(session: Session, points: list[tuple[int, str, str]], layer: int) -> Picture:
    """The points as they lie at a layer, with the benchmark's first pooling."""
    vectors = session.represent([text for _, _, text in points], session.benchmark.poolings[0])
    return draw(points, vectors[:, layer])
