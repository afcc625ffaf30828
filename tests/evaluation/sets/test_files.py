import logging
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet
from questions import write_jsonl, write_tsv

from xalign.base.errors import ArtifactError, DataError
from xalign.evaluation.sets.files import Layout, Row, Source, in_folder, on_hub


def spread(row: Row, code: str) -> Row | None:
    return {"text": row["t"]} if row["lang"] == code else None


SOURCE = Source(
    name="toy",
    hub="someone/toy",
    languages={"de": "de", "ja": "jp", "zh": "zho_Hans"},
    splits={"train": "train", "validation": "eval"},
    layouts=(
        Layout("{language}/{split}.tsv"),
        Layout("all.tsv", "test", ("lang", "t"), lambda row: [row["lang"]], spread),
    ),
)
ROWS = [{"text": "a"}, {"text": "b"}]


def texts(folder: Path, split: str, language: str) -> list[Any]:
    return [row["text"] for row in in_folder(SOURCE, folder).rows(split, language).rows]


def test_published_tables(tmp_path: Path) -> None:
    write_tsv(tmp_path / "de" / "dev_2k.tsv", ["id", "text"], [1, 'says "a'], [2, " b"])
    write_tsv(tmp_path / "zh" / "translated_train.tsv", ["id", "text"], [1, "c"])
    write_tsv(tmp_path / "all.tsv", ["de", "d"], ["jp", "e"], ["xx", "f"], ["de", "g"])
    found = in_folder(SOURCE, tmp_path)
    assert found.splits == ["train", "validation", "test"]
    assert [found.languages(split) for split in found.splits] == [["zh"], ["de"], ["de", "ja"]]
    assert texts(tmp_path, "validation", "de") == ['says "a', " b"]
    assert texts(tmp_path, "test", "de") == ["d", "g"]
    assert texts(tmp_path, "test", "ja") == ["e"]
    assert found.rows("validation", "de").where(1) == f"'{tmp_path}/de/dev_2k.tsv', line 3"
    assert found.rows("test", "de").where(1) == f"'{tmp_path}/all.tsv', line 4"


@pytest.mark.parametrize(
    "name",
    ["jp/validation.jsonl", "jp/eval.part.jsonl", "val.jp.jsonl", "ja/dev.jsonl", "jpn_Jpan/val.jsonl"],
)
def test_exports_in_jsonl(tmp_path: Path, name: str) -> None:
    write_jsonl(tmp_path / name, ROWS)
    assert in_folder(SOURCE, tmp_path).languages("validation") == ["ja"]
    assert texts(tmp_path, "validation", "ja") == ["a", "b"]


def test_exports_in_parquet_with_shards_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "zho_Hans").mkdir()
    for k in (1, 0, 2):
        table = pa.table({"text": [f"{k}a", f"{k}b"], "label": [0, 1]})
        parquet.write_table(table, tmp_path / "zho_Hans" / f"train-0000{k}-of-00003.parquet")
    assert texts(tmp_path, "train", "zh") == ["0a", "0b", "1a", "1b", "2a", "2b"]
    rows = in_folder(SOURCE, tmp_path).rows("train", "zh")
    assert (len(rows.rows), rows.rows[3]) == (6, {"text": "1b", "label": 1})
    assert rows.where(3) == f"'{tmp_path}/zho_Hans/train-00000-of-00003.parquet', row 3"


def test_of_two_files_with_the_same_rows_one_is_read_and_the_other_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tsv(tmp_path / "de" / "val.tsv", ["text"], "a", "b")
    write_jsonl(tmp_path / "val.de.jsonl", [{"text": "c"}])
    with caplog.at_level(logging.WARNING):
        assert texts(tmp_path, "validation", "de") == ["a", "b"]
    assert f"not {tmp_path}/val.de.jsonl" in caplog.text


def test_nothing_of_the_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"benchmark\.path: no folder .*nowhere"):
        in_folder(SOURCE, tmp_path / "nowhere")
    write_jsonl(tmp_path / "de.questions.jsonl", ROWS)
    (tmp_path / "val.de.jsonl").mkdir()
    message = (
        r"no files of toy in .*: wanted are \{language\}/\{split\}\.tsv or all\.tsv or .*de\.questions\.jsonl"
    )
    with pytest.raises(DataError, match=message):
        in_folder(SOURCE, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("val.de.jsonl", b"\n\n", "val.de.jsonl' is empty"),
        ("val.de.jsonl", b'{"text": "a"}\n{"text', r"val.de.jsonl', line 2: not JSON"),
        ("val.de.jsonl", b"[1]\n", r"val.de.jsonl', line 1: a JSON object is wanted"),
        ("val.de.jsonl", b'{"text": "\xff"}\n', r"val.de.jsonl', line 1: byte 0xff is not UTF-8"),
        ("de/dev.tsv", b"id\ttext\n1\ta\n2\n", r"dev.tsv', line 3: 1 columns instead of 2: id, text"),
        ("de/dev.tsv", b"id\ttext\n", "dev.tsv' has no rows in 'de'"),
        ("de/dev.parquet", b"no parquet", "dev.parquet' is not a parquet file"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        in_folder(SOURCE, tmp_path).rows("validation", "de")


def test_a_row_that_is_not_in_the_layout_is_named(tmp_path: Path) -> None:
    wrong = Source(
        "toy", "x/y", {"de": "de"}, {}, (Layout("{split}.{language}.tsv", adapt=lambda r, c: r["q"]),)
    )
    write_tsv(tmp_path / "dev.de.tsv", ["id", "text"], [1, "a"])
    message = r"dev.de.tsv', line 2: not in the layout of .*\{language\}\.tsv: KeyError\('q'\); .* id, text"
    with pytest.raises(DataError, match=message):
        in_folder(wrong, tmp_path).rows("validation", "de")


def test_the_hub_is_asked_by_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load(name: str, config: str, *, split: str, revision: str | None) -> list[Row]:
        asked.append((name, config, split))
        return ROWS

    monkeypatch.setattr(datasets, "load_dataset", load)
    files = on_hub(SOURCE)
    assert files.splits == ["train", "validation"]
    assert files.languages("validation") == ["de", "ja", "zh"]
    assert not asked
    rows = files.rows("validation", "ja")
    assert list(rows.rows) == ROWS
    assert rows.where(1) == "someone/toy jp eval, row 1"
    assert asked == [("someone/toy", "jp", "eval")]


def test_without_a_network_one_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*names: str, **options: str) -> None:
        raise ConnectionError("Couldn't reach it\n(offline).")

    monkeypatch.setattr(datasets, "load_dataset", load)
    message = (
        r"could not get dataset 'someone/toy', configuration 'de', split 'train' from the Hugging Face hub: "
        r"Couldn't reach it \(offline\)\. Without a network, give a copy .* benchmark\.path=<local copy>"
    )
    with pytest.raises(ArtifactError, match=message):
        on_hub(SOURCE).rows("train", "de")
