import hashlib
from collections import Counter

import numpy as np
import pytest

from xalign.base.errors import ConfigError
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.data.sampling import PairSampler, language_probabilities, text_key


def corpus(french: int = 200, german: int = 50) -> ParallelCorpus:
    rows = []
    for i in range(french):
        texts = {"en": f"Sentence {i // 2 if i < 20 else i}", "fr": f"Phrase {i}"}
        if i < german:
            texts["de"] = f"Satz {i % 40}"
        rows.append(Row("s", texts))
    return ParallelCorpus.from_rows(rows, "made")


def sampler(seed: int = 0, **options: object) -> PairSampler:
    settings: dict[str, object] = {
        "batch_size": 16,
        "languages_per_batch": 1,
        "temperature": 0.5,
        "seed": seed,
    }
    return PairSampler(corpus(), "en", ["fr", "de"], **{**settings, **options})  # type: ignore[arg-type]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    assert sampler().batch(7) == sampler().batch(7)
    assert sampler().batch(7) != sampler().batch(8)
    assert sampler().batch(7) != sampler(seed=1).batch(7)


@pytest.mark.parametrize("languages", [1, 2])
def test_no_sentence_twice_on_either_side(languages: int) -> None:
    for step in range(30):
        batch = sampler(languages_per_batch=languages).batch(step)
        assert len({p.source_key for p in batch}) == len({p.target_key for p in batch}) == len(batch) == 16
        assert Counter(p.target_language for p in batch) == {
            p.target_language: 16 // languages for p in batch
        }


@pytest.mark.parametrize(
    ("rank", "ranks", "languages", "expected"),
    [(0, 1, 1, "fe99d8672629ce40"), (0, 2, 2, "de20b797b90d3fd7"), (1, 2, 2, "81b424496e8fe734")],
)
def test_a_seed_draws_what_it_always_drew(rank: int, ranks: int, languages: int, expected: str) -> None:
    made = sampler(batch_size=16 // ranks, languages_per_batch=languages)
    pairs = [pair for step in range(20) for pair in made.batch(step, rank, ranks)]
    text = repr([(p.source, p.target, p.target_language, p.source_key, p.target_key) for p in pairs])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == expected
    texts = corpus()
    assert all(p.source == texts.texts("en")[p.row] for p in pairs)
    assert all(p.target == texts.texts(p.target_language)[p.row] for p in pairs)


@pytest.mark.parametrize("languages", [1, 2])
def test_ranks_share_one_global_batch(languages: int) -> None:
    whole = sampler(batch_size=16, languages_per_batch=languages).batch(3)
    parts = [sampler(batch_size=8, languages_per_batch=languages).batch(3, rank, 2) for rank in (0, 1)]
    assert sorted((p.source, p.target) for part in parts for p in part) == sorted(
        (p.source, p.target) for p in whole
    )


def test_languages_are_drawn_by_temperature() -> None:
    of_a_run = sampler()
    drawn = Counter(of_a_run.batch(step)[0].target_language for step in range(600))
    assert drawn["fr"] / 600 == pytest.approx(200**0.5 / (200**0.5 + 50**0.5), abs=0.06)
    assert language_probabilities([100, 1], 0.0) == pytest.approx([0.5, 0.5])
    assert language_probabilities([99, 1], 1.0) == pytest.approx([0.99, 0.01])


def test_too_few_pairs_are_named_at_the_first_step_whatever_is_drawn() -> None:
    for step in range(8):
        with pytest.raises(
            ConfigError, match=r"trainer\.batch_size=64: a batch takes 64 pairs of 'de'.*only 40"
        ):
            sampler(batch_size=64).batch(step)
        with pytest.raises(ConfigError, match=r"takes 64 pairs of 'de' over all ranks"):
            sampler(batch_size=16).batch(step, rank=1, ranks=4)


def test_keys_ignore_case_and_punctuation() -> None:
    assert text_key("Save changes!") == text_key("save changes")
    assert text_key("Save changes") != text_key("Save change")
    assert 0 <= text_key("x") < np.iinfo(np.int64).max
