"""Embedding tables whose gradients leave out the rows that no token touched."""

from collections.abc import Iterator

import pytest
import torch
from tiny import FAMILIES, tiny_backbone

from xalign.models.sparse_embeddings import use_sparse_embedding_gradients


@pytest.fixture
def _in_float64() -> Iterator[None]:
    # XGLM makes the mask's smallest number in the default type.
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_in_float64")
@pytest.mark.parametrize("family", FAMILIES)
def test_sparse_embedding_gradients_equal_dense_ones(family: str) -> None:
    """Through the decoder alone (sparse) and with a trained head, tied or not, on top."""
    tokens = torch.tensor([[5, 9, 9, 0], [5, 7, 30, 2]])
    for tied in (False, True):
        plain = tiny_backbone(family, tie_word_embeddings=tied).model
        sparse = tiny_backbone(family, tie_word_embeddings=tied).model
        assert use_sparse_embedding_gradients(sparse)
        for with_head in (False, True):
            for model in (plain, sparse):
                model.zero_grad()
                result = model(tokens).logits if with_head else model.get_decoder()(tokens).last_hidden_state
                result.pow(2).mean().backward()
            table = sparse.get_input_embeddings().weight
            # gpt_neo, gpt_neox, ...: whether the head is tied is for each family to say.
            shared = table is sparse.get_output_embeddings().weight
            assert table.grad.is_sparse is not (with_head and shared)
            found = {n: p.grad for n, p in sparse.named_parameters() if p.grad is not None}
            expected = {n: p.grad for n, p in plain.named_parameters() if p.grad is not None}
            assert found.keys() == expected.keys()
            for name, gradient in expected.items():
                torch.testing.assert_close(found[name].to_dense(), gradient, rtol=1e-12, atol=1e-14)


def test_frozen_embeddings_have_no_sparse_gradients() -> None:
    model = tiny_backbone("llama").model
    model.get_input_embeddings().requires_grad_(False)
    assert not use_sparse_embedding_gradients(model)
