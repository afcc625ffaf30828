"""Which reader reads what, and what is said where none does."""

import gzip
import json
from pathlib import Path

import pytest
from other_packages import installed
from sources import format_of, rows_of, texts_of

from xalign.base.errors import ConfigError, DataError
from xalign.config.text import DataConfig
from xalign.data import reading
from xalign.data.readers import READERS
from xalign.data.readers.base import Source

TSV = "en\tde\na\tb\n"
JSONL = '{"en": "a", "de": "b"}\n'
PO = 'msgid "a"\nmsgstr "b"\n'
LAYOUTS = {
    "table": [{"pairs.tsv": TSV}, {"pairs.TSV": TSV}, {"pairs.Csv": "en;de\na;b\n"}, {"pairs.txt": TSV}],
    "jsonl": [
        {"pairs.jsonl": JSONL},
        {"pairs.json": JSONL},
        {"pairs.NDJSON": JSONL},
        {"pairs.json": f"[{JSONL}]"},
        {"pairs.txt": JSONL},
    ],
    "lines": [
        {"train.en": "a\n", "train.de": "b\n"},
        {"en.txt": "a\n", "de.txt": "b\n"},
        {"train.EN": "a\n", "train.de.GZ": "b\n"},
    ],
    "gettext": [{"de.po": PO}],
}


def written(folder: Path, files: dict[str, str]) -> Path:
    """The first of the files; those that end in .gz are packed."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        packed = name.lower().endswith(".gz")
        (folder / name).write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return folder / next(iter(files))


@pytest.mark.parametrize(("name", "files"), [(n, files) for n, all_ in LAYOUTS.items() for files in all_])
def test_a_layout_is_known_by_its_file_and_by_its_folder(
    name: str, files: dict[str, str], tmp_path: Path
) -> None:
    path = written(tmp_path / "c", files)
    assert format_of(path) == name
    assert texts_of(path, ["de"]) == [{"en": "a", "de": "b"}]
    written(
        tmp_path / "c",
        {"README.md": "en\n", "LICENSE": "x", "info.json": '{"name": "x"}\n', "notes.csv": "x\n"},
    )
    if path.suffix != ".txt" or name == "lines":  # in a folder, any other text may be a readme
        assert texts_of(path.parent, ["de"]) == [{"en": "a", "de": "b"}]


@pytest.mark.parametrize("name", ["[x] *?", "a[b", "x.y]"])
def test_names_of_files_and_folders_are_no_patterns(name: str, tmp_path: Path) -> None:
    for layout, all_ in LAYOUTS.items():
        path = written(
            tmp_path / f"{name} {layout}",
            {f"{name}.{n}" if layout == "table" else n: t for n, t in all_[0].items()},
        )
        assert texts_of(path, ["de"]) == texts_of(path.parent, ["de"]) == [{"en": "a", "de": "b"}]


def test_one_of_line_aligned_files_stands_for_all(tmp_path: Path) -> None:
    path = written(tmp_path, {"train.en": "a\n", "train.de": "b\n", "val.en": "c\n", "val.de": "d\n"})
    assert texts_of(path) == texts_of(tmp_path / "train") == [{"en": "a", "de": "b"}]
    assert texts_of(tmp_path / "val.de") == [{"en": "c", "de": "d"}]


@pytest.mark.parametrize("name", ["pairs.odt", "pairs.docx", "pairs", "notes.txt", "alone.en"])
def test_what_is_there_is_never_said_to_be_missing(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, {name: "words\n"})
    for place in (path, tmp_path):
        with pytest.raises(DataError) as caught:
            rows_of(place)
        said = str(caught.value)
        assert f"'{place}': not in a format that is read (" in said
        assert "gettext: *.po, *.mo, *.whl; jsonl: *.jsonl" in said
        assert "lines: train.en beside train.de; " in said


def test_what_is_missing_leads_to_the_nearest_name(tmp_path: Path) -> None:
    written(tmp_path, {"pairs.tsv": TSV, "train.en": "a\n", "train.de": "b\n"})
    for name, nearest in (("pears.tsv", "pairs.tsv"), ("trian", "train"), ("train.eng", "train.en")):
        with pytest.raises(DataError, match=f"'{tmp_path / name}' does not exist; did you mean '{nearest}'"):
            rows_of(tmp_path / name)
    with pytest.raises(DataError, match="does not exist, nor does its folder"):
        rows_of(tmp_path / "no" / "pairs.tsv")


def test_endings_of_tables_are_no_languages(tmp_path: Path) -> None:
    """`csv` and `tsv` are codes of languages: beside each other they look line-aligned."""
    written(tmp_path, {"pairs.tsv": TSV, "pairs.csv": "en,de\na,b\n"})
    for name in ("pairs.tsv", "pairs.csv"):
        assert format_of(tmp_path / name) == "table"
        assert texts_of(tmp_path / name) == [{"en": "a", "de": "b"}]


def test_where_two_readers_could_read_it_is_asked(tmp_path: Path) -> None:
    written(tmp_path, {"pairs.tsv": TSV, "train.en": "c\n", "train.de": "d\n"})
    with pytest.raises(
        ConfigError, match=r"could be read as lines or table; say which, as in data\.format=lines"
    ):
        rows_of(tmp_path)
    assert texts_of(tmp_path, format="table") == [{"en": "a", "de": "b"}]
    assert texts_of(tmp_path, format="lines") == [{"en": "c", "de": "d"}]


def test_the_file_with_the_pivot_is_meant(tmp_path: Path) -> None:
    written(
        tmp_path,
        {"pairs.tsv": TSV, "train.fr": "c\n", "train.es": "d\n", "x.jsonl": '{"fr": "c", "es": "d"}\n'},
    )
    assert texts_of(tmp_path) == [{"en": "a", "de": "b"}]


def test_columns_without_languages_lead_to_the_key(tmp_path: Path) -> None:
    path = written(tmp_path, {"pairs.csv": "source;target\na;b\n"})
    with pytest.raises(DataError, match=r"columns: source, target\); map them with data\.columns"):
        rows_of(path)
    assert texts_of(path, columns={"en": "source", "de": "target"}) == [{"en": "a", "de": "b"}]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"format": "tabel"}, "data.format=tabel: must be one of auto, arrow, gettext, hub, jsonl, lines, "),
        ({"format": "tabel"}, "did you mean 'table'?"),
        ({"columns": {"germann": "x"}}, "data.columns.germann: unknown language 'germann'"),
        (
            {"format": "table", "options": {"delimeter": ";"}},
            "data.options.delimeter: unknown key; did you mean",
        ),
        ({"format": "lines", "options": {"delimiter": ";"}}, "data.options.delimiter: unknown key"),
    ],
)
def test_mistakes_are_known_without_a_file(data: dict[str, object], problem: str) -> None:
    (found,) = reading.rules(DataConfig(name="own", **data))  # type: ignore[arg-type]
    assert problem in found


READER = '''
from dataclasses import dataclass
from xalign.data.readers.base import Reader, ReaderConfig
from xalign.data.rows import Row

class Columns(Reader):
    """Two columns of fixed width."""
    @dataclass(frozen=True, kw_only=True)
    class Config(ReaderConfig):
        width: int = 5
        """Characters of the first column."""
    endings = ("two",)
    @classmethod
    def recognises(cls, source):
        return any(path.read_text().startswith("two") for path in cls.candidates(source))
    def files(self):
        return self.source.files
    def rows(self):
        for line in self.files()[0].read_text().splitlines()[1:]:
            yield Row("two", {"en": line[:self.config.width].strip(), "de": line[self.config.width:].strip()})
'''


POINT = ("xalign.readers", "columns", "their_reader:Columns")
"""Group, name and object of the entry point."""


def test_another_package_adds_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path / "site", *POINT, READER, monkeypatch)
    assert "columns" in READERS.names()
    path = written(tmp_path / "c", {"x.two": "two\na    b\n"})
    assert format_of(path) == format_of(path.parent) == "columns"
    assert texts_of(path) == [{"en": "a", "de": "b"}]
    assert texts_of(path, format="columns", options={"width": 1}) == [{"en": "a", "de": "b"}]
    assert "columns: *.two" in str(reading.lookup(Source(DataConfig(name="x", path=str(tmp_path)), "en")))


def test_a_package_that_cannot_be_imported_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(tmp_path / "site", *POINT, "import nowhere_to_be_found\n", monkeypatch)
    path = written(tmp_path / "c", {"pairs.tsv": TSV})
    assert texts_of(path) == [{"en": "a", "de": "b"}]
    assert "xalign.readers: 'columns' of package their-reader" in caplog.text
    with pytest.raises(ConfigError, match="cannot be imported: ModuleNotFoundError"):
        rows_of(path, format="columns")


def test_a_table_of_real_data(shared_data: Path) -> None:
    """PAWS-X is a table of pairs of one language: its columns are none."""
    with pytest.raises(DataError, match="columns: id, sentence1, sentence2, label"):
        rows_of(shared_data / "pawsx" / "de" / "dev_2k.tsv")
    records = [json.loads(line) for line in (shared_data / "xcopa" / "val.et.jsonl").open()]
    assert len(
        rows_of(shared_data / "xcopa" / "val.et.jsonl", columns={"en": "premise", "et": "choice1"})
    ) == len(records)
