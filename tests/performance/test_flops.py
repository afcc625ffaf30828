"""Operations by arithmetic against torch's own count of what runs.

What is left out is the one operation an element that masks and group means cost in the contrastive loss.
Attention is the eager one here: sdpa's own backward computes the scores again, 10 t^2 d instead of 8.
"""

import pytest
import torch
from tiny import FAMILIES, MIXTURES, tiny_backbone
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode
from training_helpers import small_config, small_module

from xalign.config.choices import Centering, Pooling
from xalign.data.collate import IGNORED, Arrangement, Buckets, Tokens, arrange
from xalign.data.step import Part
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.objectives.kernels import full_logits
from xalign.objectives.kernels.info_nce import info_nce
from xalign.performance.flops import Amount, Operations, amount_of, costs_of, operations

LAYER, LENGTH, PAIRS, POSITIONS = 2, 24, 8, 16
# torch counts a product that is added to something, but not one that is added in place.
IN_PLACE = {torch.ops.aten.addmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * b[1]}


def tokens(rows: int, answers: bool = False) -> Buckets:
    """Texts of one length: no padding, which would run without being needed."""
    ids = torch.randint(5, 250, (rows, LENGTH), generator=torch.Generator().manual_seed(0))
    labels = ids.clone() if answers else None
    if labels is not None:
        labels[:, :-6] = IGNORED
    made = Tokens(ids, torch.ones_like(ids), torch.ones_like(ids), labels)
    return Buckets((made,), torch.arange(rows))


def counted(forward, backward=Tensor.backward) -> Operations:  # type: ignore[no-untyped-def]
    """What torch counts while a loss is made and gone back from."""
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as before:
        loss = forward()
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as after:
        backward(loss)
    return Operations(before.get_total_flops(), after.get_total_flops())


OTHERS = [(f, m) for m in ("full", "full_frozen_embeddings") for f in ("xglm", "gpt2", "gemma3_text")]
CASES = [*((f, "full" if f in MIXTURES else "lora") for f in FAMILIES), *OTHERS]


@pytest.mark.parametrize(("family", "method"), CASES)
def test_operations_are_those_that_run(family: str, method: str) -> None:
    config = small_config(f"adapter={method}", f"trainer.retention_tokens={POSITIONS}")
    module = small_module(config, family, LAYER, attn_implementation="eager")
    backbone, reference = module.backbone, module.reference
    assert reference is not None
    sentences, samples, texts = tokens(2 * PAIRS), tokens(4, answers=True), tokens(3)
    keys = torch.arange(PAIRS)
    parts = {
        "contrastive": Part(sentences, 2, pairs=PAIRS),
        "instruction": Part(samples),
        "retention": Part(texts),
    }

    def contrastive() -> Tensor:
        source, target = backbone.represent(sentences.buckets[0], LAYER, Pooling.mean).chunk(2)
        loss, _ = info_nce(
            source, target, groups_N=keys % 2, source_keys_N=keys, target_keys_N=keys, tau=0.05,
            symmetric=True, centering=Centering.language,
        )  # fmt: skip
        return loss

    def instruction() -> Tensor:
        (own,) = samples.buckets
        assert own.labels is not None
        at = torch.zeros_like(own.labels, dtype=torch.bool)
        at[:, :-1] = own.labels[:, 1:] != IGNORED
        return cross_entropy(backbone.logits_at(own, at), own.labels[own.labels != IGNORED])

    def retention() -> Tensor:
        (own,) = texts.buckets
        at = torch.zeros(own.input_ids.shape, dtype=torch.bool)
        at.view(-1)[:POSITIONS] = True
        with reference.running() as former:
            before = former.logits_at(own, at)
        return full_logits.kl(before, backbone.logits_at(own, at))

    run = {"contrastive": contrastive, "instruction": instruction, "retention": retention}
    costs = costs_of(backbone)
    for name, part in parts.items():
        expected, found = (
            operations(costs, module.objectives[name].work(part), part),
            counted(run[name]),
        )
        assert expected.forward == pytest.approx(found.forward, rel=0.005), name
        assert expected.backward == pytest.approx(found.backward, rel=0.005), name


def test_amounts_are_without_padding_packed_or_not() -> None:
    rows = [[7] * length for length in (3, 9, 5, 5)]
    for packed in (False, True):
        made = arrange(byte_tokenizer(), rows, arrangement=Arrangement(packed=packed))
        assert amount_of(made) == Amount(tokens=22, pairs=9 + 81 + 25 + 25)


@pytest.mark.parametrize("family", MIXTURES)
def test_adapters_of_experts_count_for_those_that_a_token_is_sent_to(family: str) -> None:
    backbone = tiny_backbone(family)
    plain = costs_of(backbone).blocks[0]
    adapters.attach(backbone, Lora.Config(method="lora", r=4))
    width, inner, chosen, experts = 32, {"mixtral": 48, "qwen3_moe": 24}[family], 2, 4
    attention = 4 * (2 * (width + width) + 2 * (width + 16))
    router = 4 * (width + experts)
    # peft gives gate and up, which are one matrix, twice the rank.
    each = 8 * (width + 2 * inner) + 4 * (inner + width)
    assert costs_of(backbone).blocks[0].before == plain.forward
    assert costs_of(backbone).blocks[0].forward == plain.forward + 2 * (attention + router + chosen * each)


def test_adapted_embeddings_are_looked_up() -> None:
    backbone = tiny_backbone("llama")
    plain = costs_of(backbone)
    adapters.attach(backbone, Lora.Config(method="lora", target_modules=".*embed_tokens"))
    assert costs_of(backbone).outside.forward == plain.outside.forward == 0
