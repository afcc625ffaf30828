"""All measurements of one benchmark on one model.

Shapes: N pairs of a language, L layers (embeddings included), D hidden size.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xalign.config import BenchmarkConfig, Pooling, Task
from xalign.data.parallel import ParallelCorpus
from xalign.errors import DataError, did_you_mean
from xalign.evaluation import mexa, retrieval
from xalign.evaluation.progress import progress_bar
from xalign.evaluation.representations import Picture, choose_points, computing_in, draw, represent
from xalign.evaluation.results import (
    LAYER_SUMMARIES,
    Evaluation,
    Record,
    Result,
    standard_error,
    summary_name,
)
from xalign.evaluation.tasks import bits_per_byte, multiple_choice, translation_choice, xcopa
from xalign.models.backbone import Backbone

log = logging.getLogger(__name__)

POINTS = 600
"""Most points of the picture."""

VERSIONS = {
    Task.retrieval: "1",
    Task.mexa: "1",
    Task.translation_choice: translation_choice.VERSION,
    Task.bits_per_byte: bits_per_byte.VERSION,
    Task.xcopa: xcopa.VERSION,
}
"""Raised whenever a task's figures change for the same model and text; part of every cache key."""

Pairs = dict[str, list[tuple[str, str]]]
"""Language -> (pivot text, text)."""


@dataclass(frozen=True)
class Measurement:
    """Results, and the points of the report's picture where sentences were represented."""

    evaluation: Evaluation
    picture: Picture | None


@dataclass(frozen=True)
class _Represented:
    """Vectors (N, L, D) of texts, by text."""

    position: dict[str, int]
    vectors: Tensor

    def of(self, texts: Sequence[str]) -> Tensor:
        return self.vectors[[self.position[text] for text in texts]]


def evaluate(
    backbone: Backbone,
    benchmark: BenchmarkConfig,
    corpus: ParallelCorpus | None,
    demonstrations: ParallelCorpus | None,
    *,
    model: str,
    pivot: str,
    languages: Sequence[str],
    aligned_layer: int,
    seed: int,
    dtype: torch.dtype,
) -> Measurement:
    """Run the benchmark's tasks. `languages` (canonical, without the pivot) are those of the corpus.

    `model` is its name in the results; `demonstrations` is a corpus that shares no sentence with
    `corpus`. Representations are computed once for retrieval, MEXA and the picture. XCOPA reads
    `benchmark.path` and `benchmark.languages` instead of the corpus.

    Raises:
        DataError: a task lacks its text.
    """
    tasks = list(dict.fromkeys(benchmark.tasks))
    asked = {
        task: _choices(task, benchmark, corpus, demonstrations, pivot, languages, seed) for task in tasks
    }
    spatial = [task for task in tasks if task in (Task.retrieval, Task.mexa)]
    results: list[Result] = []
    items: dict[str, list[Record]] = {}
    picture = None
    with computing_in(backbone, dtype):
        if spatial:
            pairs = _pairs(_require(corpus, benchmark, spatial[0]), benchmark, pivot, languages)
            for pooling in benchmark.poolings:
                represented = _represent(backbone, benchmark, pairs, pooling)
                for measure in spatial:
                    rows, records = _compare_sides(measure, benchmark, pairs, represented, pooling)
                    results += rows
                    items.setdefault(f"{benchmark.name}.{measure}", []).extend(records)
                if pooling == benchmark.poolings[0]:
                    picture = _picture(pairs, pivot, represented, aligned_layer)
        for task in tasks:
            if task in spatial:
                continue
            name = benchmark.name
            if task == Task.bits_per_byte:
                texts = _texts(_require(corpus, benchmark, task), benchmark, [pivot, *languages])
                rows, records = bits_per_byte.measure(
                    backbone, texts, name, batch_tokens=benchmark.batch_tokens
                )
            else:
                # What a set of sentences is made to ask is a benchmark of its own.
                name = name if task is Task.xcopa else task.value
                rows, records = multiple_choice.answer(
                    backbone,
                    asked[task],
                    name,
                    task,
                    batch_tokens=benchmark.batch_tokens,
                    version=VERSIONS[task],
                )
            results += rows
            items[f"{name}.{task}"] = records
    return Measurement(Evaluation(model, results, items), picture)


def _texts(
    corpus: ParallelCorpus, benchmark: BenchmarkConfig, languages: Sequence[str]
) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for language in languages:
        _require_language(corpus, benchmark, language)
        own = dict.fromkeys(text for text in corpus.texts(language) if text is not None)
        texts[language] = list(own)[: benchmark.limit]
        if not texts[language]:
            log.warning("%s: no text in %s: bits per byte not measured", benchmark.name, language)
            del texts[language]
    return texts


def _require_language(corpus: ParallelCorpus, benchmark: BenchmarkConfig, language: str) -> None:
    if language not in corpus.languages:
        raise DataError(
            f"benchmark '{benchmark.name}' has no text in '{language}'; it has "
            f"{', '.join(corpus.languages)}{did_you_mean(language, corpus.languages)}"
        )


def _require(corpus: ParallelCorpus | None, benchmark: BenchmarkConfig, task: Task) -> ParallelCorpus:
    if corpus is None:
        raise DataError(f"benchmark.tasks: '{task}' needs parallel text, and '{benchmark.name}' has none")
    return corpus


def _pairs(corpus: ParallelCorpus, benchmark: BenchmarkConfig, pivot: str, languages: Sequence[str]) -> Pairs:
    pairs: Pairs = {}
    for language in languages:
        _require_language(corpus, benchmark, language)
        found = list(corpus.pairs(pivot, language))[: benchmark.limit]
        if len(retrieval.distinct_pairs(found)) < 2:
            log.warning("%s: fewer than two pairs %s-%s: not measured", benchmark.name, pivot, language)
        else:
            pairs[language] = found
    if not pairs:
        raise DataError(f"benchmark '{benchmark.name}' has no pairs of '{pivot}' with {', '.join(languages)}")
    return pairs


def _choices(
    task: Task,
    benchmark: BenchmarkConfig,
    corpus: ParallelCorpus | None,
    demonstrations: ParallelCorpus | None,
    pivot: str,
    languages: Sequence[str],
    seed: int,
) -> list[multiple_choice.Choice]:
    """Items of a multiple-choice task (none of another): what is missing shows before hours of work."""
    if task == Task.xcopa:
        if benchmark.path is None:
            raise DataError("benchmark.path: XCOPA needs the folder of its files <split>.<language>.jsonl")
        return xcopa.choices(Path(benchmark.path), benchmark.split, benchmark.languages, benchmark.limit)
    if task != Task.translation_choice:
        return []
    if demonstrations is None and benchmark.shots > 0:
        raise DataError(
            f"benchmark.shots={benchmark.shots}: '{benchmark.name}' has no text for demonstrations "
            "apart from what it measures; set benchmark.shots=0"
        )
    pairs = _pairs(_require(corpus, benchmark, task), benchmark, pivot, languages)
    return [
        choice
        for language, own in pairs.items()
        for choice in translation_choice.choices(
            language,
            own,
            demonstrations.pairs(pivot, language)
            if demonstrations and language in demonstrations.languages
            else [],
            shots=benchmark.shots,
            distractors=benchmark.distractors,
            limit=benchmark.choice_limit,
            seed=seed,
        )
    ]


def _represent(
    backbone: Backbone, benchmark: BenchmarkConfig, pairs: Pairs, pooling: Pooling
) -> _Represented:
    texts = list(dict.fromkeys(text for own in pairs.values() for pair in own for text in pair))
    with progress_bar(f"{benchmark.name}: representations ({pooling})", len(texts)) as advance:
        vectors = represent(
            backbone,
            texts,
            pooling,
            max_length=benchmark.max_length,
            batch_tokens=benchmark.batch_tokens,
            advance=advance,
        )
    return _Represented({text: i for i, text in enumerate(texts)}, vectors)


def _compare_sides(
    task: Task, benchmark: BenchmarkConfig, pairs: Pairs, represented: _Represented, pooling: Pooling
) -> tuple[list[Result], list[Record]]:
    """Rows and records of retrieval or MEXA, raw and centred, with one pooling."""
    results: list[Result] = []
    records: list[Record] = []
    name = "retrieval@1" if task == Task.retrieval else "mexa"
    with progress_bar(f"{benchmark.name}: {task} ({pooling})", len(pairs)) as advance:
        for language, own in pairs.items():
            kept = retrieval.distinct_pairs(own)
            x_NLD, y_NLD = (represented.of([pair[side] for _, pair in kept]) for side in (0, 1))
            for centred in (False, True):
                variants = ["centred"] * centred + [pooling.value] * (pooling != Pooling.mean)
                metric = "_".join([name, *variants])
                similar = retrieval.similarities(x_NLD, y_NLD, centred=centred)
                if task == Task.retrieval:
                    hits = [torch.stack(retrieval.retrieval_hits(s)) for s in similar]
                    forward_NL, backward_NL = torch.stack(hits, -1).int().numpy()
                    values_NL = (forward_NL + backward_NL) / 2
                    fields = {"forward": forward_NL, "backward": backward_NL}
                else:
                    values_NL = torch.stack([mexa.mexa_hits(s) for s in similar], -1).int().numpy()
                    fields = {"hits": values_NL}
                results += _layer_rows(benchmark.name, language, metric, values_NL, VERSIONS[task])
                records += [
                    {"language": language, "index": index, "metric": metric}
                    | {key: value[i].tolist() for key, value in fields.items()}
                    for i, (index, _) in enumerate(kept)
                ]
            advance(1)
    return results, records


def _layer_rows(
    benchmark: str, language: str, metric: str, values_NL: np.ndarray, version: str
) -> list[Result]:
    def row(name: str, value: float, stderr: float | None, layer: int | None) -> Result:
        return Result(
            benchmark=benchmark,
            language=language,
            metric=name,
            value=value,
            stderr=stderr,
            n=len(values_NL),
            layer=layer,
            version=version,
        )

    rows = [row(metric, float(v.mean()), standard_error(v), layer) for layer, v in enumerate(values_NL.T)]
    for summary, reduce in LAYER_SUMMARIES[metric.split("_")[0]].items():
        # The error of a maximum is that of the layer where it is; that the layer was chosen is left out.
        own_N = values_NL.mean(1) if summary == "mean" else values_NL[:, values_NL.mean(0).argmax()]
        value = float(reduce(values_NL.mean(0)))
        rows.append(row(summary_name(metric, summary), value, standard_error(own_N), None))
    return rows


def _picture(pairs: Pairs, pivot: str, represented: _Represented, aligned_layer: int) -> Picture:
    points = choose_points(pairs, pivot, POINTS)
    return draw(points, represented.of([text for _, _, text in points])[:, aligned_layer])
