"""Where no special token begins a text, its first token is no part of its vector: it is an attention sink."""

import pytest
import torch
from small_tokenizers import byte_level
from tiny import tiny_backbone

from xalign.config.choices import Pooling
from xalign.data.collate import Arrangement, arrange, encode
from xalign.models.backbone import Backbone, evaluating
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.models.tokenizer_check import begins_with_special

TEXTS = ["The house is big", "a", "Das Haus ist groß und der Garten", "x y"]


def backbone_without_special() -> Backbone:
    tokenizer = byte_level()
    return Backbone(tiny_backbone("llama", vocab_size=len(tokenizer)).model, tokenizer).eval()


def test_which_tokenizers_begin_texts_with_a_special_token() -> None:
    assert begins_with_special(byte_tokenizer())
    assert not begins_with_special(byte_level())


@pytest.mark.parametrize("packed", [True, False])
def test_the_first_token_is_left_out_where_there_are_others(packed: bool) -> None:
    backbone = backbone_without_special()
    assert backbone.leaves_out_first
    rows = encode(backbone.tokenizer, TEXTS, 32)
    assert min(map(len, rows)) == 1
    texts = arrange(backbone.tokenizer, rows, arrangement=Arrangement(packed=packed, widest=128))
    with evaluating(backbone):
        found = torch.cat([backbone.represent(tokens, 2, Pooling.mean) for tokens in texts.buckets])[
            texts.order
        ]
        for row, vector in zip(rows, found, strict=True):
            states = backbone.model(torch.tensor([row]), output_hidden_states=True).hidden_states[2][0]
            expected = states[1:].mean(0) if len(row) > 1 else states[0]
            assert torch.allclose(vector, expected, atol=1e-5)


def test_all_layers_and_some_layers_agree_with_one() -> None:
    backbone = backbone_without_special()
    texts = arrange(backbone.tokenizer, encode(backbone.tokenizer, TEXTS, 32), arrangement=Arrangement())
    (tokens, *_) = texts.buckets
    with evaluating(backbone):
        every = backbone.represent_all_layers(tokens, Pooling.weighted_mean)
        some = backbone.represent_layers(tokens, [0, 2, 4], Pooling.weighted_mean)
        for place, layer in enumerate((0, 2, 4)):
            one = backbone.represent(tokens, layer, Pooling.weighted_mean)
            assert torch.allclose(every[:, layer], one, atol=1e-5)
            assert torch.allclose(some[:, place], one, atol=1e-5)


def test_where_a_special_token_stands_before_it_nothing_is_left_out() -> None:
    backbone = tiny_backbone("llama")
    (tokens, *_) = arrange(
        backbone.tokenizer, encode(backbone.tokenizer, TEXTS, 32), arrangement=Arrangement()
    ).buckets
    assert not backbone.leaves_out_first
    assert torch.equal(backbone.represented(tokens), tokens.content_mask)
