"""What a step offers to objectives: transformed where it is trained on, the same on any number of ranks,
tokens from the cache where nothing changed."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from training_helpers import PADDED, small_config, small_corpus

from xalign.config.schema import Config
from xalign.data import step, token_cache
from xalign.data.collate import encode
from xalign.data.instructions import load_instructions
from xalign.data.sampling import sampler_of
from xalign.data.step import Material, StepData
from xalign.data.token_cache import token_table
from xalign.data.transforms.chain import chain_of
from xalign.models.byte_tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()
BOTH = "transforms=[code_switch,word_dropout]"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))


def material_of(config: Config, **options: Any) -> Material:
    corpus = small_corpus()
    return Material(
        TOKENIZER,
        sampler_of(config, corpus),
        config.seed,
        config.trainer.max_length,
        instructions=load_instructions(config.instructions, config.languages, corpus, config.seed),
        transforms=chain_of(config, corpus),
        **options,
    )


def data_of(config: Config, number: int = 0, rank: int = 0, ranks: int = 1, **options: Any) -> StepData:
    return StepData(material_of(config, **options), PADDED, number, rank, ranks)


def test_the_ranks_batches_together_are_the_one_of_one_rank() -> None:
    whole = data_of(small_config(BOTH, "trainer.batch_size=16"), 3)
    parts = [data_of(small_config(BOTH, "trainer.batch_size=8"), 3, rank, 2) for rank in (0, 1)]
    assert whole.pairs != whole.global_pairs
    for language in ("fr", "de"):
        ours = [pair for part in parts for pair in part.pairs if pair.target_language == language]
        assert ours == [pair for pair in whole.pairs if pair.target_language == language]
    found = [sample for part in parts for sample in part.instructions(5)]
    assert found == whole.instructions(10)
    untouched = small_config("trainer.batch_size=16")
    assert found != data_of(untouched, 3).instructions(10)


def test_every_step_is_transformed_anew_and_again_alike() -> None:
    config = small_config("data.transforms.word_dropout.probability=0.3")
    first, again = (data_of(config, 2).pairs for _ in range(2))
    assert first == again
    pairs = data_of(config, 0).global_pairs
    chain = chain_of(config, small_corpus())
    changed = [chain.pairs(pairs, range(len(pairs)), number) for number in range(4)]
    assert all(a != b for a, b in pairwise(changed))


def test_only_what_transforms_change_is_tokenised(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config("data.transforms.word_dropout.probability=0.1")
    tokens = token_table(TOKENIZER, small_corpus(), ["en", "fr", "de"], config.trainer.max_length)
    made: list[str] = []

    def watched(tokenizer: Any, texts: list[str], max_length: int) -> list[list[int]]:
        made.extend(texts)
        return encode(tokenizer, texts, max_length)

    monkeypatch.setattr(token_cache, "encode", watched)
    monkeypatch.setattr(step, "encode", watched)
    data = data_of(config, tokens=tokens)
    pairs, whole = data.pairs, data.global_pairs
    texts = [pair.source for pair in pairs] + [pair.target for pair in pairs]
    before = [pair.source for pair in whole] + [pair.target for pair in whole]
    changed = [now for now, then in zip(texts, before, strict=True) if now != then]
    assert 0 < len(changed) < len(texts)
    found = data.sentence_ids(pairs)
    assert made == changed
    assert found == encode(TOKENIZER, texts, config.trainer.max_length)
    made.clear()
    data_of(small_config(), tokens=tokens).sentence_ids(whole)
    assert made == []


def test_what_is_no_training_batch_is_never_transformed() -> None:
    """The texts of retention: pairs of all ranks as the corpus has them, and the model's own."""
    config, own = small_config(BOTH), ["A text of the model's own", "And another one"]
    data, plain = data_of(config, own_texts=own), data_of(small_config(), own_texts=own)
    assert data.pairs != plain.pairs
    assert data.global_pairs == plain.global_pairs == plain.pairs
    assert data.own_texts == own
