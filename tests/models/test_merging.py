"""Adapters as models: merged when they are loaded, and the merged model computes what peft computes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, LoraModel, PeftModel, get_peft_model
from peft_adapters import change, logits, lora, other, plain, save, tiny_model, with_adapter
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from xalign.base.errors import ModelError
from xalign.config.schema import ModelConfig
from xalign.models import adapters, sources
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone
from xalign.models.export import export, require_exportable
from xalign.models.loading import load_model_and_tokenizer
from xalign.sources.hub import HubError, Kind, Listing, Reason


def loaded(folder: Path, **values: Any) -> Any:
    model, _ = load_model_and_tokenizer(ModelConfig(name="toy", path=str(folder), **values))
    return model


def message_of(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        loaded(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


KINDS: dict[str, dict[str, Any]] = {
    "all linear": {"target_modules": "all-linear"},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "pissa": {"init_lora_weights": "pissa"},
    "embeddings and head": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "a head of its own": {"modules_to_save": ["lm_head"]},
    "embeddings of its own": {"modules_to_save": ["embed_tokens", "lm_head"]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_the_merged_model_computes_what_peft_computes(kind: str, tied: bool, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", tie_word_embeddings=tied)
    mine = lora(tmp_path / "mine", base, **KINDS[kind])
    model = loaded(mine)
    torch.testing.assert_close(logits(model), with_adapter(base, mine), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits(model), logits(plain(base)), atol=0.1)
    ends = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (ends[0] is ends[1]) == model.config.tie_word_embeddings
    assert model.config.tie_word_embeddings == (tied and "head" not in kind and "embeddings" not in kind)
    assert all(type(module).__module__.partition(".")[0] != "peft" for module in model.modules())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "config",
    [
        IA3Config(target_modules=["k_proj"], feedforward_modules=[]),
        LoHaConfig(r=2, target_modules=["q_proj"]),
    ],
    ids=["IA3", "LOHA"],
)
def test_so_does_one_of_another_type(config: Any, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    mine = other(tmp_path / "mine", base, config)
    torch.testing.assert_close(logits(loaded(mine)), with_adapter(base, mine), atol=1e-4, rtol=1e-4)


def test_stacked_adapters_are_merged_in_order(tmp_path: Path) -> None:
    """Of DoRA's the order shows: it scales what is below it."""
    base = tiny_model(tmp_path / "base")
    first = lora(tmp_path / "first", base, target_modules=["q_proj", "o_proj"])
    merged: Any = PeftModel.from_pretrained(plain(base), str(first)).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    second = lora(tmp_path / "second", tmp_path / "merged", seed=2, named="../first", use_dora=True)
    wanted = with_adapter(tmp_path / "merged", second)
    torch.testing.assert_close(logits(loaded(second)), wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits(loaded(first)), wanted, atol=0.05)


@pytest.mark.parametrize("tied", [True, False])
def test_tokens_that_were_added_for_the_adapter_have_its_rows(tied: bool, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", tie_word_embeddings=tied)
    larger = plain(base)
    larger.resize_token_embeddings(270)
    peft = get_peft_model(larger, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"]))
    mine = save(peft, tmp_path / "mine", 1, str(base))
    wanted = logits(peft)
    tokenizer = load_model_and_tokenizer(ModelConfig(name="toy", path=str(base)))[1]
    tokenizer.add_tokens(["<mine>"])
    tokenizer.save_pretrained(mine)
    model, tokens = load_model_and_tokenizer(ModelConfig(name="toy", path=str(mine)))
    torch.testing.assert_close(logits(model), wanted, atol=1e-4, rtol=1e-4)
    assert tokens("<mine>")["input_ids"] == tokenizer("<mine>")["input_ids"]
    if tied:  # older files hold the embeddings alone
        stored = load_file(mine / "adapter_model.safetensors")
        del stored["base_model.model.lm_head.weight"]
        save_file(stored, mine / "adapter_model.safetensors")
        torch.testing.assert_close(logits(loaded(mine)), wanted, atol=1e-4, rtol=1e-4)


def test_what_is_exported_is_the_whole_merged_model_and_our_adapter_of_it(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    given = lora(tmp_path / "given", base, target_modules=["q_proj"])
    model, tokenizer = load_model_and_tokenizer(ModelConfig(name="toy", path=str(given)))
    backbone = Backbone(model, tokenizer)
    require_exportable(backbone)
    adapter = adapters.attach(backbone, Lora.Config(method="lora", r=2))
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    trained = logits(backbone.model)
    export(adapter, tmp_path / "out")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(whole), trained, atol=1e-4, rtol=1e-4)
    own = tmp_path / "out" / "adapter"
    assert json.loads((own / "adapter_config.json").read_text())["base_model_name_or_path"] == str(given)
    # Which is again an adapter as a model.
    torch.testing.assert_close(logits(loaded(own)), trained, atol=1e-4, rtol=1e-4)


def test_the_base_of_an_adapter_is_stated_from_wherever_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    assert loaded(Path("base")).name_or_path == str(tmp_path / "base")


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    mine = lora(tmp_path / "mine", base)
    for changes, said in (({"num_hidden_layers": 2}, "is of another model: it has more: 4 weights"),
                          ({"num_hidden_layers": 5}, "is of another model: it lacks 2 weights"),
                          ({"hidden_size": 64}, "cannot be merged: ")):  # fmt: skip
        wrong = tiny_model(tmp_path / f"wrong{len(said)}", **changes)
        change(mine, base_model_name_or_path=str(wrong))
        message = message_of(mine)
        assert message.startswith(f"model.path={mine}: the adapter in {mine} {said}")


def test_an_adapter_for_another_task_is_refused(tmp_path: Path) -> None:
    mine = lora(tmp_path / "mine", tiny_model(tmp_path / "base"))
    change(mine, task_type="SEQ_CLS")
    assert "is for another task: task_type=SEQ_CLS" in message_of(mine)


@pytest.mark.parametrize("values", [{"peft_type": "NEW"}, {"target_modules": 3}, {"r": "many"}])
def test_values_that_make_no_adapter_are_one_message(values: dict[str, Any], tmp_path: Path) -> None:
    mine = lora(tmp_path / "mine", tiny_model(tmp_path / "base"))
    change(mine, **values)
    assert f"the adapter in {mine} cannot be merged: " in message_of(mine)


def test_damaged_weights_are_one_message(tmp_path: Path) -> None:
    mine = lora(tmp_path / "mine", tiny_model(tmp_path / "base"))
    (mine / "adapter_model.safetensors").write_bytes(b"12345678")
    assert f"the adapter in {mine} cannot be merged: " in message_of(mine)


def test_a_base_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    mine = lora(tmp_path / "mine", base)
    (base / "model.safetensors").unlink()
    message = message_of(mine)
    assert message.startswith(f"model.path={mine}: a peft adapter, whose base cannot be loaded: ")
    assert f"{base}: the model cannot be loaded" in message


def test_merging_that_changes_the_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = lora(tmp_path / "mine", tiny_model(tmp_path / "base"))
    whole = LoraModel.merge_and_unload

    def wrongly(self: Any) -> Any:
        model: Any = whole(self)
        model.model.norm.weight.data *= 1.01
        return model

    monkeypatch.setattr(LoraModel, "merge_and_unload", wrongly)
    assert "changes the logits by 0.01 of their size when it is merged" in message_of(mine)


def test_pickled_weights_are_read_as_weights_only(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")
    mine = lora(tmp_path / "mine", base)
    wanted = with_adapter(base, mine)
    torch.save(load_file(mine / "adapter_model.safetensors"), mine / "adapter_model.bin")
    (mine / "adapter_model.safetensors").unlink()
    torch.testing.assert_close(logits(loaded(mine)), wanted, atol=1e-4, rtol=1e-4)
    torch.save(print, mine / "adapter_model.bin")
    assert "cannot be merged: " in message_of(mine)


def test_an_adapter_on_the_hub_is_fetched_with_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit is the model's, that of its base another; `tests/hub` has the client."""
    base = tiny_model(tmp_path / "base")
    mine = lora(tmp_path / "mine", base, named="../base")
    outer = lora(tmp_path / "outer", base, seed=2, named="someone/mine")
    there = {("someone/mine", None): mine, ("someone/outer", "abc"): outer}

    def look_up(kind: Kind, name: str, revision: str | None) -> Listing:
        if (name, revision) not in there:
            raise HubError(Reason.absent, "not there")
        return Listing(name, {path.name: 1 for path in there[name, revision].iterdir()})

    def fetch(kind: Kind, name: str, listing: Listing, files: list[str]) -> Path:
        assert "adapter_model.safetensors" in files
        return next(folder for (own, _), folder in there.items() if own == name)

    monkeypatch.setattr(sources, "look_up", look_up)
    monkeypatch.setattr(sources, "fetch", fetch)
    model, _ = load_model_and_tokenizer(ModelConfig(name="toy", path="someone/outer", revision="abc"))
    assert model.name_or_path == "someone/outer"
    merged: Any = PeftModel.from_pretrained(plain(base), str(mine)).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(model), with_adapter(tmp_path / "merged", outer), atol=1e-4, rtol=1e-4)


def test_a_base_on_the_hub_is_at_the_commit_that_is_given(tmp_path: Path) -> None:
    mine = lora(tmp_path / "mine", tiny_model(tmp_path / "base"), named="someone/base")
    change(mine, revision="old")
    for given, wanted in ((None, "old"), ("new", "new")):
        config = ModelConfig(name="toy", path=str(mine), base_revision=given)
        stack = sources.adapters_at(config)
        assert stack is not None
        found = sources.base_of(config, stack)
        assert (found.path, found.revision) == ("someone/base", wanted)
