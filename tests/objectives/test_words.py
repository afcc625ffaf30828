"""Word alignment: words that were never trained on find their translations."""

from pathlib import Path

import pytest
from cipher import OnCipher, in_cipher, sentences

from xalign.base.errors import ConfigError, DataError
from xalign.data.word_pairs import dictionary_words

WORDS = ("loss=words", "loss.retention_weight=0", "loss.objectives.words.tau=0.1")


def of_dictionary(folder: Path, shuffled: bool = False, *options: str) -> OnCipher:
    words = sentences(400)[50:]  # what OnCipher holds out is left out
    translations = [in_cipher(word, "fr") for word in words]
    if shuffled:
        translations = translations[1:] + translations[:1]
    lines = (f"{word}\t{own}\n" for word, own in zip(words, translations, strict=True))
    folder.mkdir(exist_ok=True)
    (folder / "en-fr.txt").write_text("".join(lines))
    return OnCipher((*WORDS, f"loss.objectives.words.dictionary={folder}", *options))


@pytest.mark.parametrize("every_layer", ["true", "false"])
def test_words_never_trained_on_find_their_translations(tmp_path: Path, every_layer: str) -> None:
    option = f"loss.objectives.words.every_layer={every_layer}"
    model, shuffled = (of_dictionary(tmp_path, own, option).train(100) for own in (False, True))
    assert model.retrieval() > 0.8
    assert shuffled.retrieval() < 0.2
    if every_layer == "true":
        assert model.retrieval(layer=4) > 0.8


def test_words_are_mined_where_no_dictionary_is_given() -> None:
    with pytest.raises(ConfigError, match="words finds no words in the training pairs"):
        OnCipher(WORDS).train(1)  # every word of the cipher's corpus is there once


def test_a_dictionary_is_read_with_tabs_or_spaces_and_a_line_without_either_is_named(tmp_path: Path) -> None:
    file = tmp_path / "en-fr.txt"
    file.write_text("\ufeffice cream\tcrème glacée\n\nhouse maison\n", encoding="utf-8")
    assert dictionary_words(file) == [("ice cream", "crème glacée"), ("house", "maison")]
    file.write_text("house maison\nalone\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"en-fr.txt, line 2"):
        dictionary_words(file)


def test_a_dictionary_without_a_language_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss.objectives.words.dictionary=.*has no en-fr.txt"):
        OnCipher((*WORDS, f"loss.objectives.words.dictionary={tmp_path}"))
