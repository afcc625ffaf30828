import pytest
import torch
from tiny import FAMILIES, tiny_backbone

from xalign.base.errors import ModelError
from xalign.config.choices import Pooling
from xalign.data.collate import Tokens, tokenize
from xalign.models.backbone import Backbone, computing_in, evaluating

TEXTS = ["Save the changes", "เปิด", "A much longer sentence than the other two, by far", "é"]


def left_padded(tokens: Tokens, filler: int) -> Tokens:
    ids, mask, content = (
        torch.zeros_like(t) for t in (tokens.input_ids, tokens.attention_mask, tokens.content_mask)
    )
    ids.fill_(filler)
    for i, length in enumerate(tokens.attention_mask.sum(1).tolist()):
        ids[i, -length:] = tokens.input_ids[i, :length]
        mask[i, -length:] = 1
        content[i, -length:] = tokens.content_mask[i, :length]
    return Tokens(ids, mask, content)


def hidden_states(backbone: Backbone, text: str) -> list[torch.Tensor]:
    """Reference: one unpadded sentence through the whole model, Hugging Face's own hidden states."""
    tokens = tokenize(backbone.tokenizer, [text], 64)
    return list(backbone.model(input_ids=tokens.input_ids, output_hidden_states=True).hidden_states)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("padding", ["right", "left"])
def test_represent_equals_hidden_states_at_every_layer(family: str, padding: str) -> None:
    backbone = tiny_backbone(family)
    tokens = tokenize(backbone.tokenizer, TEXTS, 64)
    if padding == "left":
        tokens = left_padded(tokens, backbone.tokenizer.pad_token_id)
    with evaluating(backbone):
        everything = backbone.represent_all_layers(tokens, Pooling.mean)
        for layer in range(backbone.depth + 1):
            for pooling in Pooling:
                got = backbone.represent(tokens, layer, pooling)
                for row, text in enumerate(TEXTS):
                    # Without the leading special token, by hand.
                    states = hidden_states(backbone, text)[layer][0, 1:].double()
                    weights = torch.arange(1, len(states) + 1, dtype=torch.float64)
                    expected = {
                        Pooling.mean: states.mean(0),
                        Pooling.last: states[-1],
                        Pooling.weighted_mean: (weights[:, None] * states).sum(0) / weights.sum(),
                    }[pooling]
                    torch.testing.assert_close(got[row].double(), expected, atol=2e-4, rtol=2e-4)
            torch.testing.assert_close(
                everything[:, layer], backbone.represent(tokens, layer, Pooling.mean), atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize("family", FAMILIES)
def test_supervised_logits_equal_the_full_model(family: str) -> None:
    backbone = tiny_backbone(family)
    tokens = tokenize(backbone.tokenizer, TEXTS, 64)
    labels = torch.where(tokens.content_mask.bool(), tokens.input_ids, -100)
    labels[:, :3] = -100
    supervised = Tokens(tokens.input_ids, tokens.attention_mask, tokens.content_mask, labels)
    with evaluating(backbone):
        predicts = supervised.predicts
        logits = backbone.head(backbone.hidden_states(supervised, backbone.depth)[predicts])
        targets = supervised.labels_after(predicts)
        full = backbone.model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).logits
    chosen = labels[:, 1:] != -100
    torch.testing.assert_close(logits, full[:, :-1][chosen], atol=1e-4, rtol=1e-4)
    assert torch.equal(targets, labels[:, 1:][chosen])


@pytest.mark.parametrize("family", ["xglm", "bloom", "llama", "gemma3_text"])
def test_blocks_above_the_layer_do_not_run_and_get_no_gradient(family: str) -> None:
    backbone = tiny_backbone(family)
    blocks = getattr(backbone.model.get_decoder(), backbone.blocks_name)
    ran = []
    for index, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    tokens = tokenize(backbone.tokenizer, TEXTS, 64)
    backbone.represent(tokens, 2, Pooling.mean).square().sum().backward()
    assert ran == [0, 1]
    assert all(any(p.grad is not None and p.grad.any() for p in b.parameters()) for b in blocks[:2])
    assert all(p.grad is None for b in blocks[2:] for p in b.parameters())


def test_layer_beyond_depth_is_named() -> None:
    backbone = tiny_backbone("llama")
    with pytest.raises(ModelError, match=r"loss\.layer=5: the model has layers 0 to 4"):
        backbone.represent(tokenize(backbone.tokenizer, TEXTS, 64), 5, Pooling.mean)


def test_bf16_arithmetic_stays_close_and_pools_in_float32() -> None:
    backbone = tiny_backbone("llama")
    tokens = tokenize(backbone.tokenizer, TEXTS, 64)
    with evaluating(backbone):
        exact = backbone.represent(tokens, 2, Pooling.mean)
        backbone.compute_dtype = torch.bfloat16
        rough = backbone.represent(tokens, 2, Pooling.mean)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() / exact.norm() < 0.05


def test_a_frozen_head_is_rounded_once_and_anew_when_it_changes() -> None:
    backbone = tiny_backbone("llama").requires_grad_(False)
    hidden = torch.randn(7, 32, generator=torch.Generator().manual_seed(0))
    exact = backbone.head(hidden)
    with computing_in(backbone, torch.bfloat16):
        once, first = backbone.head(hidden), backbone.plain_head()
        second = backbone.plain_head()
        assert first is not None
        assert second is not None
        assert first[0].data_ptr() == second[0].data_ptr()
        with torch.autocast("cpu", torch.bfloat16):
            anew = backbone.model.get_output_embeddings()(hidden)
        assert torch.equal(once, anew)
        assert not torch.equal(once, exact)
        with torch.no_grad():
            backbone.model.get_output_embeddings().weight.mul_(2)
        assert torch.equal(backbone.head(hidden), once * 2)
    with torch.no_grad():
        backbone.model.get_output_embeddings().weight.div_(2)
    torch.testing.assert_close(exact, backbone.head(hidden))
