import gzip
import json
from pathlib import Path

import pytest

from xalign.base.errors import ConfigError, DataError
from xalign.config.text import DataConfig
from xalign.data.cleaning import CleaningReport, normal_form
from xalign.data.parallel import ParallelCorpus, load_corpus, load_test_set, split_corpus
from xalign.data.readers.lines import LinesReader
from xalign.data.rows import Row


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))


def data(path: Path, **changes: object) -> DataConfig:
    return DataConfig(**{"name": "own", "path": str(path), **changes})  # type: ignore[arg-type]


def load(config: DataConfig, languages: list[str]) -> tuple[ParallelCorpus, CleaningReport]:
    return load_corpus(config, "en", dict.fromkeys(languages, "languages.targets"))


def write_moses(folder: Path, **texts: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for language, lines in texts.items():
        (folder / f"train.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


ENGLISH = ["The cat sleeps here", "A dog barks loudly", "Birds fly over hills", "The cat sleeps here"]
FRENCH = ["Le chat dort ici", "Un chien aboie fort", "", "Le chat dort là"]


def test_many_way_rows_and_counts(tmp_path: Path) -> None:
    folder = write_moses(
        tmp_path / "c", en=ENGLISH, fr=FRENCH, de=["Die Katze schläft hier", "x", "Vögel fliegen", "y"]
    )
    corpus, report = load(data(folder), ["fr", "de"])
    assert corpus.languages == ("de", "en", "fr")
    assert corpus.pairs("en", "fr") == [
        ("The cat sleeps here", "Le chat dort ici"),
        ("A dog barks loudly", "Un chien aboie fort"),
    ]
    assert report.dropped["empty side"] == 1
    assert report.dropped["duplicate"] == 1
    assert corpus.texts("sw") == [None] * len(corpus)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pairs.tsv", "en\tfr\nThe cat sleeps here\tLe chat dort ici\n"),
        ("pairs.csv", 'en,fr\nThe cat sleeps here,"Le chat dort ici"\n'),
        (
            "pairs.jsonl",
            json.dumps({"translation": {"en": "The cat sleeps here", "fr": "Le chat dort ici"}}) + "\n",
        ),
    ],
)
def test_formats_are_told_by_their_names(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    corpus, _ = load(data(tmp_path / name), ["fr"])
    assert corpus.pairs("en", "fr") == [("The cat sleeps here", "Le chat dort ici")]


def test_columns_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text(
        "source\ttarget\nThe cat sleeps here\tLe chat dort ici\n", encoding="utf-8"
    )
    corpus, _ = load(data(tmp_path / "p.tsv", columns={"en": "source", "fr": "target"}), ["fr"])
    assert len(corpus) == 1
    with pytest.raises(ConfigError, match=r"no column 'sorce'.*did you mean 'source'"):
        load(data(tmp_path / "p.tsv", columns={"en": "sorce", "fr": "target"}), ["fr"])


def test_the_same_source_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_moses(tmp_path / "c", en=ENGLISH, fr=FRENCH)
    first, _ = load(data(folder), ["fr"])
    monkeypatch.setattr(LinesReader, "rows", lambda self: pytest.fail("read again"))
    again, _ = load(data(folder), ["fr"])
    assert again.fingerprint == first.fingerprint


def test_max_rows_keeps_a_share_of_every_language_in_every_split(tmp_path: Path) -> None:
    for first, language in ((0, "fr"), (1000, "de")):
        english = [f"Sentence number {first + i} here" for i in range(500)]
        other = [f"{language} phrase {i} of many" for i in range(500)]
        (tmp_path / f"web.{language}-en.en").write_text("\n".join(english), encoding="utf-8")
        (tmp_path / f"web.{language}-en.{language}").write_text("\n".join(other), encoding="utf-8")
    corpus, report = load(data(tmp_path, max_rows=300), ["fr", "de"])
    assert len(corpus) == report.kept == 300
    assert all(len(corpus.rows_with(language)) > 100 for language in ("fr", "de"))
    assert 40 < len(split_corpus(corpus, "en", 0.1, 0.2).test) < 80


def test_split_shares_no_sentence_in_any_language() -> None:
    rows = [
        Row(
            "s",
            {
                "en": f"Sentence number {i} of many",
                "fr": f"Phrase {i % 40} parmi d'autres",
                "de": f"Satz {i}",
            },
        )
        for i in range(400)
    ]
    corpus = ParallelCorpus.from_rows(rows, "made")
    splits = split_corpus(corpus, "en", 0.1, 0.2)
    parts = [splits.train, splits.validation, splits.test]
    for language in corpus.languages:
        texts = [{normal_form(t) for t in part.texts(language) if t} for part in parts]
        assert not texts[0] & texts[1]
        assert not texts[0] & texts[2]
        assert not texts[1] & texts[2]
    assert 40 < len(splits.test) < 120
    shuffled = ParallelCorpus.from_rows(rows[::-1], "made")
    assert set(split_corpus(shuffled, "en", 0.1, 0.2).test.texts("en")) == set(splits.test.texts("en"))


@pytest.mark.parametrize("name", ["a[b].tsv", "[ab].tsv", "a*?.tsv"])
def test_a_file_that_changed_is_read_anew(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for german in ("Die Katze schläft", "Ein Hund bellt"):
        path.write_text(f"en\tde\nThe cat sleeps here\t{german}\n", encoding="utf-8")
        assert load(data(path), ["de"])[0].texts("de") == [german]


@pytest.mark.parametrize("place", ["", "train", "train.en"])
def test_every_file_of_line_aligned_text_counts(tmp_path: Path, place: str) -> None:
    folder = write_moses(tmp_path / "c", en=["The cat sleeps here"])
    for german in ("Die Katze schläft", "Ein Hund bellt"):
        write_moses(folder, de=[german])
        assert load(data(folder / place), ["de"])[0].texts("de") == [german]


def test_other_files_beside_it_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_moses(tmp_path / "c", en=ENGLISH, fr=FRENCH)
    load(data(folder), ["fr"])
    (folder / "README.md").write_text("new")
    monkeypatch.setattr(LinesReader, "rows", lambda self: pytest.fail("read again"))
    load(data(folder), ["fr"])


def test_the_cache_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "my [cache] *?"))
    folder = write_moses(tmp_path / "c", en=ENGLISH, fr=FRENCH)
    assert load(data(folder), ["fr"])[0].fingerprint == load(data(folder), ["fr"])[0].fingerprint
    assert len(list((tmp_path / "my [cache] *?" / "corpora").glob("[!.]*"))) == 1


def test_a_language_that_is_absent_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("en\tfr\nThe cat sleeps here\tLe chat dort ici\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"languages\.targets=de: no pairs with en in own .*has: none\)$"):
        load(data(tmp_path / "p.tsv"), ["de"])


def test_a_corpus_of_which_cleaning_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("en\tde\nhouse\tHaus\nThe same\tThe same\n", encoding="utf-8")
    summary = r"after cleaning: 0 pairs kept, 2 dropped \(too few words 2\)"
    with pytest.raises(ConfigError, match=rf"languages\.targets=de: no pairs with en in own .*; {summary}"):
        load(data(tmp_path / "p.tsv"), ["de"])
    with pytest.raises(ConfigError, match=rf"languages\.pivot=en: no pairs with it in own; {summary}"):
        load(data(tmp_path / "p.tsv"), [])


def test_language_without_data_is_named(tmp_path: Path) -> None:
    folder = write_moses(tmp_path / "c", en=ENGLISH, fr=FRENCH)
    with pytest.raises(ConfigError, match=r"languages\.targets=sw: no pairs with en in own .*fr 2"):
        load(data(folder), ["fr", "sw"])


BROKEN = {
    "missing": (None, "does not exist"),
    "empty": (b"", "is empty"),
    "binary": (b"a\nb\x00c\n", "line 2: binary data"),
    "latin-1": ("un\ndéjà\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
    "utf-16": ("text\n".encode("utf-16"), "is UTF-16"),
    "short": (b"one line only\n", "lines"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files(tmp_path: Path, kind: str) -> None:
    content, message = BROKEN[kind]
    folder = write_moses(tmp_path / "c", en=ENGLISH, fr=FRENCH)
    if content is None:
        folder = tmp_path / "d"
    else:
        (folder / "train.fr").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(data(folder), ["fr"])


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    folder = write_moses(tmp_path / "c", en=ENGLISH)
    (folder / "train.fr.gz").write_bytes(gzip.compress("\n".join(FRENCH).encode())[:-9])
    with pytest.raises(DataError, match=r"train\.fr\.gz' is not a whole gzip file"):
        load(data(folder), ["fr"])


def test_nothing_to_read_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"one of data\.path, data\.packages, data\.hub and"):
        load(DataConfig(name="none"), ["fr"])


def test_test_sets_keep_the_files_order(shared_data: Path) -> None:
    corpus = load_test_set(data(shared_data / "tatoeba"), "en", ["fr", "th"])
    lines = (shared_data / "tatoeba" / "tatoeba.fra-eng.fra").read_text(encoding="utf-8").splitlines()
    assert [y for _, y in corpus.pairs("en", "fr")][:100] == [" ".join(line.split()) for line in lines[:100]]


@pytest.mark.parametrize(
    ("name", "languages", "least"),
    [
        ("multi30k", ["de", "fr", "cs"], 20_000),
        ("tatoeba", ["fr", "sw"], 300),
    ],
)
def test_real_corpora(shared_data: Path, name: str, languages: list[str], least: int) -> None:
    corpus, _ = load(data(shared_data / name), languages)
    assert len(corpus) > least
    assert all(len(corpus.rows_with("en", language)) > 100 for language in languages)
