from pathlib import Path

import pytest
from questions import questions, write_jsonl

from xalign.base.errors import DataError
from xalign.evaluation.tasks.belebele import CODES

ROW = {"flores_passage": "Text.", "question": " Was? ", "correct_answer_num": "3"} | {
    f"mc_answer{k}": f"a{k}" for k in (1, 2, 3, 4)
}


def test_wording_of_the_harness(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "deu_Latn.jsonl", [ROW])
    write_jsonl(tmp_path / "data" / "zho_Hant.jsonl", [ROW])
    asked = questions("belebele", tmp_path)
    assert list(asked) == ["de", "zh-Hant"]
    (item,) = asked["de"].items
    assert set(item.contexts) == {"P: Text.\nQ: Was?\nA: a1\nB: a2\nC: a3\nD: a4\nAnswer:"}
    assert item.continuations == (" A", " B", " C", " D")
    assert item.gold == 2
    with pytest.raises(DataError, match="no split in 'de' for demonstrations besides 'test'"):
        questions("belebele", tmp_path, shots=1)


def test_each_language_is_named_once() -> None:
    assert len(set(CODES.split())) == 122
