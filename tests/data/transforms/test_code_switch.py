from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xalign.data.instructions.base import InstructionSample
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.data.sampling import Pair
from xalign.data.transforms.base import Setup, Side
from xalign.data.transforms.code_switch import CodeSwitch

TEXTS = [
    {"en": "The dog sleeps", "de": "Der Hund schläft", "fr": "Le chien dort", "th": "หมา หลับ"},
    {"en": "The cat eats", "de": "Der Kater frisst", "fr": "Le chat mange", "th": "แมว กิน"},
    {"en": "A dog eats", "de": "Ein Hund frisst", "fr": "Un chien mange", "th": "หมา กิน"},
    {"en": "A cat sleeps", "de": "Ein Kater schläft", "fr": "Un chat dort", "th": "แมว หลับ"},
]
SETUP = Setup(
    ParallelCorpus.from_rows([Row("s", own) for own in TEXTS * 2], "made"), "en", ["de", "fr", "th"]
)
PAIR = Pair(3, "A DOG (dog?) runs; Cat", "Ein Hund (hund?) rennt; Kater", "de", 5, 6)


def switch(**options: object) -> CodeSwitch:
    config = CodeSwitch.Config(kind="code_switch", **{"probability": 1.0, **options})  # type: ignore[arg-type]
    return CodeSwitch(config, SETUP)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("side", "source", "target"),
    [
        (Side.source, "Ein HUND (hund?) runs; Kater", PAIR.target),
        (Side.target, PAIR.source, "A Dog (dog?) rennt; Cat"),
        (Side.both, "Ein HUND (hund?) runs; Kater", "A Dog (dog?) rennt; Cat"),
    ],
)
def test_words_with_a_translation_are_replaced_in_their_case(side: Side, source: str, target: str) -> None:
    assert switch(side=side).pair(PAIR, rng()) == replace(PAIR, source=source, target=target)


def test_translations_are_those_into_the_pairs_language() -> None:
    french = replace(PAIR, source="dog cat", target_language="fr")
    assert switch().pair(french, rng()).source == "chien chat"
    thai = replace(french, target_language="th")
    assert switch(side=Side.both).pair(thai, rng()) == thai


def test_the_share_of_words_replaced_is_the_probability() -> None:
    long = replace(PAIR, source="dog runs " * 2000)
    replaced = switch(probability=0.3).pair(long, rng()).source.split().count("hund")
    assert replaced == pytest.approx(600, abs=4 * (2000 * 0.3 * 0.7) ** 0.5)


def test_words_come_from_a_dictionary_where_one_is_given(tmp_path: Path) -> None:
    for target, lines in (("de", "dog Hund\ndog Köter\ncat\tKatze\n"), ("fr", "dog chien\n")):
        (tmp_path / f"en-{target}.txt").write_text(lines, encoding="utf-8")
    given = switch(dictionary=str(tmp_path), side=Side.both)
    # The first of several translations; of a translation, whatever it is written like, the word.
    assert given.pair(PAIR, rng()).source == "A HUND (Hund?) runs; Katze"
    assert given.pair(PAIR, rng()).target == "Ein Dog (dog?) rennt; Kater"
    assert given.pair(replace(PAIR, source="dog cat", target_language="fr"), rng()).source == "chien cat"


def test_words_with_a_capital_stay_if_so_chosen() -> None:
    assert switch(keep_capitals=True).pair(PAIR, rng()).source == "A DOG (hund?) runs; Cat"


def test_what_is_mined_keeps_to_the_options() -> None:
    assert switch().into["de"].keys() == {"the", "a", "dog", "cat", "sleeps", "eats"}
    assert switch(occurrences=5).into["de"] == {}


def test_of_instructions_only_the_input_changes() -> None:
    prompt = "Dog facts. A dog sleeps Translate the dog into German:"
    sample = InstructionSample(prompt, " Ein Hund schläft", "en", "de", (11, 23))
    found = switch().instruction(sample, rng())
    assert found.prompt == "Dog facts. Ein hund schläft Translate the dog into German:"
    assert found == replace(sample, prompt=found.prompt, input=(11, 27))
    assert found.prompt[slice(*found.input or ())] == "Ein hund schläft"


@pytest.mark.parametrize(
    ("asked", "answered", "given", "expected"),
    [
        ("de", "en", "hund", {"dog"}),
        ("de", "de", "hund", {"dog"}),
        ("en", "fr", "dog", {"chien"}),
        ("en", "en", "dog", {"hund", "chien", "dog"}),  # a target drawn, Thai among them
        ("th", "en", "หมา", {"หมา"}),
    ],
)
def test_the_language_that_is_switched_to(asked: str, answered: str, given: str, expected: set[str]) -> None:
    sample = InstructionSample(f"{given}:", " x", asked, answered, (0, len(given)))
    numbers, own = rng(), switch()
    found = {own.instruction(sample, numbers).prompt[:-1] for _ in range(30)}
    assert found == expected


def test_texts_to_be_continued_stay() -> None:
    sample = InstructionSample("A dog", " sleeps", "en", "en")
    assert switch().instruction(sample, rng()) == sample


@pytest.mark.parametrize("span", [2.0, 4.0])
def test_words_go_in_runs_and_in_the_same_share(span: float) -> None:
    """Runs of 1 + Poisson(span - 1): the share has a wider spread than by words."""
    long = replace(PAIR, source="dog " * 20_000)
    words = switch(probability=0.3, span=span).pair(long, rng()).source.split()
    changed = np.array([own == "hund" for own in words])
    assert changed.mean() == pytest.approx(0.3, abs=0.02)
    begins = int((changed[1:] & ~changed[:-1]).sum())
    # Of runs that may touch, what is seen is longer than what was drawn.
    assert changed.sum() / begins > span


def test_each_word_may_go_into_a_language_of_its_own() -> None:
    long = replace(PAIR, source="dog " * 600)
    words = switch(several=True).pair(long, rng()).source.split()
    assert set(words) == {"hund", "chien"}
    assert words.count("chien") == pytest.approx(300, abs=4 * (600 * 0.25) ** 0.5)
    target = switch(several=True, side=Side.target).pair(PAIR, rng()).target
    assert target == "A Dog (dog?) rennt; Cat"
