"""Parquet and Arrow, spreadsheets, SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

import datasets
import pytest
import written
from sources import rows_of, texts_of

from xalign.base.errors import ConfigError, DataError

PAIRS = [("a", "b"), ("c", "d")]
TEXTS = [{"en": "a", "de": "b"}, {"en": "c", "de": "d"}]


def test_what_datasets_writes_is_read(tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"translation": TEXTS})
    made.save_to_disk(tmp_path / "saved", num_shards=2)
    assert texts_of(tmp_path / "saved") == TEXTS
    for number in (0, 1):
        made.select([number]).to_parquet(tmp_path / f"train-0000{number}-of-00002.parquet")
        made.select([number]).to_parquet(tmp_path / f"test-0000{number}-of-00002.parquet")
    assert texts_of(tmp_path) == TEXTS
    assert texts_of(tmp_path / "test-00001-of-00002.parquet") == TEXTS[1:]


def test_a_split_that_is_not_train_must_be_named(tmp_path: Path) -> None:
    made = datasets.Dataset.from_list(TEXTS)
    for name in ("dev", "test"):
        made.to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"holds several such files; name one .*dev\.parquet, test\.parquet"):
        rows_of(tmp_path)


def test_numbers_in_cells_are_text_as_it_is_shown(tmp_path: Path) -> None:
    path = written.spreadsheet(tmp_path, [("a", "b")])
    assert texts_of(path) == [{"en": "a", "de": "b"}]
    assert texts_of(path, options={"sheet": "Pairs"}, format="spreadsheet") == [{"en": "a", "de": "b"}]
    with pytest.raises(ConfigError, match=r"data\.options\.sheet=Pears: .*it has: Pairs\); did you mean"):
        rows_of(path, options={"sheet": "Pears"}, format="spreadsheet")


def bible(folder: Path) -> Path:
    verses = [
        *[(version, 1, number, f"{version} {number}") for number in (2, 1, 3) for version in "kv4"],
        ("l", 1, 2, " (1:2) l 2"),
    ]
    with closing(sqlite3.connect(folder / "bible.db")) as database:
        database.execute("CREATE TABLE log (msg TEXT)")
        database.execute("CREATE TABLE bible (version TEXT, book INTEGER, verse INTEGER, text TEXT)")
        database.executemany("INSERT INTO bible VALUES (?, ?, ?, ?)", verses)
        database.commit()
    return folder / "bible.db"


OPTIONS = {
    "table": "bible",
    "translation": "version",
    "key": ["book", "verse"],
    "text": "text",
    "without": r"^\W*\(\d+:\d+\) ",
}
COLUMNS = {"en": "4", "es": "v", "fr": "l"}


def test_texts_one_a_row_are_joined_by_their_key(tmp_path: Path) -> None:
    rows = texts_of(bible(tmp_path), format="sqlite", options=OPTIONS, columns=COLUMNS)
    assert rows == [
        {"en": "4 1", "es": "v 1"},
        {"en": "4 2", "es": "v 2", "fr": "l 2"},
        {"en": "4 3", "es": "v 3"},
    ]


@pytest.mark.parametrize(
    ("options", "columns", "message"),
    [
        ({"table": "bibel"}, COLUMNS, r"data\.options\.table=bibel: .* has bible, log; did you mean 'bible'"),
        ({"text": "txt"}, COLUMNS, "table 'bible' has no column 'txt'; did you mean 'text'"),
        (
            {"text": None},
            COLUMNS,
            r"data\.options\.translation: needs data\.options\.key, data",
        ),
        ({"without": "("}, COLUMNS, r"data\.options\.without=\(: missing \)"),
        ({}, {"en": "4", "es": "w"}, r"data\.columns\.es=w: no row of .*, table 'bible', has it"),
    ],
)
def test_what_is_missing_of_a_database(
    options: dict[str, object], columns: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        rows_of(bible(tmp_path), format="sqlite", options=OPTIONS | options, columns=columns)


def test_a_database_is_never_written_to(tmp_path: Path) -> None:
    path = written.sqlite(tmp_path, PAIRS)
    before = path.read_bytes(), sorted(tmp_path.iterdir())
    assert texts_of(path) == TEXTS
    assert (path.read_bytes(), sorted(tmp_path.iterdir())) == before


def test_other_files_are_not_opened_as_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow would take their first bytes for a size, and read gigabytes of them."""
    import pyarrow as pa

    monkeypatch.setattr(pa, "memory_map", lambda path: pytest.fail(f"{path} is opened"))
    (tmp_path / "p.jsonl").write_text('{"en": "a", "de": "b"}\n')
    assert texts_of(tmp_path / "p.jsonl") == [{"en": "a", "de": "b"}]
    with pytest.raises(DataError, match=r"p\.jsonl' is not a jsonl file, or is damaged: it does not begin"):
        rows_of(tmp_path / "p.jsonl", format="arrow")
