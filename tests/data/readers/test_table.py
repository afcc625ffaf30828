from pathlib import Path

import pytest
from sources import rows_of, texts_of

from xalign.base.errors import ConfigError, DataError
from xalign.data.rows import Row


def written(folder: Path, text: str, name: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder / name


def test_quotes_mean_something_in_csv_only(tmp_path: Path) -> None:
    path = written(tmp_path, 'en,fr\n"a, ""b""",c\n', "p.csv")
    assert rows_of(path) == [Row("p.csv", {"en": 'a, "b"', "fr": "c"})]
    path = written(tmp_path, 'eng_Latn\tfra_Latn\n"a\tb\u2028c\n', "p.tsv")
    assert rows_of(path) == [Row("p.tsv", {"en": '"a', "fr": "b\u2028c"})]


def test_a_row_of_another_width_is_placed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: 3 columns where the header has 2"):
        rows_of(written(tmp_path, "en\tfr\na\tb\nc\td\te\n", "p.tsv"))


TABLES = {
    "Excel in Europe": ('\ufeffen;de\r\n"a; ""b""";c\r\n', "p.csv"),
    "Excel's own line": ('SEP=;\r\nen;de\r\n"a; ""b""";c\r\n', "p.csv"),
    "commas": ('en,de\n"a; ""b""",c\n', "p.csv"),
    "tabs": ('en\tde\n"a; ""b"""\tc\n', "p.csv"),
    "tabs in TSV": ('en\tde\na; "b"\tc\n', "p.TSV"),
    "commas in TSV": ('en,de\n"a; ""b""",c\n', "p.tsv"),
    "text": ('en\tde\na; "b"\tc\n', "p.txt"),
    "spaces after commas": ('en, de\n"a; ""b""",c\n', "p.csv"),
    "quoted names": ('"en";"de, in Swiss"\n"a; ""b""";c\n', "p.csv"),
    "others": ('x,y;en;de\n1;"a; ""b""";c\n', "p.csv"),
}


@pytest.mark.parametrize("case", TABLES)
def test_the_delimiter_is_found(case: str, tmp_path: Path) -> None:
    columns = {"en": "en", "de": "de, in Swiss"} if case == "quoted names" else {}
    assert texts_of(written(tmp_path, *TABLES[case]), ["de"], columns=columns) == [
        {"en": 'a; "b"', "de": "c"}
    ]


def test_the_delimiter_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, "en|de\na, b|c\n", "p.csv")
    assert texts_of(path, options={"delimiter": "|"}, format="table") == [{"en": "a, b", "de": "c"}]
    with pytest.raises(ConfigError, match=r"data\.options\.delimiter=\|\|: string should have at most 1"):
        rows_of(path, options={"delimiter": "||"}, format="table")
    with pytest.raises(ConfigError, match=r"data\.options\.delimeter: unknown key; did you mean 'delimiter'"):
        rows_of(path, options={"delimeter": "|"})


@pytest.mark.parametrize("name", ["p.csv", "p.tsv"])
def test_cells_of_any_length_are_read(tmp_path: Path, name: str) -> None:
    between = "," if name == "p.csv" else "\t"
    path = written(tmp_path, f"en{between}de{between}note\na{between}b{between}{'x' * 140_000}\n", name)
    assert texts_of(path) == [{"en": "a", "de": "b"}]


def test_a_cell_may_have_lines(tmp_path: Path) -> None:
    path = written(tmp_path, 'en,de\r\n"a\r\nb",c\r\nd,e,f\r\n', "p.csv")
    with pytest.raises(DataError, match="line 4: 3 columns where the header has 2"):
        rows_of(path)
    assert texts_of(written(tmp_path, 'en,de\r\n"a\r\nb",c\r\n', "p.csv")) == [{"en": "a\nb", "de": "c"}]


def test_a_name_that_is_there_twice_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"several columns are named 'de'"):
        rows_of(written(tmp_path, "en,de,de\na,b,c\n", "p.csv"))
    assert texts_of(written(tmp_path, "en,de,note,note\na,b,c,d\n", "p.csv")) == [{"en": "a", "de": "b"}]


def test_bad_quotes_are_placed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: .* expected after"):
        rows_of(written(tmp_path, 'en,de\n"a"b,c\n', "p.csv"))
