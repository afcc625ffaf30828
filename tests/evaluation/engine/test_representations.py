from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_backbone

from xalign.config.choices import Pooling
from xalign.data.collate import Tokens, tokenize
from xalign.evaluation.engine.representations import Picture, batches, choose_points, projected, represent
from xalign.models.backbone import computing_in

TEXTS = ["one", "two words", "", "ein längerer Satz als die anderen", "one", "ไทย", "two words"]


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_equals_one_text_at_a_time_in_order(pooling: Pooling, batch_tokens: int) -> None:
    backbone = tiny_backbone("llama")
    got = represent(backbone, TEXTS, pooling, max_length=16, batch_tokens=batch_tokens)
    assert got.shape == (len(TEXTS), backbone.depth + 1, 32)
    assert got.dtype == torch.float32
    for text, vector in zip(TEXTS, got, strict=True):
        alone = backbone.represent_all_layers(tokenize(backbone.tokenizer, [text], 16), pooling)[0]
        torch.testing.assert_close(vector, alone, atol=1e-5, rtol=1e-5)


def test_several_poolings_in_one_pass_equal_each_by_itself() -> None:
    backbone = tiny_backbone("llama")
    both = represent(backbone, TEXTS, Pooling.last, Pooling.mean, max_length=16, batch_tokens=40)
    for got, pooling in zip(both, (Pooling.last, Pooling.mean), strict=True):
        assert torch.equal(got, represent(backbone, TEXTS, pooling, max_length=16, batch_tokens=40))


def test_a_text_is_run_once_however_often_it_occurs(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")
    rows: list[int] = []
    run = backbone.represent_all_layers

    def counted(tokens: Tokens, *poolings: Pooling) -> torch.Tensor:
        rows.append(len(tokens.input_ids))
        return run(tokens, *poolings)

    monkeypatch.setattr(backbone, "represent_all_layers", counted)
    done: list[int] = []
    represent(backbone, TEXTS, Pooling.mean, max_length=16, batch_tokens=64, advance=done.append)
    assert sum(rows) == sum(done) == len(set(TEXTS))


def test_batches_hold_everything_once_within_the_budget() -> None:
    lengths = [*np.random.default_rng(0).integers(1, 60, 200).tolist(), 500]
    groups = batches(lengths, 128)
    assert sorted(i for group in groups for i in group) == list(range(201))
    assert all(len(g) * max(lengths[i] for i in g) <= 128 for g in groups if len(g) > 1)
    assert len(groups) < 1.3 * sum(lengths) / 128 + 2


def test_arithmetic_is_restored() -> None:
    backbone = tiny_backbone("llama")
    with computing_in(backbone, torch.bfloat16):
        assert backbone.compute_dtype == torch.bfloat16
    assert backbone.compute_dtype == torch.float32


def test_points_cover_most_languages_first_and_number_translations_alike() -> None:
    pairs = {
        "de": [("a", "a-de"), ("b", "b-de"), ("c", "c-de")],
        "fr": [("d", "d-fr"), ("c", "c-fr"), ("b", "b-fr")],
    }
    points = choose_points(pairs, "en", 6)
    assert points == [
        (0, "en", "b"), (0, "de", "b-de"), (0, "fr", "b-fr"),
        (1, "en", "c"), (1, "de", "c-de"), (1, "fr", "c-fr"),
    ]  # fmt: skip
    # With no sentence in both, the languages take turns.
    apart = {"de": [(f"x{i}", f"{i}") for i in range(9)], "fr": [(f"y{i}", f"{i}") for i in range(9)]}
    assert [p[1] for p in choose_points(apart, "en", 8)] == ["en", "de", "en", "fr"] * 2


def test_picture_survives_float16_and_the_disk(tmp_path: Path) -> None:
    points = [(0, "en", "a"), (0, "de", "ä")]
    huge = torch.tensor([[3e6, -4e6], [1.0, 2e5]])
    picture = projected(points, huge)
    assert np.isfinite(picture.vectors).all()
    np.testing.assert_allclose(picture.vectors[0, 1] / picture.vectors[0, 0], -4 / 3, rtol=1e-3)
    picture.write(tmp_path / "picture.npz")
    read = Picture.read(tmp_path / "picture.npz")
    np.testing.assert_array_equal(read.vectors, picture.vectors)
    assert (read.languages, read.sentences, read.texts) == (["en", "de"], [0, 0], ["a", "ä"])
    assert [p.name for p in tmp_path.iterdir()] == ["picture.npz"]
