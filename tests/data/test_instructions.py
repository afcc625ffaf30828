import json
from collections import Counter
from pathlib import Path

import pytest

from xalign.base.errors import ConfigError, DataError
from xalign.config.text import InstructionsConfig, LanguagesConfig
from xalign.data.few_shot import FORMS
from xalign.data.instructions import InstructionSample, load_instructions
from xalign.data.instructions.cross_lingual import CrossLingualInstructions
from xalign.data.instructions.parallel import TranslationInstructions
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import InstructionRow, Row, Turn

LANGUAGES = LanguagesConfig(pivot="en", targets=["fr", "th"])
ROWS = [
    Row("s", {"en": f"Sentence {i} is here", "fr": f"La phrase {i} est ici", "th": f"ประโยค{i}อยู่ที่นี่"})
    for i in range(50)
]
CORPUS = ParallelCorpus.from_rows(ROWS, "made")
TURNS = [
    InstructionRow(
        str(i),
        {
            c: Turn(f"{c} ask {i}", f"{c} input" if i % 2 else "", f"{c} answer {i}")
            for c in ("en", "fr", "th")
        },
    )
    for i in range(30)
]


def translations(**changes: object) -> list[InstructionSample]:
    config = InstructionsConfig(**changes)  # type: ignore[arg-type]
    return TranslationInstructions(CORPUS, LANGUAGES, config, 0).batch(0, 400)


def test_all_cross_and_none() -> None:
    assert all(s.prompt_language != s.answer_language for s in translations(p_cross=1.0))
    assert all(s.prompt_language == s.answer_language for s in translations(p_cross=0.0))
    share = sum(s.prompt_language != s.answer_language for s in translations()) / 400
    assert share == pytest.approx(0.5, abs=0.1)


def test_one_side_of_a_cross_sample_is_the_pivot_and_p_swap_says_which() -> None:
    assert {s.answer_language for s in translations(p_cross=1.0, p_swap=1.0)} == {"en"}
    assert {s.prompt_language for s in translations(p_cross=1.0, p_swap=0.0)} == {"en"}


def test_demonstrations_are_other_pairs_in_the_sample_s_own_form() -> None:
    samples = translations(p_cross=1.0, shots=3)
    assert Counter(min(len(s.demonstrations), 1) for s in samples)[0] == pytest.approx(100, abs=35)
    assert {len(s.demonstrations) for s in samples} == {0, 1, 2, 3}
    ends = set()
    for s in samples:
        if not s.demonstrations:
            continue
        numbers = []
        for prompt, answer in (*s.demonstrations, (s.prompt, s.answer)):
            asked, given = ("".join(filter(str.isdigit, text)) for text in (prompt, answer))
            assert asked == given  # a sentence and its own translation
            numbers.append(asked)
            assert answer.startswith(" ")
            ends.add((prompt.rstrip()[-1], answer[len(answer.rstrip()) :]))
        assert len(set(numbers)) == len(numbers)
        first, last = s.input or (0, 0)
        assert s.prompt[first:last] in {text for row in ROWS for text in row.texts.values()}
    assert ends == {("=", "\n"), (":", "\n"), (":", "\n\n")}


def test_a_sentence_that_is_a_language_s_name_is_found_where_it_stands() -> None:
    for form in FORMS:
        first, last = form.place("German", "en")
        question = form.ask("German", "en", "de")
        assert question[first:last] == "German"
        assert first == question.index("German")


def test_without_shots_samples_are_what_they_were() -> None:
    assert translations(shots=0) == translations()
    assert all(not s.demonstrations for s in translations())


def test_more_shots_than_there_are_pairs_take_what_there_is() -> None:
    corpus = ParallelCorpus.from_rows(ROWS[:3], "made")
    config = InstructionsConfig(p_cross=1.0, shots=9)
    samples = TranslationInstructions(corpus, LANGUAGES, config, 0).batch(0, 100)
    assert max(len(s.demonstrations) for s in samples) == 2


def test_both_wordings_and_the_space() -> None:
    for sample in translations(p_cross=1.0):
        assert not sample.prompt.endswith(" ")
        assert sample.answer.startswith(" ")
    words = [
        s for s in translations(p_cross=1.0, equals_fraction=0.0, p_swap=0.0) if s.answer_language == "fr"
    ]
    assert words[0].prompt.endswith(" Translate into French:")
    assert all(s.prompt.endswith(" =") for s in translations(p_cross=1.0, equals_fraction=1.0))


def test_continuations_give_the_sentence_back() -> None:
    known = {text for row in ROWS for text in row.texts.values()}
    assert all(s.prompt + s.answer in known for s in translations(p_cross=0.0))


def test_a_continuation_is_never_empty_and_no_letter_is_split() -> None:
    texts = {"en": "One two three", "fr": "Passwortänderung", "th": "กี่"}
    corpus = ParallelCorpus.from_rows([Row("s", texts)], "made")
    config = InstructionsConfig(p_cross=0.0)
    samples = TranslationInstructions(corpus, LANGUAGES, config, 0).batch(0, 60)
    assert {(s.prompt, s.answer) for s in samples if s.answer_language == "fr"} == {("Passwort", "änderung")}
    assert {(s.prompt, s.answer) for s in samples if s.answer_language == "en"} == {("One", " two three")}
    # U+0E35 and U+0E48 are marks on the first letter; the last character has to stay for the answer.
    assert {(s.prompt, s.answer) for s in samples if s.answer_language == "th"} == {("กี", "่")}


def test_a_space_where_a_sentence_is_cut_starts_the_answer() -> None:
    corpus = ParallelCorpus.from_rows([Row("s", {"en": "a b", "th": "กข คง"})], "made")
    languages = LanguagesConfig(pivot="en", targets=["th"])
    samples = TranslationInstructions(corpus, languages, InstructionsConfig(p_cross=0.0), 0).batch(0, 30)
    assert {(s.prompt, s.answer) for s in samples if s.answer_language == "th"} == {("กข", " คง")}
    corpus = ParallelCorpus.from_rows([Row("s", {"en": "a b", "th": "กข  คงค"})], "made")
    samples = TranslationInstructions(corpus, languages, InstructionsConfig(p_cross=0.0), 0).batch(0, 30)
    assert {(s.prompt, s.answer) for s in samples if s.answer_language == "th"} == {("กข", "  คงค")}


def test_one_character_is_translated_instead_of_continued() -> None:
    corpus = ParallelCorpus.from_rows([Row("s", {"en": "One two three", "fr": "à"})], "made")
    languages = LanguagesConfig(pivot="en", targets=["fr"])
    samples = TranslationInstructions(corpus, languages, InstructionsConfig(p_cross=0.0), 0).batch(0, 30)
    assert {s.prompt_language for s in samples if s.answer_language == "fr"} == {"en"}
    assert all(s.prompt and s.answer.strip() for s in samples)


def test_instructions_are_asked_in_one_language_and_answered_in_another() -> None:
    config = InstructionsConfig(source="bactrian", p_cross=1.0)
    for sample in CrossLingualInstructions(TURNS, LANGUAGES, config, 0).batch(0, 100):
        assert {"en"} < {sample.prompt_language, sample.answer_language}
        assert sample.prompt.startswith(f"{sample.prompt_language} ask")
        name = {"en": "English", "fr": "French", "th": "Thai"}[sample.answer_language]
        assert sample.prompt.endswith(f" Answer in {name}:")
        assert "  " not in sample.prompt
        assert sample.answer.startswith(f" {sample.answer_language} answer")


def test_a_sample_says_where_its_input_is() -> None:
    """What gives way where it is too long; without an input, the instruction does."""
    config = InstructionsConfig(source="bactrian", p_cross=1.0)
    for sample in CrossLingualInstructions(TURNS, LANGUAGES, config, 0).batch(0, 40):
        first, last = sample.input or (0, 0)
        given = sample.prompt[first:last]
        assert given.split()[1] == ("input" if "input" in sample.prompt else "ask")
        assert sample.prompt[last:].startswith(" Answer in ")
    for sample in translations(p_cross=1.0):
        first, last = sample.input or (0, 0)
        assert sample.prompt[first:last] in {text for row in ROWS for text in row.texts.values()}
    assert all(sample.input is None for sample in translations(p_cross=0.0))


@pytest.mark.parametrize("kind", ["translations", "rows"])
def test_ranks_share_one_global_batch_and_steps_repeat(kind: str) -> None:
    def made() -> TranslationInstructions | CrossLingualInstructions:
        if kind == "translations":
            return TranslationInstructions(CORPUS, LANGUAGES, InstructionsConfig(), 0)
        return CrossLingualInstructions(TURNS, LANGUAGES, InstructionsConfig(), 0)

    assert made().batch(5, 8) == made().batch(5, 4, 0, 2) + made().batch(5, 4, 1, 2)
    assert made().batch(5, 8) != made().batch(6, 8)


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_bactrian_layout(tmp_path: Path, ending: str) -> None:
    for code in ("en", "fr", "th"):
        records = [
            {"id": f"x-{i}", "instruction": f"{code} {i}", "input": "", "output": f"{code} out"}
            for i in range(3)
        ]
        text = json.dumps(records) if ending == "json" else "\n".join(map(json.dumps, records))
        (tmp_path / f"{code}.{ending}").write_text(text, encoding="utf-8")
    config = InstructionsConfig(source="bactrian", path=str(tmp_path))
    assert len(load_instructions(config, LANGUAGES, CORPUS, 0).batch(0, 6)) == 6
    (tmp_path / f"th.{ending}").unlink()
    with pytest.raises(DataError, match="has no file for th"):
        load_instructions(config, LANGUAGES, CORPUS, 0)


def test_line_separators_inside_a_record_do_not_end_it(tmp_path: Path) -> None:
    for code in ("en", "fr", "th"):
        record = {"id": 1, "instruction": "a\u2028b", "input": "", "output": "c"}
        (tmp_path / f"{code}.jsonl").write_text(
            json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    config = InstructionsConfig(source="bactrian", path=str(tmp_path))
    assert load_instructions(config, LANGUAGES, CORPUS, 0).batch(0, 1)[0].prompt.startswith("a\u2028b")


def test_bactrian_record_without_output_is_named(tmp_path: Path) -> None:
    for code in ("en", "fr", "th"):
        (tmp_path / f"{code}.jsonl").write_text(
            '{"id": 1, "instruction": "x", "input": ""}\n', encoding="utf-8"
        )
    config = InstructionsConfig(source="bactrian", path=str(tmp_path))
    with pytest.raises(DataError, match=r"en\.jsonl', line 1: needs id.*missing: 'output'"):
        load_instructions(config, LANGUAGES, CORPUS, 0)


def test_xquad_becomes_instructions(shared_data: Path) -> None:
    config = InstructionsConfig(source="xquad", path=str(shared_data / "xquad"))
    samples = load_instructions(config, LanguagesConfig(targets=["zh", "th"]), CORPUS, 0).batch(0, 40)
    assert set(Counter(s.answer_language for s in samples)) == {"en", "zh", "th"}
    assert all(len(s.answer) > 1 for s in samples)
    with pytest.raises(DataError, match="has no file for sw"):
        load_instructions(config, LanguagesConfig(targets=["sw"]), CORPUS, 0)


def test_language_without_instructions_is_named() -> None:
    with pytest.raises(ConfigError, match="no instruction is in both en and sw"):
        CrossLingualInstructions(TURNS, LanguagesConfig(targets=["sw"]), InstructionsConfig(), 0)
