from pathlib import Path

import pytest
from questions import questions, write_jsonl

from xalign.base.errors import DataError

ROW = {
    "premise": "Adam düştü. ",
    "choice1": "Yer ıslaktı.",
    "choice2": "Güldü.",
    "question": "cause",
    "label": 0,
}


def test_wording_of_the_harness_and_of_afp(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "val.tr.jsonl", [ROW, {**ROW, "question": "effect", "label": 1}])
    first, second = questions("xcopa", tmp_path, split="val")["tr"].items
    assert first.contexts == ("Adam düştü çünkü",) * 2
    assert second.contexts == ("Adam düştü bu yüzden",) * 2
    assert first.continuations == second.continuations == (" yer ıslaktı.", " güldü.")
    assert [(i.index, i.gold) for i in (first, second)] == [(0, 0), (1, 1)]
    plain = questions("xcopa", tmp_path, split="val", style="afp")["tr"].items[0]
    assert plain.candidates == ["Adam düştü.  çünkü Yer ıslaktı.", "Adam düştü.  çünkü Güldü."]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": "why"}, r"val.tr.jsonl', line 1: 'question' is 'why', allowed are 'cause', 'effect'"),
        ({"question": None}, "'question' is None"),
        ({"label": 2}, "'label' is 2, allowed are 0, 1"),
        ({"choice2": ""}, "'choice2' is '', wanted is a text"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write_jsonl(tmp_path / "val.tr.jsonl", [ROW | change])
    with pytest.raises(DataError, match=message):
        questions("xcopa", tmp_path)


def test_columns_that_are_missing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "val.tr.jsonl", [{"premise": "a.", "choice1": "b"}])
    with pytest.raises(DataError, match="line 1: no 'choice2'; it has premise, choice1"):
        questions("xcopa", tmp_path)


def test_real_files(shared_data: Path) -> None:
    validation = questions("xcopa", shared_data / "xcopa", split="val")
    assert [len(own.items) for own in validation.values()] == [100] * 11
    assert validation["et"].items[0].solved == "Mees keeras kraani lahti seetõttu tilast voolas vett."
    test = questions("xcopa", shared_data, languages=["zho_Hans", "zh"], limit=7)
    assert {language: len(own.items) for language, own in test.items()} == {"zh": 7}
    assert test["zh"].items[0].solved == "该物品用气泡包装纸包着 因为 它很易碎。"
