import json
from pathlib import Path

import pytest
from sources import rows_of, texts_of

from xalign.base.errors import ConfigError, DataError
from xalign.data.readers.jsonl import records_of
from xalign.data.rows import Row


def written(folder: Path, text: str, name: str = "p.jsonl") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def lines(*records: dict[str, object]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_columns_reach_into_nested_records(tmp_path: Path) -> None:
    path = written(tmp_path, '{"x": {"src": "a", "y": {"t": "b"}}}\n{"x": {"src": "c"}}\n')
    assert rows_of(path, columns={"en": "x.src", "fra": "x.y.t"}) == [
        Row("p.jsonl", {"en": "a", "fr": "b"}),
        Row("p.jsonl", {"en": "c"}),
    ]
    with pytest.raises(ConfigError, match=r"data\.columns\.en: no column 'x\.scr'.*did you mean 'x\.src'"):
        rows_of(path, columns={"en": "x.scr"})


def test_any_record_may_bring_a_language(tmp_path: Path) -> None:
    many = [{"en": f"e{i}", "de": f"d{i}"} for i in range(200)]
    text = lines(*many, {"en": "a", "ar": "b"}, {"translation": {"en": "c", "tr": "d"}})
    assert texts_of(written(tmp_path, text), ["de", "ar", "tr"])[-2:] == [
        {"en": "a", "ar": "b"},
        {"en": "c", "tr": "d"},
    ]


def test_a_configured_column_may_come_late(tmp_path: Path) -> None:
    text = lines(*({"src": "a", "tgt": "b"} for _ in range(200)), {"src": "a", "third": "c"})
    columns = {"en": "src", "de": "tgt", "fr": "third"}
    assert texts_of(written(tmp_path, text), columns=columns)[-1] == {"en": "a", "fr": "c"}


def test_records_are_streamed(tmp_path: Path) -> None:
    """What is wrong with the last line is not known before the first is used."""
    path = written(tmp_path, lines({"en": "a", "de": "b"}) * 200 + "{")
    assert next(iter(records_of(path)))[1] == {"en": "a", "de": "b"}
    with pytest.raises(DataError, match="line 201: not JSON"):
        rows_of(path)


IDS = {
    "number": ('{"id": 7, "en": "a", "fr": "b"}\n', ["fr"], {"en": "a", "fr": "b"}),
    "text": ('{"id": "n7", "en": "a", "fr": "b"}\n', ["fr"], {"en": "a", "fr": "b"}),
    "every language": ('{"id": "n7", "en": "a", "fr": "b"}\n', None, {"en": "a", "fr": "b"}),
    "numbers of any name": ('{"it": 7, "en": "a", "fr": "b"}\n', ["fr", "it"], {"en": "a", "fr": "b"}),
    "Indonesian": ('{"id": "b", "en": "a"}\n', ["id"], {"en": "a", "id": "b"}),
    "within": ('{"id": 7, "translation": {"en": "a", "id": "b"}}\n', ["id"], {"en": "a", "id": "b"}),
    "numbers beside ind": ('{"id": 7, "en": "a", "ind": "b"}\n', ["id"], {"en": "a", "id": "b"}),
    "unasked beside ind": ('{"id": "n7", "en": "a", "ind": "b"}\n', None, {"en": "a", "id": "b"}),
}


@pytest.mark.parametrize("case", IDS)
def test_an_id_is_not_indonesian_unless_it_is_asked_for(case: str, tmp_path: Path) -> None:
    text, targets, texts = IDS[case]
    assert texts_of(written(tmp_path, text), targets) == [texts]


def test_a_column_of_numbers_is_no_language(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "id,en,de\n1,a,b\n2,c,3\n", "p.csv")
    assert texts_of(path, ["de", "id"]) == [{"en": "a", "de": "b"}, {"en": "c", "de": "3"}]
    assert "column 'id' holds numbers, and is not taken for Indonesian" in caplog.text


def test_two_columns_of_one_language_are_asked_about(tmp_path: Path) -> None:
    path = written(tmp_path, "id,ind,en\nx,b,a\n", "p.csv")
    question = r"'p\.csv': columns 'id' and 'ind' are both Indonesian; .* data\.columns={en: \.\.\., id: ind}"
    with pytest.raises(ConfigError, match=question):
        rows_of(path, ["id"])
    assert texts_of(path, ["id"], columns={"en": "en", "id": "ind"}) == [{"en": "a", "id": "b"}]


def test_of_columns_that_nobody_named_the_first_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """FLORES in one table: Dari is Persian to us."""
    path = written(tmp_path, "eng_Latn\tpes_Arab\tprs_Arab\na\tb\tc\n", "p.tsv")
    assert texts_of(path) == [{"en": "a", "fa": "b"}]
    assert "'prs_Arab' is passed over: 'pes_Arab' is of the same language" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"en": "a"}\n{"en": \n', "line 2: not JSON"),
        ('"a"\n', "line 1: a JSON object is wanted"),
        ('{"en": "a", "fr": "b"}\n{"en": 3}\n', "line 2: 'en' is int, not text"),
        ('{"source": "a"}\n', "no column is named by one of the languages"),
        ("\n\n", "is empty"),
        ('[{"en": "a"},\n{"en": \n}]', "line 3: not JSON: Expecting value"),
        ('[{"en": "a"}\n', "the array does not end"),
        ('[{"en": "a"}] x\n', "line 1: more text behind the end of the array"),
        ('["a"]\n', "line 1: a JSON object is wanted"),
        ("[]", "holds no records"),
    ],
)
def test_bad_records_are_placed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(written(tmp_path, text))


ARRAY = [{"en": 'a "[{,', "de": "b\u2028]", "n": [1, {"x": None}]}, {"en": "c", "de": "d"}, {}]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("name", ["p.json", "p.jsonl", "p.JSON"])
def test_an_array_of_objects_is_read_too(tmp_path: Path, name: str, indent: int | None) -> None:
    path = written(tmp_path, json.dumps(ARRAY, indent=indent, ensure_ascii=False), name)
    assert texts_of(path, ["de"]) == [{c: r[c] for c in ("en", "de") if c in r} for r in ARRAY]
