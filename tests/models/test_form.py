"""Decoders that compute other things than the backbone takes for granted are refused when they are loaded."""

from typing import Any

import pytest
import torch
from tiny import FAMILIES, other, tiny_backbone
from torch.nn.functional import cross_entropy, linear

from xalign.base.errors import ModelError
from xalign.data.collate import Tokens
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone, evaluating
from xalign.models.form import require_known_form
from xalign.models.head import HeadForm, own_logits
from xalign.objectives.passes import Pass

MIXTURE: dict[str, Any] = {
    "num_key_value_heads": 4, "head_dim": 8, "moe_intermediate_size": 16, "n_routed_experts": 4,
    "q_lora_rank": 16, "num_experts_per_tok": 2, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 8,
    "index_n_heads": 2, "index_head_dim": 16, "n_group": 1, "topk_group": 1,
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_known_families(family: str) -> None:
    require_known_form(tiny_backbone(family), "m")


def test_a_small_vocabulary_and_few_positions() -> None:
    require_known_form(tiny_backbone("gpt2", vocab_size=40, n_positions=16), "m")


@pytest.mark.parametrize(
    ("family", "changes", "scale", "softcap"),
    [
        ("granite", {"logits_scaling": 8.0}, 1 / 8, None),
        ("cohere", {"logit_scale": 0.25}, 0.25, None),
        ("nanochat", {}, 1.0, 15.0),  # its norm also stands before the first block
        ("minicpm3", {"num_key_value_heads": 4, "dim_model_base": 8}, 1 / 4, None),
    ],
)
def test_scaled_and_bounded_logits(
    family: str, changes: dict[str, Any], scale: float, softcap: float | None
) -> None:
    backbone = other(family, **changes)
    require_known_form(backbone, "m")
    assert backbone.head_form == HeadForm(scale, softcap)
    hidden_SD = torch.randn(9, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets_S = torch.arange(9)
    loss = Pass(backbone, None, 0, 0).cross_entropy(hidden_SD, targets_S)
    wanted = cross_entropy(
        own_logits(backbone.model, backbone.decoder_name, hidden_SD), targets_S, reduction="sum"
    )
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(value, hidden_SD)[0] for value in (loss, wanted)))


def test_a_head_of_more_than_a_product_is_run_as_the_model_runs_it() -> None:
    backbone = other("modernbert-decoder", global_attn_every_n_layers=2)
    require_known_form(backbone, "m")
    assert backbone.head_form is None
    assert backbone.plain_head() is None
    assert not any(name.startswith("lm_head") for name in backbone.beside_text())


def test_streams_of_hidden_states_are_averaged() -> None:
    backbone = other("hy_v4", **MIXTURE, hc_mult=3)
    require_known_form(backbone, "m")
    ids_BT = backbone.probe_ids(2, 8)
    ones_BT = torch.ones_like(ids_BT)
    with evaluating(backbone):
        streams = backbone.model(input_ids=ids_BT, output_hidden_states=True).hidden_states[1]
        found_BTD = backbone.hidden_states(Tokens(ids_BT, ones_BT, ones_BT), 1)
    assert streams.shape == (2, 8, 3, 32)
    torch.testing.assert_close(found_BTD, streams.mean(2))


def test_lists_that_begin_after_the_first_block() -> None:
    backbone = other("mamba", state_size=4, time_step_rank=2)
    require_known_form(backbone, "m")
    ids_BT = backbone.probe_ids(2, 8)
    ones_BT = torch.ones_like(ids_BT)
    with evaluating(backbone):
        embedded_BTD = backbone.model.get_input_embeddings()(ids_BT)
        assert torch.equal(backbone.hidden_states(Tokens(ids_BT, ones_BT, ones_BT), 0), embedded_BTD)


def test_blocks_that_run_several_times_are_refused() -> None:
    looped = {"n_input_layers": 1, "n_recurrent_layers": 1, "n_output_layers": 0, "n_recurrent_loops": 3}
    with pytest.raises(
        ModelError, match=r"^m: DoryForCausalLM runs 4 blocks for a text where it has 2: some run"
    ):
        require_known_form(other("dory", **looped), "m")


def test_what_looks_ahead_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^m: BertGenerationDecoder looks ahead"):
        require_known_form(other("bert-generation"), "m")


def test_other_formulas_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")
    monkeypatch.setattr(Backbone, "head", lambda own, hidden_SD: 1.1 * linear(hidden_SD, *own.plain_head()))
    message = (
        "^m: .* is not of a form that xalign knows: the logits would differ from the model's own by 0.1 "
    )
    with pytest.raises(ModelError, match=message):
        require_known_form(backbone, "m")


def test_a_decoder_that_does_not_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")

    def refuse(**options: object) -> None:
        raise TypeError("unexpected\nargument")

    monkeypatch.setattr(backbone.model.get_decoder(), "forward", refuse)
    with pytest.raises(ModelError, match=r"m: LlamaForCausalLM cannot be run as .*: unexpected argument"):
        require_known_form(backbone, "m")


def test_routers_that_are_linear_layers_and_more_get_no_adapters() -> None:
    backbone = other("phimoe", num_local_experts=4, num_experts_per_tok=2)
    adapters.attach(backbone, Lora.Config(method="lora", r=4))
    require_known_form(backbone, "m")
    names = [name for name, p in backbone.model.named_parameters() if p.requires_grad]
    assert any("q_proj" in name for name in names)
    assert not any("router" in name for name in names)


def test_weights_that_kernels_take_get_no_adapters() -> None:
    backbone = other("mamba", state_size=4, time_step_rank=2)
    adapters.attach(backbone, Lora.Config(method="lora", r=4))
    names = [name for name, p in backbone.model.named_parameters() if p.requires_grad]
    assert any("in_proj" in name for name in names)
    assert not any("out_proj" in name or "dt_proj" in name for name in names)


def test_layers_that_share_their_weights_get_no_adapters() -> None:
    kinds = ["linear_attention", "linear_attention", "hybrid", "hybrid"]
    backbone = other(
        "zamba",
        num_hidden_layers=4,
        layers_block_type=kinds,
        num_key_value_heads=4,
        mamba_d_state=4,
        mamba_dt_rank=2,
    )
    adapters.attach(backbone, Lora.Config(method="lora", r=4))
    names = [name for name, p in backbone.model.named_parameters() if p.requires_grad]
    assert any("linear" in name for name in names)  # a hybrid's own, before its mixer
    assert not any("shared_transf" in name for name in names)
