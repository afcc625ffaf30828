import json
from pathlib import Path

import pytest

from xalign.errors import DataError
from xalign.evaluation.tasks import xcopa

DOC = {
    "premise": "Adam düştü. ",
    "choice1": "Yer ıslaktı.",
    "choice2": "Güldü.",
    "question": "cause",
    "label": 0,
}


def folder(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "val.tr.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_prompt_is_that_of_the_harness(tmp_path: Path) -> None:
    effect = {**DOC, "question": "effect", "label": 1}
    items = xcopa.choices(folder(tmp_path, json.dumps(DOC), json.dumps(effect)), "val", ["tur"], None)
    assert [i.context for i in items] == ["Adam düştü çünkü", "Adam düştü bu yüzden"]
    assert items[0].candidates == (" yer ıslaktı.", " güldü.")
    assert [(i.language, i.index, i.gold, i.prefix, i.shots) for i in items] == [
        ("tr", 0, 0, "", 0),
        ("tr", 1, 1, "", 0),
    ]


def test_real_files(shared_data: Path) -> None:
    items = xcopa.choices(shared_data / "xcopa", "val", [], None)
    assert len(items) == 1100
    assert {i.language for i in items} == set(xcopa.CONNECTORS)
    assert all(i.candidates[0] != i.candidates[1] for i in items)
    assert items[0].context == "Mees keeras kraani lahti seetõttu"
    assert len(xcopa.choices(shared_data / "xcopa", "test", ["zho_Hans", "zh"], 7)) == 7


def test_connectors_are_native() -> None:
    """No Latin letters in a template of another script, and cause and effect differ."""
    for language, (cause, effect) in xcopa.CONNECTORS.items():
        assert cause != effect
        if language in ("ta", "th", "zh"):
            assert not any(c.isascii() and c.isalpha() for c in cause + effect)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"val\.tr\.jsonl, line 2: not JSON"),
        ("[1]", r"line 2: an object is wanted"),
        (
            json.dumps({k: v for k, v in DOC.items() if k != "choice1"}),
            r"line 2: no 'choice1'; it has premise,",
        ),
        (json.dumps({**DOC, "choice2": ""}), r"line 2: 'choice2' is '', wanted is a non-empty str"),
        (json.dumps({**DOC, "label": "0"}), r"line 2: 'label' is '0'"),
        (json.dumps({**DOC, "label": 2}), r"line 2: 'label' is 2, allowed are 0 and 1"),
        (json.dumps({**DOC, "question": "why"}), r"line 2: 'question' is 'why', allowed"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        xcopa.choices(folder(tmp_path, json.dumps(DOC), line), "val", ["tr"], None)


def test_missing_things_are_named(tmp_path: Path) -> None:
    here = folder(tmp_path, json.dumps(DOC))
    with pytest.raises(DataError, match="XCOPA has no 'de'; it has et, ht"):
        xcopa.choices(here, "val", ["de"], None)
    with pytest.raises(DataError, match=r"benchmark\.split=test: .*; splits there: val"):
        xcopa.choices(here, "test", ["tr"], None)
    with pytest.raises(DataError, match=r"no file .*val\.sw\.jsonl: .* it has val\.tr\.jsonl"):
        xcopa.choices(here, "val", ["sw"], None)
    with pytest.raises(DataError, match=r"benchmark\.path: no folder"):
        xcopa.choices(here / "nowhere", "val", ["tr"], None)
    with pytest.raises(DataError, match="has no items"):
        xcopa.choices(folder(tmp_path, ""), "val", ["tr"], None)
    (tmp_path / "val.tr.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        xcopa.choices(tmp_path, "val", ["tr"], None)
