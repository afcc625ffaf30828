from pathlib import Path

import pytest

from xalign.config import DataConfig
from xalign.data.readers import jsonl, table
from xalign.data.rows import Row
from xalign.errors import ConfigError, DataError


def read_jsonl(path: Path, text: str, languages: list[str], **columns: str) -> list[Row]:
    (path / "p.jsonl").write_text(text, encoding="utf-8")
    return list(jsonl.read(DataConfig(name="own", path=str(path), columns=columns), languages))


def read_table(path: Path, name: str, text: str) -> list[Row]:
    (path / name).write_text(text, encoding="utf-8")
    return list(table.read(DataConfig(name="own", path=str(path)), []))


def test_columns_reach_into_nested_records(tmp_path: Path) -> None:
    text = '{"x": {"src": "a", "y": {"t": "b"}}}\n{"x": {"src": "c"}}\n'
    assert read_jsonl(tmp_path, text, [], en="x.src", fra="x.y.t") == [
        Row("p.jsonl", {"en": "a", "fr": "b"}),
        Row("p.jsonl", {"en": "c"}),
    ]
    with pytest.raises(ConfigError, match=r"data\.columns\.en: no column 'x\.scr'.*did you mean 'x\.src'"):
        read_jsonl(tmp_path, text, [], en="x.scr")


def test_an_id_is_not_indonesian_unless_it_is_asked_for(tmp_path: Path) -> None:
    text = '{"id": "7", "en": "a", "fr": "b"}\n'
    assert read_jsonl(tmp_path, text, ["en", "fr"]) == [Row("p.jsonl", {"en": "a", "fr": "b"})]
    assert read_jsonl(tmp_path, '{"id": 7, "translation": {"en": "a", "id": "b"}}\n', ["en", "id"]) == [
        Row("p.jsonl", {"en": "a", "id": "b"})
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"en": "a"}\n{"en": \n', "line 2: not JSON"),
        ('["a"]\n', "line 1: a JSON object is wanted"),
        ('{"en": "a", "fr": "b"}\n{"en": 3}\n', "line 2: 'en' is int, not text"),
        ('{"source": "a"}\n', "no column is named by one of the languages"),
    ],
)
def test_bad_records_are_placed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_jsonl(tmp_path, text, [])


def test_quotes_mean_something_in_csv_only(tmp_path: Path) -> None:
    assert read_table(tmp_path, "p.csv", 'en,fr\n"a, ""b""",c\n') == [
        Row("p.csv", {"en": 'a, "b"', "fr": "c"})
    ]
    (tmp_path / "p.csv").unlink()
    assert read_table(tmp_path, "p.tsv", 'eng_Latn\tfra_Latn\n"a\tb\u2028c\n') == [
        Row("p.tsv", {"en": '"a', "fr": "b\u2028c"})
    ]


def test_a_row_of_another_width_is_placed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: 3 columns where the header has 2"):
        read_table(tmp_path, "p.tsv", "en\tfr\na\tb\nc\td\te\n")
