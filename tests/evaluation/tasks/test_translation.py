"""The translation task: what is shown, what is asked, and sacrebleu's numbers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sacrebleu
from tiny import tiny_backbone

from xalign.base.errors import DataError
from xalign.config.schema import BenchmarkConfig
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.engine.scoring import Request, score
from xalign.evaluation.engine.translation_scores import bleu_tokenizer
from xalign.evaluation.evaluate import session_of
from xalign.evaluation.results import Result
from xalign.evaluation.task import Measured, Setting
from xalign.evaluation.tasks import tasks_of
from xalign.evaluation.tasks import translation as module

WORDS = ["house", "tree", "river", "moon", "book", "rain", "table", "garden"]
GERMAN = ["Haus", "Baum", "Fluss", "Mond", "Buch", "Regen", "Tisch", "Garten"]


LIMIT = module._limit


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model goes on to the limit."""
    monkeypatch.setattr(module, "_limit", lambda session, source: 4 + len(source) % 5)


def corpus(*numbers: int) -> ParallelCorpus:
    rows = [{"en": f"the old {WORDS[i]} is here", "de": f"{GERMAN[i]} ist hier und alt"} for i in numbers]
    return ParallelCorpus.from_rows([Row("made", row) for row in rows], "made")


def measured(**changes: Any) -> list[Measured]:
    options = {"name": "made", "tasks": ["translation"], "shots": 2, "batch_tokens": 512} | changes
    benchmark = BenchmarkConfig(**options)
    # Sentence 0 is measured: it must not be shown.
    setting = Setting(benchmark, corpus(0, 1, 2, 3), corpus(0, 4, 5), "en", ["de"], 2, 0)
    session = session_of(tiny_backbone("llama", max_position_embeddings=512), benchmark)
    parts = tasks_of(benchmark)["translation"].parts(setting)
    return [part.measure(session, lambda count: None) for part in parts]


def by_metric(part: Measured) -> dict[str, Result]:
    return {row.metric: row for row in part.results}


def test_figures_are_sacrebleus(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "into": ["Haus ist hier und alt", "Baum ist da", "hier ist der alte Fluss", ""],
        "from": ["the old house is here", "an old tree is here", "river", "the moon is old and here"],
    }
    asked: list[str] = []

    def answered(backbone: object, prompts: list[str], limits: list[int], **options: Any) -> list[str]:
        asked.extend(prompts)
        assert limits[0] == 16 + 3 * len("the old house is here")
        return answers["into" if len(asked) == 4 else "from"]

    monkeypatch.setattr("xalign.evaluation.engine.generation.continue_greedily", answered)
    monkeypatch.setattr(module, "_limit", LIMIT)
    for part, (direction, hypotheses) in zip(measured(), answers.items(), strict=True):
        references = corpus(0, 1, 2, 3).texts("de" if direction == "into" else "en")
        rows = by_metric(part)
        chrf = sacrebleu.corpus_chrf(hypotheses, [references], word_order=2)
        assert rows[f"chrf++_{direction}"].value == chrf.score
        assert rows[f"bleu_{direction}"].value == sacrebleu.corpus_bleu(hypotheses, [references]).score
        assert "nw:2" in rows[f"chrf++_{direction}"].version
        assert "tok:13a" in rows[f"bleu_{direction}"].version
        assert rows[f"chrf++_{direction}"].stderr > 0  # type: ignore[operator]
        assert {(r.language, r.shots, r.n) for r in part.results} == {("de", 2, 4)}
        for record, hypothesis, reference in zip(
            part.items["made.translation"], hypotheses, references, strict=True
        ):
            own = sacrebleu.sentence_chrf(hypothesis, [str(reference)], word_order=2).score
            assert record["chrf"] == own
            assert (record["hypothesis"], record["reference"]) == (hypothesis, reference)
            assert record["direction"] == direction
    shown = "the old rain is here = Regen ist hier und alt\nthe old book is here = Buch ist hier und alt\n"
    swapped = "\n".join(reversed(shown.strip().split("\n"))) + "\n"
    assert asked[1] in (shown + "the old tree is here =", swapped + "the old tree is here =")
    assert asked[5].endswith(
        "Buch ist hier und alt = the old book is here\nBaum ist hier und alt ="
    ) or asked[5].endswith("Regen ist hier und alt = the old rain is here\nBaum ist hier und alt =")


def test_bits_per_byte_of_the_reference() -> None:
    into, back = measured(shots=0)
    backbone = tiny_backbone("llama", max_position_embeddings=512)
    for part, (source, target) in ((into, ("en", "de")), (back, ("de", "en"))):
        pairs = corpus(0, 1, 2, 3).pairs(source, target)
        scores = score(backbone, [Request("", f"{x} =", f" {y}") for x, y in pairs], batch_tokens=512)
        nats = np.array([s.log_likelihood for s in scores])
        sizes = sum(len(y.encode()) + 1 for _, y in pairs)
        row = by_metric(part)[f"reference_bits_per_byte_{'into' if part is into else 'from'}"]
        assert row.value == pytest.approx(-nats.sum() / np.log(2) / sizes, rel=1e-4)
        assert row.shots == 0


def test_batches_do_not_change_what_is_measured() -> None:
    whole, single = measured(), measured(batch_tokens=1)
    for one, other in zip(whole, single, strict=True):
        for a, b in zip(one.results, other.results, strict=True):
            assert a.value == pytest.approx(b.value, abs=1e-4)
        for c, d in zip(*(next(iter(part.items.values())) for part in (one, other)), strict=True):
            assert c["hypothesis"] == d["hypothesis"]


def test_parts_are_two_directions_with_keys_of_their_own() -> None:
    benchmark = BenchmarkConfig(name="made", tasks=["translation"], shots=1)
    task = tasks_of(benchmark)["translation"]
    parts = task.parts(Setting(benchmark, corpus(0, 1), corpus(4, 5), "en", ["de"], 2, 0))
    assert [(p.language, p.key["direction"], p.size) for p in parts] == [("de", "into", 4), ("de", "from", 4)]
    other = task.parts(Setting(benchmark, corpus(0, 1), corpus(4, 5, 6, 7), "en", ["de"], 2, 1))
    assert parts[0].key != other[0].key


def test_too_few_demonstrations_are_said(caplog: pytest.LogCaptureFixture) -> None:
    rows = measured(shots=5)[0].results
    assert {row.shots for row in rows} == {2}
    assert "translation: de has only 2 demonstrations" in caplog.text


def test_shots_without_a_text_for_them_are_refused() -> None:
    benchmark = BenchmarkConfig(name="made", tasks=["translation"], shots=1)
    setting = Setting(benchmark, corpus(0, 1), None, "en", ["de"], 2, 0)
    task = tasks_of(benchmark)["translation"]
    with pytest.raises(DataError, match=r"benchmark.shots=1: 'made' has no text for demonstrations"):
        task.parts(setting)
    assert len(task.parts(replace(setting, benchmark=replace(benchmark, shots=0)))) == 2


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [("de", "13a"), ("zh", "zh"), ("zh-Hant", "zh"), ("ja", "char"), ("th", "char"), ("km", "char"),
     ("my", "char"), ("lo", "char"), ("ar", "13a"), ("ko", "13a")],
)  # fmt: skip
def test_bleu_splits_words_where_there_are_words(language: str, tokenizer: str) -> None:
    assert bleu_tokenizer(language) == tokenizer
