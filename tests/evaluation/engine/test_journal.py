"""An interrupted part goes on where it stopped, and gives what it would have given."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_backbone

from xalign.config.schema import BenchmarkConfig
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.engine import generation, prefix_tree
from xalign.evaluation.engine.generation import continue_greedily
from xalign.evaluation.engine.journal import Journal
from xalign.evaluation.engine.scoring import Request, Score, score
from xalign.evaluation.engine.tree_engine import Engine
from xalign.evaluation.evaluate import evaluate
from xalign.evaluation.results import Evaluation
from xalign.evaluation.task import Setting

SHOTS = "a house = ein Haus\nit is late = es ist spät\n"
SOURCES = ("a dog", "the old tree", "some", "rain and snow")
REQUESTS = [
    Request(prefix, f"{source} =", f" {target}")
    for prefix in (SHOTS, "")
    for source in SOURCES
    for target in ("ein Hund", "der Baum", "der Bau", "狗")
]


@contextmanager
def watched(owner: object, name: str, stop_at: int | None = None) -> Iterator[list[Any]]:
    """What a batch's function is asked, call by call; Ctrl-C in one of them."""
    original, calls = getattr(owner, name), []

    def counted(*args: Any) -> Any:
        calls.append(args[1])
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, counted)
        yield calls


@contextmanager
def interrupted(owner: object, name: str, at: int) -> Iterator[None]:
    with watched(owner, name, at), pytest.raises(KeyboardInterrupt):
        yield


@pytest.fixture(autouse=True)
def many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_tree, "LEAST_SAVED", 8)
    monkeypatch.setattr(prefix_tree, "PACKED", 1)
    # What is tried out once for each model is no batch.
    kept = generation._Kept(True, prefix=True, padding=True)
    monkeypatch.setattr(generation, "_kept", lambda backbone: kept)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_scores_go_on_with_the_next_batch(file: Path) -> None:
    backbone, counted = tiny_backbone("llama"), list[int]()

    def scored(journal: Journal, batch_tokens: int = 60) -> list[Score]:
        counted.clear()
        return score(backbone, REQUESTS, batch_tokens=batch_tokens, journal=journal, advance=counted.append)

    scored(Journal())  # the model is checked
    with watched(Engine, "_score") as whole:
        wanted = scored(Journal())
    assert len(whole) > 5
    assert not file.exists()
    with interrupted(Engine, "_score", at=4):
        scored(Journal(file))
    # The process died while it wrote the third batch.
    file.write_text(file.read_text()[:-9])
    with interrupted(Engine, "_score", at=3):
        scored(Journal(file))
    with watched(Engine, "_score") as rest:
        assert scored(Journal(file)) == wanted  # to the last bit
    assert rest == whole[4:]
    assert sum(counted) == len(REQUESTS)
    with watched(Engine, "_score") as rest:
        assert scored(Journal(file)) == wanted
    assert not rest
    # Other batches would round differently.
    with watched(Engine, "_score") as rest:
        scored(Journal(file), batch_tokens=80)
    assert sum(map(len, rest)) == sum(map(len, whole))


def test_answers_go_on_with_the_next_batch(file: Path) -> None:
    backbone = tiny_backbone("llama")
    prompts = [f"{SHOTS}{source} =" for source in SOURCES]

    def answers(journal: Journal) -> list[str]:
        return continue_greedily(backbone, prompts, [9, 12, 3, 6], batch_tokens=20, journal=journal)

    with watched(generation, "_generate") as whole:
        wanted = answers(Journal())
    assert len(set(wanted)) == len(whole) == 4
    with interrupted(generation, "_generate", at=3):
        answers(Journal(file))
    with watched(generation, "_generate") as rest:
        assert answers(Journal(file)) == wanted
    assert rest == whole[2:]


def test_a_part_of_a_benchmark_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"en": f"sentence {word}", "de": f"Satz {word}"} for word in ("one", "or two", "x", "y", "zzzz")]
    corpus, shown = (
        ParallelCorpus.from_rows([Row("made", row) for row in own], "made") for own in (rows[1:], rows[:1])
    )
    benchmark = BenchmarkConfig(name="made", tasks=["translation"], shots=1, batch_tokens=20)
    setting = Setting(benchmark, corpus, shown, "en", ["de"], 2, 0)

    def measured(folder: str) -> Evaluation:
        monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / folder))
        backbone = tiny_backbone("llama", max_position_embeddings=512)
        return evaluate(backbone, setting, model="tiny", dtype=torch.float32).evaluation

    with watched(generation, "_generate") as whole:
        wanted = measured("whole")
    with interrupted(generation, "_generate", at=3):
        measured("again")
    assert len(list(tmp_path.glob("again/evaluations/.*.journal"))) == 1
    with watched(generation, "_generate") as rest, watched(Engine, "_score") as scored:
        assert measured("again") == wanted
    assert len(rest) == len(whole) - 2
    assert scored
    assert not list(tmp_path.glob("again/evaluations/.*.journal"))
