"""Entities: only names change, in one language a sentence, and only they are predicted."""

from pathlib import Path

import numpy as np
import pytest
from cipher import OnCipher
from training_helpers import batches_of, required, small_config, small_module

from xalign.base.errors import ConfigError, DataError
from xalign.data.names import capitalised, mined_names, names_of, with_entities
from xalign.objectives.entities import switched_entities

NAMES = [{"en": "Paris", "de": "Pariz", "fr": "Pari"}, {"en": "New York", "de": "Neu-York"}]


def written(sample: object) -> str:
    return "".join(map("".join, sample.demonstrations)) + sample.prompt + sample.answer  # type: ignore[attr-defined]


def test_only_names_change_in_one_language_a_sentence() -> None:
    text = "From Paris to New York, and Parisians."
    ((found, spans),) = with_entities([text, "nothing here", "Paris alone"], ["Paris", "New York"])
    assert found == text
    assert [text[first:beyond] for first, beyond, _ in spans] == ["Paris", "New York"]
    rng, seen = np.random.default_rng(0), []
    for _ in range(400):
        sample = switched_entities(text, spans, NAMES, "en", rng)
        seen.append(written(sample))
        assert [*(answer for _, answer in sample.demonstrations), sample.answer] in (
            [" Pariz", " Neu-York"], [" Pari", " New York"],
        )  # fmt: skip
    assert set(seen) == {"From Pariz to Neu-York", "From Pari to New York"}
    # Each language half of the time: within four standard deviations.
    assert abs(seen.count("From Pari to New York") - 200) < 40


def test_only_names_are_predicted() -> None:
    config = small_config(
        "loss=instruction", "loss.instruction_weight=0", "loss.objectives.entities.weight=1",
        *required("entities", "entities"),
    )  # fmt: skip
    module = small_module(config)
    part = batches_of(config, module)[0].parts["entities"]
    names = {"ouvert", "offen", "le fichier", "die Datei", "chaque personne", "jede Person"}
    found = set()
    for tokens in part.texts.buckets:
        assert tokens.labels is not None
        for labels in tokens.labels:
            text = module.backbone.tokenizer.decode(labels[labels != -100])
            found |= {name for name in names if name in text}
            for name in names:
                text = text.replace(name, "")
            assert not text.strip()
    assert len(found) > 2


def test_names_are_words_with_a_capital_inside_sentences() -> None:
    texts = [
        "We like Rome.",
        "In Rome it rains",
        "Rain falls. Here we are",
        "all CAPS here",
        "no Rain now",
        "a rain",
    ]
    assert capitalised(texts) == {"rome", "rain"}
    assert mined_names(texts, {"de": {"rome": "rom", "we": "wir"}}, "en") == [{"en": "Rome", "de": "Rom"}]


def test_tables_are_read_and_mistakes_named(tmp_path: Path) -> None:
    file = tmp_path / "names.tsv"
    file.write_text("en\tdeu\nRome\tRom\nalone\t\n")
    assert names_of(file) == [{"en": "Rome", "de": "Rom"}]
    file.write_text("en\tnolanguage\nRome\tRom\n")
    with pytest.raises(DataError, match="'nolanguage' is no language"):
        names_of(file)
    with pytest.raises(ConfigError, match="entities finds no sentence"):
        OnCipher(("loss=entities", "loss.retention_weight=0")).train(1)
    with pytest.raises(ConfigError, match=r"entities.names=/nowhere: is not there"):
        OnCipher(("loss=entities", "loss.objectives.entities.names=/nowhere"))
