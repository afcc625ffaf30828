"""What cannot be read: one message, or with data.on_error=skip counted and the rest read."""

import bz2
import gzip
import lzma
import sys
from importlib import import_module
from pathlib import Path

import pytest
from sources import rows_of, texts_of

from xalign.base.errors import DataError
from xalign.config.text import DataConfig
from xalign.data.cleaning import CleaningReport, clean, merge_by_pivot
from xalign.data.readers import files
from xalign.data.readers.base import Source
from xalign.data.reading import reader_of
from xalign.data.rows import UNREADABLE

BROKEN = {
    "p.tsv": b"en\tde\na\tb\n\xff\tc\nd\te\tf\ng\th\n",
    "p.csv": b'en,de\na,b\n"c"d,e\n\xff,f\ng,h\n',
    "p.jsonl": b'{"en": "a", "de": "b"}\n{"en": "c"\n\xff\n{"en": "g", "de": "h"}\n',
    "train.en": b"a\n\xff\n\0\ng\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_good_rows_are_kept_and_the_rest_counted(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    (tmp_path / "train.de").write_text("b\nx\nx\nh\n")
    with pytest.raises(DataError, match=r"line [23]"):
        rows_of(path)
    rows = rows_of(path, on_error="skip")
    assert [row.texts for row in rows if not row.fault] == [{"en": "a", "de": "b"}, {"en": "g", "de": "h"}]
    lost = [row.message for row in rows if row.fault == UNREADABLE]
    assert len(lost) == 2
    assert all("line" in message and name in message for message in lost)


def test_what_is_lost_is_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_bytes(b"en\tde\nthe sky is blue\tder Himmel ist blau\n\xff\tc\n")
    data = DataConfig(name="x", path=str(tmp_path / "p.tsv"), on_error="skip")  # type: ignore[arg-type]
    report = CleaningReport()
    rows = reader_of(Source(data, "en", ["de"]))[1].rows()
    assert len(merge_by_pivot(clean(rows, data, "en", None, False, report), "en", report)) == 1
    assert report.dropped == {UNREADABLE: 1}
    assert "line 3" in report.examples[UNREADABLE][0]


zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
PACKERS = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": lambda data: zstd.compress(data[:5]) + zstd.compress(data[5:]),
}


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files_are_read_and_cut_ones_named(kind: str, tmp_path: Path) -> None:
    text = b"en\tde\n" + b"".join(f"sky {n}\tHimmel {n * 7919}\n".encode() for n in range(90_000))
    path = tmp_path / f"p.tsv.{kind}"
    path.write_bytes(PACKERS[kind](text))
    assert len(texts_of(path)) == len(texts_of(tmp_path)) == 90_000
    path.write_bytes(PACKERS[kind](text)[:-2000])
    with pytest.raises(DataError, match=r"p\.tsv\.\w+' is not a whole \w+ file"):
        rows_of(path)
    *good, bad = rows_of(path, on_error="skip")
    assert bad.fault == UNREADABLE
    assert good[0].texts == {"en": "sky 0", "de": "Himmel 0"}


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 2**20)
    path = tmp_path / "p.tsv"
    path.write_bytes(b"en\tde\na\tb\n" + b"x" * 5 * 2**20 + b"\ng\th\n")
    with pytest.raises(DataError, match="line 3: longer than 1 MB"):
        rows_of(path)
    assert [row.texts for row in rows_of(path, on_error="skip") if not row.fault] == [
        {"en": "a", "de": "b"},
        {"en": "g", "de": "h"},
    ]


def test_an_array_of_one_line_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 2**20)
    path = tmp_path / "p.json"
    path.write_text("[" + ",".join(['{"en": "sky", "de": "Himmel \\u00e4"}'] * 60_000) + "]")
    assert texts_of(path) == [{"en": "sky", "de": "Himmel ä"}] * 60_000
