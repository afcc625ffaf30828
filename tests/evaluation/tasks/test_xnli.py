from pathlib import Path

import pytest
from questions import questions, write_jsonl, write_tsv

from xalign.base.errors import DataError

ROW = {"premise": "Er ging.", "hypothesis": "Sie blieb.", "label": 2}


def test_wording_of_the_harness(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "validation.de.jsonl", [ROW])
    (item,) = questions("xnli", tmp_path)["de"].items
    assert item.contexts == ("", "", "")
    assert item.continuations == (
        " Er ging., richtig? Ja, Sie blieb.",
        " Er ging., richtig? Auch, Sie blieb.",
        " Er ging., richtig? Nein, Sie blieb.",
    )
    assert item.gold == 2


def test_the_original_layout(tmp_path: Path) -> None:
    head = ["language", "gold_label", "sentence1", "sentence2"]
    rows = [["ar", "neutral", "a", "b"], ["fr", "entailment", 'c "', "d"], ["fr", "contradiction", "e", "f"]]
    write_tsv(tmp_path / "xnli.dev.tsv", head, *rows)
    asked = questions("xnli", tmp_path)
    assert {language: [i.gold for i in own.items] for language, own in asked.items()} == {
        "ar": [1],
        "fr": [0, 2],
    }
    assert asked["fr"].items[0].continuations[0] == ' c ", correct? Oui, d'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"label": 3},
            r"line 1: 'label' is 3, allowed are 0, 'entailment', 1, 'neutral', 2, 'contradiction'",
        ),
        ({"label": "entailed"}, "'label' is 'entailed', allowed"),
        ({"label": True}, "'label' is True, allowed"),
        ({"premise": " "}, "'premise' is ' ', wanted is a text"),
        ({"hypothesis": None}, "'hypothesis' is None, wanted is a text"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write_jsonl(tmp_path / "validation.de.jsonl", [ROW | change])
    with pytest.raises(DataError, match=message):
        questions("xnli", tmp_path)


def test_real_files(shared_data: Path) -> None:
    asked = questions("xnli", shared_data)
    assert {language: len(own.items) for language, own in asked.items()} == dict.fromkeys(
        ("en", "my", "sw", "ur"), 2490
    )
    for own in asked.values():
        assert [sum(i.gold == k for i in own.items) for k in range(3)] == [830, 830, 830]
    assert asked["en"].items[1].continuations[2] == (
        " And he said, Mama, I'm home., right? No, He didn't say a word."
    )
    assert (
        asked["sw"].items[1].solved
        == " Naye akasema, Mama, niko nyumbani., sahihi? Hapana, Hakusema chochote."
    )
