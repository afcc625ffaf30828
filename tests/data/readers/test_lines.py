from pathlib import Path

import pytest
from sources import rows_of

from xalign.base.errors import DataError
from xalign.data.rows import Row


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", "-").replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def read(path: Path) -> list[Row]:
    return rows_of(path)


def sources(path: Path) -> set[str]:
    return {row.source for row in read(path)}


def test_the_stem_called_train_is_taken_and_others_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, train_en="a\n", train_fr="b\n", val_en="c\n", val_fr="d\n", README_md="x\n")
    assert sources(tmp_path) == sources(tmp_path / "train.fr") == {"train"}
    assert sources(tmp_path / "val") == {"val"}
    with pytest.raises(DataError, match=r"does not exist; did you mean 'train'"):
        read(tmp_path / "trian")


def test_bitexts_are_one_set(tmp_path: Path) -> None:
    bitexts = {
        "t_fra__eng_fra": "b\n",
        "t_fra__eng_eng": "a\n",
        "t_deu__eng_deu": "d\nf\n",
        "t_deu__eng_eng": "c\ne\n",
    }
    write(tmp_path, **bitexts)
    assert sorted(read(tmp_path), key=str) == sorted(
        [
            Row("t.fra-eng", {"en": "a", "fr": "b"}),
            Row("t.deu-eng", {"en": "c", "de": "d"}),
            Row("t.deu-eng", {"en": "e", "de": "f"}),
        ],
        key=str,
    )
    assert sources(tmp_path / "t") == {"t.fra-eng", "t.deu-eng"}
    assert sources(tmp_path / "t.fra-eng") == {"t.fra-eng"}
    # A set held out beside it must not slip in.
    write(tmp_path, dev_fra__eng_fra="y\n", dev_fra__eng_eng="x\n")
    with pytest.raises(DataError, match=r"holds several corpora.*: dev, t$"):
        read(tmp_path)


def test_only_newlines_end_a_line(tmp_path: Path) -> None:
    write(tmp_path, train_en="one\u2028still one\r\ntwo\x0bstill two\r\n", train_fr="un\ndeux\n")
    assert [row.texts for row in read(tmp_path)] == [
        {"en": "one\u2028still one", "fr": "un"},
        {"en": "two\x0bstill two", "fr": "deux"},
    ]


def test_unequal_lengths_name_both_files(tmp_path: Path) -> None:
    write(tmp_path, train_en="a\nb\n", train_fr="c\n")
    with pytest.raises(DataError, match=r"train\.en' has 2 lines but '.*train\.fr' has 1"):
        read(tmp_path)


def test_one_language_twice(tmp_path: Path) -> None:
    write(tmp_path, train_en="a\n", train_eng="a\n", train_fr="b\n")
    with pytest.raises(DataError, match="are both en"):
        read(tmp_path)


def test_files_that_are_named_by_their_language(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FLORES-200: `dev` is a language, too, and Dari is Persian to us."""
    for name in ("eng_Latn.dev", "deu_Latn.dev", "pes_Arab.dev", "prs_Arab.dev", "README.dev"):
        (tmp_path / name).write_text(f"{name} 1\n{name} 2\n", encoding="utf-8")
    rows = read(tmp_path)
    assert [row.texts for row in rows] == [
        {"en": f"eng_Latn.dev {i}", "de": f"deu_Latn.dev {i}", "fa": f"pes_Arab.dev {i}"} for i in (1, 2)
    ]
    assert "prs_Arab.dev is passed over: pes_Arab.dev is of the same language" in caplog.text


def test_moses_sets_may_be_called_dev(tmp_path: Path) -> None:
    write(tmp_path, dev_en="a\n", dev_fr="b\n", devtest_en="c\n", devtest_fr="d\n")
    assert sources(tmp_path / "dev") == {"dev"}
    assert [row.texts for row in read(tmp_path / "devtest")] == [{"en": "c", "fr": "d"}]
