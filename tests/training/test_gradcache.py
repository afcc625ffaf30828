"""GradCache at any chunk size is one large batch: loss and every parameter's gradient, in float64."""

from collections.abc import Callable

import pytest
import torch
from tiny import tiny_backbone
from torch import Tensor, nn

from xalign.base.errors import ModelError
from xalign.config.choices import Centering, Pooling
from xalign.data.collate import Tokens, tokenize
from xalign.models.backbone import Backbone
from xalign.objectives.kernels.info_nce import info_nce
from xalign.training.gradcache import cached_backward

TEXTS = [f"{'word ' * (1 + k % 4)}number {k}, {k * k}." for k in range(14)]
PAIRS = len(TEXTS) // 2
LAYER = 2


def loss_of(vectors: Tensor) -> tuple[Tensor, int]:
    source, target = vectors.chunk(2)
    loss, hits = info_nce(
        source,
        target,
        groups_N=torch.arange(PAIRS) % 2,
        source_keys_N=torch.arange(PAIRS),
        target_keys_N=torch.tensor([0, 1, 2, 3, 4, 5, 5]),
        tau=0.1,
        symmetric=True,
        centering=Centering.language,
    )
    return loss / PAIRS, int(hits)


def gradients(backbone: Backbone) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in backbone.named_parameters() if p.grad is not None}
    backbone.zero_grad()
    return found


def rows(tokens: Tokens, start: int, stop: int) -> Tokens:
    return Tokens(
        tokens.input_ids[start:stop], tokens.attention_mask[start:stop], tokens.content_mask[start:stop]
    )


def in_chunks(backbone: Backbone, size: int) -> list[Tokens]:
    tokens = tokenize(backbone.tokenizer, TEXTS, 64)
    return [rows(tokens, k, k + size) for k in range(0, len(TEXTS), size)]


def representer(backbone: Backbone) -> Callable[[Tokens], Tensor]:
    return lambda tokens: backbone.represent(tokens, LAYER, Pooling.mean).double()


def one_graph(backbone: Backbone, chunks: list[Tokens]) -> tuple[Tensor, int]:
    """The plain way: the graph of all chunks at once."""
    loss, hits = loss_of(torch.cat([representer(backbone)(chunk) for chunk in chunks]))
    loss.backward()
    return loss.detach(), hits


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert sum(bool(g.any()) for g in expected.values()) > 10
    for name, gradient in expected.items():
        # The absolute part is for biases that centring takes away again: theirs is rounding alone.
        tolerance = 1e-9 * float(gradient.norm()) + 1e-12
        assert float((found[name] - gradient).norm()) < tolerance, name


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("size", [1, 3, 7, len(TEXTS)])
def test_any_chunk_size_equals_one_large_batch(family: str, size: int) -> None:
    backbone = tiny_backbone(family).double()
    loss, hits = one_graph(backbone, in_chunks(backbone, len(TEXTS)))
    expected = gradients(backbone)
    found, found_hits = cached_backward(in_chunks(backbone, size), representer(backbone), loss_of)
    assert float(found) == pytest.approx(float(loss), rel=1e-9)
    assert not found.requires_grad
    assert found_hits == hits
    assert_equal(gradients(backbone), expected)


@pytest.mark.parametrize("changes", [("gpt2", "resid_pdrop"), ("llama", "attention_dropout")])
@pytest.mark.parametrize("size", [1, 3, 7, len(TEXTS)])
def test_dropout_repeats(changes: tuple[str, str], size: int) -> None:
    """Against the graph of the same chunks, because a larger batch draws other masks."""
    family, option = changes
    backbone = tiny_backbone(family, **{option: 0.3}).double().train()
    torch.manual_seed(1)
    loss, _ = one_graph(backbone, in_chunks(backbone, size))
    following = torch.rand(3)
    expected = gradients(backbone)
    torch.manual_seed(1)
    found, _ = cached_backward(in_chunks(backbone, size), representer(backbone), loss_of)
    assert torch.equal(torch.rand(3), following), "what comes after must not depend on the chunks"
    assert float(found) == pytest.approx(float(loss), rel=1e-9)
    assert_equal(gradients(backbone), expected)
    backbone.eval()
    assert float(one_graph(backbone, in_chunks(backbone, size))[0]) != pytest.approx(float(loss), rel=1e-3)


def test_gradients_add_to_those_there() -> None:
    backbone = tiny_backbone("llama").double()
    chunks = in_chunks(backbone, 5)
    cached_backward(chunks, representer(backbone), loss_of)
    once = {name: p.grad.clone() for name, p in backbone.named_parameters() if p.grad is not None}
    cached_backward(chunks, representer(backbone), loss_of)
    assert_equal(gradients(backbone), {name: 2 * g for name, g in once.items()})


def test_each_chunk_but_the_last_runs_twice_and_only_one_keeps_a_graph() -> None:
    layer = nn.Linear(2, 3)
    seen: list[tuple[int, bool]] = []

    def represent(chunk: Tensor) -> Tensor:
        vectors = layer(chunk)
        seen.append((int(chunk[0, 0]), vectors.requires_grad))
        return vectors

    chunks = [torch.full((2, 2), float(k)) for k in range(3)]
    cached_backward(chunks, represent, lambda vectors: (vectors.square().sum(), None))
    assert seen == [(0, False), (1, False), (2, True), (0, True), (1, True)]
    seen.clear()
    cached_backward(chunks[:1], represent, lambda vectors: (vectors.square().sum(), None))
    assert seen == [(0, True)]


def test_vectors_that_nothing_trains_are_refused() -> None:
    backbone = tiny_backbone("llama").double().requires_grad_(False)
    with pytest.raises(ModelError, match="no trained parameter"):
        cached_backward(in_chunks(backbone, 5), representer(backbone), loss_of)
