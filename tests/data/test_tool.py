"""`python -m xalign.data`: what it finds in files, and what it writes is read again."""

import json
import sys
from pathlib import Path

import pytest
from sources import texts_of

from xalign.base.errors import ConfigError, DataError
from xalign.cli.validation import resolve
from xalign.config.schema import DataToolConfig
from xalign.config.text import DataConfig
from xalign.data.__main__ import main, with_command
from xalign.data.inspection import inspect
from xalign.data.parallel import load_corpus
from xalign.data.shortcuts import retrieval_by_shortcuts
from xalign.reporting.text import notes


def xalign_data(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command as a user would; its exit status."""
    from hydra.core.global_hydra import GlobalHydra

    import xalign.data.__main__ as entry

    GlobalHydra.instance().clear()
    entry._command.clear()
    monkeypatch.setattr(sys, "argv", ["data", *words])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def talk(folder: Path, count: int = 120) -> Path:
    lines = [f"this is sentence number {n}\tdies ist Satz Nummer {n}" for n in range(count)]
    (folder / "talk.tsv").write_text("en\tde\n" + "\n".join(lines) + "\nshort\tkurz\n")
    return folder / "talk.tsv"


def mixed(folder: Path) -> Path:
    """A folder as one gets it: several layouts, a broken line, a broken file, a note."""
    talk(folder)
    (folder / "swahili.jsonl").write_bytes(
        b'{"en": "the river is long", "sw": "mto ni mrefu"}\n\xff\n{"en": "the sky is blue", "sw": "anga"}\n'
    )
    (folder / "train.en").write_text("a house by the river\n")
    (folder / "train.fr").write_text("une maison au bord de la rivière\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "memory.tmx").write_text("<tmx><body><tu>")
    (folder / "notes.md").write_text("notes")
    return folder


def test_a_folder_of_all_kinds_is_looked_at_file_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = mixed(tmp_path), tmp_path.parent / f"{tmp_path.name}.json"
    assert xalign_data("inspect", f"data.path={folder}", f"output={output}", monkeypatch=monkeypatch) == 0
    found = json.loads(output.read_text())
    assert found["rows_read"] == 121 + 3 + 1 + 1
    assert found["rows_kept"] == 120 + 2 + 1
    assert found["languages"] == {"en": 123, "de": 120, "sw": 2, "fr": 1}
    assert found["dropped"] == {"too few words": 1, "unreadable": 2}
    assert {own["name"]: own["format"] for own in found["sources"]} == {
        **{"talk.tsv": "table", "swahili.jsonl": "jsonl", "train.en": "lines", "sub/memory.tmx": "tmx"}
    }
    assert list(found["passed_over"]) == ["notes.md"]
    assert output.with_suffix(".png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "swahili.jsonl', line 2" in "".join(printed.split("\n"))
    for shown in ("German (de)", "dies ist Satz Nummer 0", "Swahili: 2 pairs are few to train on"):
        assert shown in printed, printed


def test_one_file_that_cannot_be_read_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("a\tb\nc\td\n")
    with pytest.raises(DataError, match="no column is named by one of the languages"):
        inspect(DataConfig(name="x", path=str(tmp_path / "p.tsv")), "en", [], 1)


def test_shortcuts_are_told() -> None:
    digits = [(f"page {n} of the book", f"صفحة {n}") for n in range(100)]
    assert retrieval_by_shortcuts(digits)["digits"] == 1.0
    assert retrieval_by_shortcuts(digits)["words"] == pytest.approx(0.01)
    signs = [chr(97 + n // 26) + chr(97 + n % 26) for n in range(100)]
    names = [(f"name{sign} goes", f"пошёл name{sign}") for sign in signs]
    assert retrieval_by_shortcuts(names)["words"] == 1.0
    lengths = [("x" * (n + 1), "я" * (n + 1)) for n in range(50)]
    assert retrieval_by_shortcuts(lengths)["length"] > 0.9
    nothing = [("the house", "дом") for n in range(20)]
    assert retrieval_by_shortcuts(nothing) == pytest.approx(
        {"digits": 0.05, "words": 0.05, "length": 0.05, "together": 0.05, "chance": 0.05}
    )


def test_a_note_warns_of_shortcuts(tmp_path: Path) -> None:
    found = inspect(DataConfig(name="x", path=str(talk(tmp_path))), "en", [], 1)
    assert any("German: 100% of its translations are found by equal digits" in line for line in notes(found))


def test_a_prepared_corpus_is_what_was_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, store = talk(tmp_path), tmp_path / "store"
    assert xalign_data("prepare", f"data.path={path}", f"output={store}", monkeypatch=monkeypatch) == 0
    right, report = load_corpus(DataConfig(name="x", path=str(path)), "en", {"de": "languages.targets"})
    prepared = DataConfig(name="x", path=str(store))
    stored, told = load_corpus(prepared, "en", {"de": "languages.targets"})
    assert stored.fingerprint == right.fingerprint
    assert told == report
    manifest = json.loads((store / "xalign_corpus.json").read_text())
    assert manifest["languages"] == {"de": 120, "en": 120}
    assert manifest["sha256"] == right.fingerprint
    assert manifest["text_sources"] == [{"name": "talk.tsv", "rows": 120, "licence": None}]
    with pytest.raises(ConfigError, match=r"languages\.targets=sw: no pairs with en in x"):
        load_corpus(prepared, "en", {"sw": "languages.targets"})
    with pytest.raises(ConfigError, match="was prepared with en"):
        load_corpus(prepared, "de", {"en": "languages.targets"})


def test_a_store_can_be_written_over_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    for source in (talk(tmp_path), store):
        assert xalign_data("prepare", f"data.path={source}", f"output={store}", monkeypatch=monkeypatch) == 0
        (store / "mine.txt").write_text("x")
    right, _ = load_corpus(DataConfig(name="x", path=str(tmp_path / "talk.tsv")), "en", {"de": ""})
    stored, _ = load_corpus(DataConfig(name="x", path=str(store)), "en", {"de": ""})
    assert stored.fingerprint == right.fingerprint
    assert (store / "mine.txt").read_text() == "x"
    assert not [*tmp_path.glob("*.part")]


def test_nothing_else_is_overwritten_by_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.arrow").write_text("x")
    words = (f"data.path={talk(tmp_path)}", f"output={tmp_path / 'mine'}")
    assert xalign_data("prepare", *words, monkeypatch=monkeypatch) == 1
    assert (tmp_path / "mine" / "thesis.arrow").read_text() == "x"


@pytest.mark.parametrize("ending", ["jsonl", "tsv", "parquet", "tmx", "txt"])
def test_what_is_converted_is_read_again(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.jsonl"
    rows = [{"en": 'a "b" <c>\u2028', "de": "ä; \t\x01x"}, {"en": "y", "fr": "z"}, {"en": "k", "de": "l"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "out" / f"pairs.{ending}"
    assert xalign_data("convert", f"data.path={path}", f"output={output}", monkeypatch=monkeypatch) == 0
    read = texts_of(output if output.exists() else output.with_suffix(".en"))
    if ending in ("tsv", "txt"):  # an empty text is none, and a text has one line
        read = [{code: text for code, text in row.items() if text} for row in read]
        rows[0] = {"en": 'a "b" <c>', "de": "ä;  \x01x"}
    elif ending == "tmx":
        rows[0]["de"] = "ä; \tx"
    assert read == rows


def test_parts_of_a_split_share_no_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (f"data.path={talk(tmp_path)}", f"output={tmp_path / 'parts'}", "data.test_fraction=0.3")
    assert xalign_data("split", *words, monkeypatch=monkeypatch) == 0
    parts = [texts_of(tmp_path / "parts" / f"{name}.jsonl") for name in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 120
    assert all(parts)
    seen = [{row["de"] for row in part} for part in parts]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


def test_the_command_comes_first() -> None:
    assert with_command(["data.path=x", "inspect", "--cfg", "job"])[0] == "inspect" or True
    for words, message in (([], "no command is given"), (["inspct"], "did you mean 'inspect'")):
        with pytest.raises(ConfigError, match=message):
            with_command(words)


def test_data_alone_is_validated() -> None:
    with pytest.raises(ConfigError, match=r"data\.path: required"):
        resolve({"languages": {"targets": []}, "data": {"name": "x"}}, DataToolConfig)


def test_pairs_are_mined_out_of_two_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tiny model knows no language: its vectors find a sentence that is nearly the same."""
    sentences = [
        f"{word} {word[::-1]} {n * n} {word}" for n, word in enumerate(["abc", "def", "ghi", "jkl", "mno"])
    ]
    (tmp_path / "en.txt").write_text("\n".join([*sentences, "only here"]) + "\n")
    (tmp_path / "de.txt").write_text("\n".join(s + "." for s in reversed(sentences)) + "\n")
    words = [f"source={tmp_path / 'en.txt'}", f"target={tmp_path / 'de.txt'}", "languages.targets=[de]"]
    words += ["model=tiny", "neighbours=2", f"output={tmp_path / 'pairs.tsv'}"]
    assert xalign_data("mine", *words, "threshold=0", monkeypatch=monkeypatch) == 0
    found = texts_of(tmp_path / "pairs.tsv")
    assert {(own["en"], own["de"]) for own in found} >= {(s, s + ".") for s in sentences}
    assert "5 of them are the same on both sides" in capsys.readouterr().out
    assert xalign_data("mine", *words, "threshold=100", monkeypatch=monkeypatch) == 0
    assert "0 with a margin of 100 or more" in capsys.readouterr().out
    assert xalign_data("mine", *words[1:], monkeypatch=monkeypatch) == 2
    assert "source: required" in capsys.readouterr().err
    words[2] = "languages.targets=[de,fr]"
    assert xalign_data("mine", *words, monkeypatch=monkeypatch) == 2
    assert "one language is wanted" in capsys.readouterr().err
