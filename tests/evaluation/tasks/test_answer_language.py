"""The language of greedy answers: told by the identifier, among the languages that are measured."""

import logging

import pytest
import torch
from tiny import tiny_backbone

from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.engine import generation
from xalign.evaluation.evaluate import evaluate
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.evaluation.tasks.answer_language import language_of, told_apart
from xalign.options.composed import benchmark_of

WORDS = {"en": "The dog sleeps in the house", "de": "Der Hund schläft im Haus", "sw": "Mbwa analala nyumbani"}


def corpus_of(tag: str, count: int, languages: dict[str, str]) -> ParallelCorpus:
    rows = [Row("made", {c: f"{text} {tag} {i}" for c, text in languages.items()}) for i in range(count)]
    return ParallelCorpus.from_rows(rows, "made")


def setting_of(languages: dict[str, str], **options: object) -> Setting:
    benchmark = benchmark_of(name="use", tasks=["answer_language"], answer_shots=1, **options)
    text, shown = corpus_of("x", 4, languages), corpus_of("y", 4, languages)
    return Setting(benchmark, text, shown, "en", [c for c in languages if c != "en"], aligned_layer=1, seed=0)


def test_languages_are_told_by_their_words() -> None:
    told = tuple(sorted(told_apart(["en", "de", "sw", "zh", "th"])))
    assert told == ("de", "en", "sw", "th", "zh")
    for language, text in (WORDS | {"zh": "狗在屋子里睡觉", "th": "หมานอนหลับอยู่ในบ้าน"}).items():
        assert language_of(text, told) == language
    assert language_of(" 12 -- ", told) is None
    # Of two scripts of a language the first; what the identifier does not know is left out.
    assert told_apart(["en", "zh", "zh-Hant", "tlh"]) == ["en", "zh"]


def test_the_share_is_that_of_right_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what is asked for in German is answered in English, and an empty answer is none."""
    answers = {"de": [WORDS["de"], WORDS["en"], WORDS["de"], ""], "sw": [WORDS["sw"]] * 4}
    turn = iter(answers.values())
    asked = []

    def answered(backbone: object, prompts: list[str], limits: list[int], **options: object) -> list[str]:
        asked.append((prompts, limits))
        return next(turn)

    monkeypatch.setattr(generation, "continue_greedily", answered)
    setting = setting_of(WORDS, answer_tokens=9)
    measured = evaluate(tiny_backbone("llama"), setting, model="tiny", dtype=torch.float32).evaluation
    assert {r.language: (r.value, r.n) for r in measured.results} == {"de": (0.5, 4), "sw": (1.0, 4)}
    (records,) = measured.items.values()
    assert [r["answered_in"] for r in records] == ["de", "en", "de", None, *["sw"] * 4]
    for prompts, limits in asked:
        assert all(prompt.endswith(" =") and prompt.count("\n") == 1 for prompt in prompts)
        assert limits == [9] * 4


def test_a_language_that_nobody_can_tell_is_said_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    setting = setting_of({**WORDS, "tlh": "qach Daq Qong targh"})
    with caplog.at_level(logging.WARNING):
        parts = tasks_of(setting.benchmark)["answer_language"].parts(setting)
    assert [part.language for part in parts] == ["de", "sw"]
    assert "tlh" in caplog.text


def test_a_real_pass_writes_answers_of_at_most_so_many_tokens() -> None:
    setting = setting_of(WORDS, answer_tokens=3, answer_limit=2)
    measured = evaluate(tiny_backbone("llama"), setting, model="tiny", dtype=torch.float32).evaluation
    assert {r.n for r in measured.results} == {2}
