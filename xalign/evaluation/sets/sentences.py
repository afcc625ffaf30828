"""Parallel sentences under measurement: what retrieval, MEXA, bits per byte and the picture have in
common."""

import logging

from xalign.base.errors import DataError, did_you_mean
from xalign.data.parallel import ParallelCorpus
from xalign.evaluation.engine.representations import Picture, choose_points, projected
from xalign.evaluation.engine.session import Session
from xalign.evaluation.engine.similarity import distinct_pairs
from xalign.evaluation.task import SentenceVectors, Setting

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


def distinct_texts(setting: Setting, task: str) -> dict[str, list[str]]:
    """The texts of the pivot and of each language, none twice; without a language that has none."""
    corpus = require_corpus(setting, task)
    found: dict[str, list[str]] = {}
    for language in dict.fromkeys([setting.pivot, *setting.languages]):
        if texts := list(dict.fromkeys(text for text in corpus.texts(language) if text is not None)):
            found[language] = texts
        else:
            log.warning("%s: no text in %s: no %s", setting.benchmark.name, language, task)
    return found


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


def picture_points(setting: Setting) -> list[tuple[int, str, str]]:
    """(sentence, language, text) of the picture's points."""
    return choose_points(sentence_pairs(setting, "picture"), setting.pivot, POINTS)


def picture(
    session: Session, points: list[tuple[int, str, str]], vectors: SentenceVectors, layer: int
) -> Picture:
    """The points as they lie at a layer, with the first pooling."""
    texts = [text for _, _, text in points]
    return projected(points, session.represent(texts, vectors.poolings[0], vectors.max_length)[:, layer])
