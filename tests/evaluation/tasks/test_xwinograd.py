import json
from pathlib import Path

import pytest
from questions import questions, write_jsonl, write_tsv

from xalign.base.errors import DataError

TEXT = 'Max a dit à Eva en avril : "il le voulait".'
TOKENS = ["Max", "a", "dit", "à", "Eva", "en", "avril", ":", "``", "il", "le", "voulait", "''", "."]
"""Quotation marks are written otherwise among the tokens, and the pronoun is part of another word."""


def row(*candidates: tuple[str, bool], language: str = "fr") -> list[str]:
    found = [[name, [0, 1], [name], right] for name, right in candidates]
    return [language, "original", "?", TEXT, *map(json.dumps, (TOKENS, ["il", [9, 10], ["il"]], found))]


def test_wording_of_the_harness_and_of_afp(tmp_path: Path) -> None:
    rows = [
        {"sentence": "Die Katze fraß, da _ , so hieß es , hungrig war. ", "option1": "sie", "option2": "er"}
    ]
    write_jsonl(tmp_path / "jp" / "test.jsonl", [{**r, "answer": "2"} for r in rows])
    (item,) = questions("xwinograd", tmp_path)["ja"].items
    assert item.contexts == ("Die Katze fraß, da sie", "Die Katze fraß, da er")
    assert item.continuations == (" , so hieß es , hungrig war.",) * 2
    assert item.gold == 1
    write_jsonl(
        tmp_path / "jp" / "test.jsonl",
        [{"sentence": "因_担心。", "option1": "甲", "option2": "乙", "answer": "1"}],
    )
    (spaced,) = questions("xwinograd", tmp_path)["ja"].items
    (unspaced,) = questions("xwinograd", tmp_path, style="afp")["ja"].items
    assert (spaced.solved, unspaced.solved) == ("因甲 担心。", "因甲担心。")


def test_the_authors_table(tmp_path: Path) -> None:
    table = [row(("Max", True), ("Eva", False)), row(("Max", False), ("Eva", True), language="pt")]
    write_tsv(tmp_path / "dataset.tsv", *table)
    asked = questions("xwinograd", tmp_path)
    assert asked["fr"].items[0].candidates == [
        'Max a dit à Eva en avril : "Max le voulait".',
        'Max a dit à Eva en avril : "Eva le voulait".',
    ]
    assert [own.items[0].gold for own in asked.values()] == [0, 1]


def test_a_row_with_two_right_candidates_is_named(tmp_path: Path) -> None:
    write_tsv(tmp_path / "dataset.tsv", row(("Max", True), ("Eva", True)))
    with pytest.raises(
        DataError, match=r"dataset.tsv', line 1: not in the layout of dataset.tsv: .*one is right"
    ):
        questions("xwinograd", tmp_path)


def test_real_files(shared_data: Path) -> None:
    asked = questions("xwinograd", shared_data)
    assert {language: len(own.items) for language, own in asked.items()} == {"fr": 83, "pt": 263, "zh": 16}
    assert asked["fr"].items[0].solved == (
        "La coupe n'entre pas dans la valise marron, car La coupe est trop grande."
    )
    assert asked["zh"].items[0].candidates == [
        "市政府拒绝给示威者颁发游行许可证，因市政府 担心暴力事件。",
        "市政府拒绝给示威者颁发游行许可证，因示威者 担心暴力事件。",
    ]
