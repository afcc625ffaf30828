import logging
from functools import partial
from typing import Any

import numpy as np
import pytest

from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.engine.multiple_choice import Questions
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.options.composed import benchmark_of

PAIRS = [(f"source {i}", "wort " * (1 + i % 7) + str(i)) for i in range(60)]
SHOWN = [(f"shown {i}", f"gezeigt {i}") for i in range(9)]


def corpus_of(pairs: list[tuple[str, str]]) -> ParallelCorpus:
    rows = [Row("made", {"en": x, "de": y}) for x, y in pairs]
    return ParallelCorpus.from_rows([*rows, Row("made", {"en": "only", "fr": "seulement"})], "made")


def ask(pairs: Any = PAIRS, shown: Any = SHOWN, seed: int = 0, **changes: Any) -> list[Questions]:
    options = {"name": "held", "tasks": ["translation_choice"], "choice_limit": None} | changes
    benchmark = benchmark_of(**options)
    setting = Setting(
        benchmark=benchmark,
        corpus=corpus_of(pairs),
        demonstrations=corpus_of(shown),
        pivot="en",
        languages=["de"],
        aligned_layer=0,
        seed=seed,
    )
    measures = [part.measure for part in tasks_of(benchmark)["translation_choice"].parts(setting)]
    assert all(isinstance(measure, partial) for measure in measures)
    return [measure.args[0] for measure in measures]  # type: ignore[attr-defined]


def test_one_right_and_three_wrong_candidates_of_similar_length() -> None:
    [questions] = ask()
    assert len(questions.items) == 60
    for item, (source, target) in zip(questions.items, PAIRS, strict=True):
        assert set(item.contexts) == {f"{source} ="}
        assert item.continuations[item.gold] == f" {target}"
        assert len(set(item.continuations)) == 4
        assert set(item.continuations) <= {f" {t}" for _, t in PAIRS}
        lengths = np.array([len(c) for c in item.continuations])
        assert abs(lengths - lengths[item.gold]).max() <= 15  # of 30
    # The right one stands anywhere: a model that always takes the first is at chance.
    assert len({item.gold for item in questions.items}) == 4


def test_demonstrations_and_query_are_written_alike() -> None:
    """Defect 5 of the published code: different punctuation in demonstrations and query."""
    [questions] = ask()
    assert len(questions.demonstrations) == questions.shots == 2
    asked = questions.items[0].candidates[0]
    for shown in (own.text for own in questions.demonstrations):
        source, target = next(pair for pair in SHOWN if shown.startswith(pair[0] + " "))
        own = questions.items[0].continuations[0][1:]
        assert shown == asked.replace(PAIRS[0][0], source).replace(own, target) + "\n"


def test_same_seed_same_items_whatever_is_asked_beside_them() -> None:
    assert ask() == ask()
    assert ask(choice_limit=5)[0].items == ask()[0].items[:5]
    assert ask(seed=1) != ask()


def test_alike_texts_are_never_candidates_together() -> None:
    [questions] = ask([*PAIRS, ("another", "WORT 0"), ("Source  1", "other")])
    assert len(questions.items) == 60


def test_demonstrations_never_come_from_what_is_measured(caplog: pytest.LogCaptureFixture) -> None:
    [questions] = ask(shown=[PAIRS[3], ("new", PAIRS[4][1].upper()), ("fresh", "frisch")])
    assert [shown.text for shown in questions.demonstrations] == ["fresh = frisch\n"]
    assert questions.shots == 1
    assert "only 1 demonstrations" in caplog.text
    assert not ask(shown=[], choice_shots=0)[0].demonstrations


def test_too_few_texts_are_logged_not_measured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert ask(PAIRS[:3]) == []
    assert "de has 3 texts, too few: not measured" in caplog.text
    assert len(ask(PAIRS[:4])[0].items) == 4
