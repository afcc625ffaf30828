"""What objectives begin with: whose vectors they are, and that all ranks and resumptions have the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone
from torch import Tensor
from training_helpers import small_config, small_corpus

from xalign.config.choices import Pooling
from xalign.data.collate import tokenize
from xalign.data.sampling import sampler_of, text_of
from xalign.models.backbone import Backbone, evaluating
from xalign.objectives.base import Needs
from xalign.training.beginnings import read_vectors, vectors_before, write_vectors

NONE = Needs(2, tokens=1)
WANTED = replace(NONE, begins_with=5)
LENGTH = 64


def found(backbone: Backbone, *needs: Needs, seed: int = 0) -> dict[str, Tensor]:
    pairs = sampler_of(small_config(f"seed={seed}"), small_corpus())
    return vectors_before(backbone, pairs, needs, LENGTH)


def test_they_are_of_translations_in_the_training_text_at_every_layer() -> None:
    backbone, corpus = tiny_backbone("llama"), small_corpus()
    pairs = sampler_of(small_config(), corpus)
    vectors = found(backbone, NONE, WANTED)
    assert list(vectors) == list(pairs.targets)
    for language, both in vectors.items():
        assert both.shape == (2, 5, backbone.depth + 1, backbone.width)
        rows = [int(row) for row in pairs.rows[language]]
        for layer in (0, backbone.depth):
            known = []
            for code in (pairs.pivot, language):
                texts = [text_of(corpus, code, row) for row in rows]
                with evaluating(backbone):
                    tokens = tokenize(backbone.tokenizer, texts, LENGTH)
                    known.append(backbone.represent(tokens, layer, Pooling.mean))
            nearest = [
                torch.cdist(side[:, layer], own).argmin(1) for side, own in zip(both, known, strict=True)
            ]
            for side, own, row in zip(both, known, nearest, strict=True):
                assert torch.allclose(side[:, layer], own[row], atol=1e-5)
            if layer:
                assert torch.equal(*nearest)


def test_they_are_the_same_whenever_they_are_asked_for_and_of_the_seed() -> None:
    backbone = tiny_backbone("llama").train()
    first, again, other = found(backbone, WANTED), found(backbone, WANTED), found(backbone, WANTED, seed=1)
    assert backbone.training
    for language, both in first.items():
        assert torch.equal(again[language], both)
        assert not torch.equal(other[language], both)


@pytest.mark.parametrize("needs", [[NONE], [WANTED]])
def test_ranks_read_the_bits_that_the_first_process_found(needs: list[Needs], tmp_path: Path) -> None:
    vectors = found(tiny_backbone("llama"), *needs)
    assert bool(vectors) == bool(needs[0].begins_with)
    write_vectors(tmp_path, vectors)
    read = read_vectors(tmp_path)
    assert read.keys() == vectors.keys()
    assert all(torch.equal(read[language], both) for language, both in vectors.items())


def test_of_fewer_pairs_all_are_taken_and_of_several_objectives_the_most() -> None:
    backbone = tiny_backbone("llama")
    pairs = sampler_of(small_config(), small_corpus())
    vectors = found(backbone, WANTED, replace(NONE, begins_with=10_000))
    assert {code: both.shape[1] for code, both in vectors.items()} == {
        code: len(pairs.rows[code]) for code in pairs.targets
    }
