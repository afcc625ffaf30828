"""Several corpora as one: joined, counted, and drawn in shares."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xalign.base.errors import ConfigError, DataError
from xalign.config.text import DataConfig, InstructionsConfig, LanguagesConfig, SourceConfig
from xalign.data import mixing, reading
from xalign.data.instructions.parallel import TranslationInstructions
from xalign.data.parallel import ParallelCorpus, load_corpus, split_corpus
from xalign.data.sampling import PairSampler

LANGUAGES = {"de": "languages.targets", "fr": "languages.targets"}


def mixture(folder: Path, **keys: dict[str, Any]) -> DataConfig:
    """Two corpora of one sentence in common, in German alone and in German and French."""
    talk = [(f"talk number {n}", f"Rede Nummer {n}") for n in range(40)]
    (folder / "talk.tsv").write_text("en\tde\n" + "".join(f"{x}\t{y}\n" for x, y in talk))
    book = [(f"page number {n}", f"Seite {n}", f"page numéro {n}") for n in range(10)]
    book.append(("talk number 3", "Rede drei", "discours trois"))
    (folder / "book.csv").write_text("x,y,z\n" + "".join(",".join(own) + "\n" for own in book))
    columns = {"en": "x", "de": "y", "fr": "z"}
    sources = {
        "talk": {"path": str(folder / "talk.tsv")} | keys.get("talk", {}),
        "book": {"path": str(folder / "book.csv"), "columns": columns} | keys.get("book", {}),
    }
    return DataConfig(
        name="mixture",
        sources={name: SourceConfig(**own) for name, own in sources.items()},
        max_length_ratio=20,
    )


def test_rows_with_one_pivot_are_joined_across_corpora(tmp_path: Path) -> None:
    corpus, report = load_corpus(mixture(tmp_path), "en", LANGUAGES)
    assert Counter(corpus.corpora or []) == {"talk": 40, "book": 10}
    (row,) = [own for own in corpus.table if own["en"] == "talk number 3"]
    assert (row["de"], row["fr"], row["corpus"]) == ("Rede Nummer 3", "discours trois", "talk")
    assert report.dropped == {"duplicate": 1}
    assert report.kept == 40 + 20 + 1


def test_which_corpora_there_are_is_part_of_the_cache_s_key(tmp_path: Path) -> None:
    data = mixture(tmp_path)
    assert len(load_corpus(data, "en", {"de": ""})[0]) == 50
    one = DataConfig(name="mixture", sources={"talk": data.sources["talk"]}, max_length_ratio=20)
    assert len(load_corpus(one, "en", {"de": ""})[0]) == 40


def drawn(corpus: ParallelCorpus, shares: dict[str, float] | None) -> Counter[str]:
    """Of which corpus the pairs of some thousand batches are."""
    corpus = ParallelCorpus(corpus.table, corpus.name, shares=shares)
    sampler = PairSampler(
        corpus,
        "en",
        ["de"],
        batch_size=4,
        languages_per_batch=1,
        temperature=1,
        seed=1,
    )
    corpora = corpus.corpora
    assert corpora is not None
    return Counter(corpora[pair.row] for step in range(1500) for pair in sampler.batch(step))


def test_pairs_are_drawn_in_shares(tmp_path: Path) -> None:
    corpus, _ = load_corpus(mixture(tmp_path), "en", {"de": ""})
    for shares, expected in (
        ({"talk": 1.0, "book": 1.0}, 0.5),
        ({"talk": 3.0, "book": 1.0}, 0.25),
        (None, 0.2),
    ):
        found = drawn(corpus, shares)
        assert found["book"] / 6000 == pytest.approx(expected, abs=3 * (0.25 / 6000) ** 0.5), shares


def test_a_corpus_that_is_used_up_leaves_its_share_to_the_others() -> None:
    rng = np.random.default_rng(0)
    corpora = ["a"] * 2 + ["b"] * 6
    order = list(mixing.Mixture(corpora, {"a": 100.0, "b": 1.0}, 8).order(rng))
    assert sorted(order) == list(range(8))
    assert set(order[:2]) == {0, 1}


def test_without_shares_nothing_changes(tmp_path: Path) -> None:
    same = mixing.Mixture(None, None, 50)
    assert list(same.order(np.random.default_rng(3))) == list(np.random.default_rng(3).permutation(50))
    assert same.one(np.random.default_rng(3)) == np.random.default_rng(3).integers(50)


def test_instructions_made_of_pairs_are_drawn_in_shares(tmp_path: Path) -> None:
    corpus, _ = load_corpus(mixture(tmp_path, talk={"share": 1.0}, book={"share": 3.0}), "en", {"de": ""})
    languages = LanguagesConfig(targets=["de"])
    made = TranslationInstructions(corpus, languages, InstructionsConfig(p_cross=1.0), 0).batch(0, 2000)
    pages = sum("page" in own.prompt or "Seite" in own.prompt for own in made)
    assert pages / 2000 == pytest.approx(0.75, abs=0.04)


def test_a_sentence_held_out_in_one_corpus_is_trained_on_in_none(tmp_path: Path) -> None:
    corpus, _ = load_corpus(mixture(tmp_path), "en", LANGUAGES)
    splits = split_corpus(corpus, "en", 0.2, 0.2)
    assert sum(map(len, (splits.train, splits.validation, splits.test))) <= len(corpus)
    assert not {*splits.train.texts("en")} & {*splits.test.texts("en"), *splits.validation.texts("en")}
    assert splits.train.corpora is not None


MISTAKES = {
    "a share for one alone": (
        {"talk": {"share": 1.0}},
        "data.sources.book.share: required where other sources have one",
    ),
    "nowhere": ({"talk": {"path": None}}, "data.sources.talk.path: required, but not given"),
    "format": ({"book": {"format": "tabel"}}, "data.sources.book.format=tabel: must be one of"),
    "options": (
        {"book": {"format": "table", "options": {"delimeter": ";"}}},
        "data.sources.book.options.delimeter: unknown key; did you mean 'delimiter'",
    ),
    "language": (
        {"book": {"columns": {"germann": "x"}}},
        "data.sources.book.columns.germann: unknown language",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_name_the_source(case: str, tmp_path: Path) -> None:
    keys, message = MISTAKES[case]
    data = mixture(tmp_path, **keys)
    problems = list(mixing.rules(data))
    for part in mixing.parts_of(data):
        problems += reading.rules(part.data, part.key)
    assert any(message in problem for problem in problems), problems


def test_what_cannot_be_read_names_the_source(tmp_path: Path) -> None:
    columns = {"columns": {"en": "x", "de": "yy"}}
    with pytest.raises(ConfigError, match=r"data\.sources\.book\.columns\.de: no column 'yy'.*did you mean"):
        load_corpus(mixture(tmp_path, book=columns), "en", LANGUAGES)
    missing = {"path": str(tmp_path / "tallk.tsv")}
    with pytest.raises(DataError, match=r"tallk\.tsv' does not exist; did you mean 'talk.tsv'"):
        load_corpus(mixture(tmp_path, talk=missing), "en", LANGUAGES)
