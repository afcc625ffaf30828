"""`adapter.path`: an adapter of somebody's goes on, as its own config says."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft_adapters import change, logits, lora, plain, tiny_model, with_adapter
from training_helpers import small_config

from xalign.base.errors import ConfigError
from xalign.cli.validation import resolve
from xalign.config.parts import AdaptedLayers
from xalign.config.schema import Config, ModelConfig
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone
from xalign.models.export import export
from xalign.models.loading import load_model_and_tokenizer
from xalign.options.plain import plain as plain_values
from xalign.performance.flops import costs_of

GIVEN: dict[str, Any] = {
    "r": 3,
    "lora_alpha": 5,
    "target_modules": ["q_proj", "down_proj"],
    "use_rslora": True,
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "base")


@pytest.fixture
def given(tmp_path: Path, base: Path) -> Path:
    return lora(tmp_path / "given", base, **GIVEN)


def backbone_of(base: Path) -> Backbone:
    return Backbone(*load_model_and_tokenizer(ModelConfig(name="toy", path=str(base)))).eval()


def config_of(given: Path, **options: Any) -> Lora.Config:
    values = {"r": 3, "alpha": 5, "target_modules": ["down_proj", "q_proj"], "use_rslora": True}
    return Lora.Config(method="lora", path=str(given), **{**values, **options})


def mistakes(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        small_config(*overrides, "adapter.r=16")
    (problem,) = caught.value.problems
    return str(problem)


OPTIONS: list[dict[str, Any]] = [
    GIVEN,
    {"use_dora": True},
    {"rank_pattern": {"q_proj": 2}},
    {"layers_to_transform": [1, 3]},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_it_begins_where_it_was_left(options: dict[str, Any], base: Path, tmp_path: Path) -> None:
    mine = lora(tmp_path / "mine", base, **options)
    config = small_config(f"adapter.path={mine}", f"model.path={base}", "adapter.r=16").adapter
    adapter = adapters.attach(backbone_of(base), config)
    wanted = with_adapter(base, mine)
    torch.testing.assert_close(logits(adapter.backbone.model), wanted, atol=1e-5, rtol=1e-5)
    names = [name for name, p in adapter.backbone.model.named_parameters() if p.requires_grad]
    assert names
    assert all("lora_" in name for name in names)
    theirs = PeftModel.from_pretrained(plain(base), str(mine))
    kept = [name for name, _ in theirs.named_parameters() if "lora_" in name]
    assert [f"base_model.model.{name}" for name in names] == kept


def test_the_model_before_training_is_the_one_with_it(base: Path, given: Path) -> None:
    wanted = with_adapter(base, given)
    backbone = backbone_of(base)
    adapter = adapters.attach(backbone, config_of(given))
    reference = adapter.reference()
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    with reference.running() as before:
        torch.testing.assert_close(logits(before.model), wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(backbone.model), wanted, atol=0.05)


def test_it_is_measured_with_it_before_training(base: Path, given: Path) -> None:
    backbone = backbone_of(base)
    former = dict(backbone.model.named_parameters())
    with adapters.as_begun(backbone, config_of(given), 0, layer=0):
        torch.testing.assert_close(logits(backbone.model), with_adapter(base, given), atol=1e-5, rtol=1e-5)
    after = dict(backbone.model.named_parameters())
    assert after.keys() == former.keys()
    assert all(after[name] is parameter for name, parameter in former.items())
    assert {type(m) for m in backbone.model.modules() if isinstance(m, torch.nn.Linear)} == {torch.nn.Linear}
    assert torch.equal(logits(backbone.model), logits(plain(base)))


def test_layers_say_which_of_it_is_trained_and_the_others_stay_in_it(base: Path, given: Path) -> None:
    backbone = backbone_of(base)
    adapters.attach(backbone, config_of(given, layers=AdaptedLayers.below), layer=1)
    names = [name for name, p in backbone.model.named_parameters() if p.requires_grad]
    assert names
    assert all(".layers.0." in name for name in names)
    torch.testing.assert_close(logits(backbone.model), with_adapter(base, given), atol=1e-5, rtol=1e-5)
    every = backbone_of(base)
    adapters.attach(every, config_of(given))
    assert costs_of(backbone).up_to(4).backward < costs_of(every).up_to(4).backward
    assert costs_of(backbone).up_to(4).forward == costs_of(every).up_to(4).forward


def test_what_is_exported_is_the_merged_model_and_the_adapter_of_the_same_base(
    base: Path, given: Path, tmp_path: Path
) -> None:
    backbone = backbone_of(base)
    adapter = adapters.attach(backbone, config_of(given))
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    wanted = logits(backbone.model)
    export(adapter, tmp_path / "out")
    own = tmp_path / "out/adapter"
    torch.testing.assert_close(logits(plain(tmp_path / "out")), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(with_adapter(base, own), wanted, atol=1e-4, rtol=1e-4)
    written = json.loads((own / "adapter_config.json").read_text())
    assert (written["r"], written["lora_alpha"], written["use_rslora"]) == (3, 5, True)
    assert written["base_model_name_or_path"] == str(base)


def test_its_config_is_what_the_run_s_config_says(base: Path, given: Path) -> None:
    config = small_config(f"adapter.path={given}", f"model.path={base}", "adapter.r=16")
    adapter = config.adapter
    assert isinstance(adapter, Lora.Config)
    assert (adapter.r, adapter.alpha, adapter.target_modules, adapter.use_rslora) == (
        3, 5, ["down_proj", "q_proj"], True,
    )  # fmt: skip
    assert resolve(plain_values(config), Config) == config  # as written


def test_what_is_given_against_it_is_one_message(given: Path) -> None:
    path = f"adapter.path={given}"
    assert mistakes(path, "adapter.alpha=7") == (
        "adapter.alpha=7: the adapter at adapter.path has 5; leave it out"
    )
    assert mistakes(path, "adapter.target_modules=all").startswith(
        "adapter.target_modules=all: the adapter at adapter.path has ['down_proj', 'q_proj']"
    )
    assert mistakes(path, "export.blend=0.5").startswith(f"{path}: not with export.blend")
    with pytest.raises(ConfigError) as caught:
        small_config("adapter=full", "loss.retention_weight=0", path)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("adapter.path: unknown key")


CANNOT_GO_ON: list[tuple[dict[str, Any], str]] = [
    ({"modules_to_save": ["lm_head"]}, "modules_to_save=['lm_head']: cannot go on; model.path=DIR merges it"),
    ({"bias": "all"}, "bias='all': cannot go on"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights=pissa: has taken a part"),
    ({"peft_type": "IA3"}, "is of the type IA3; only LORA can go on"),
]


@pytest.mark.parametrize(("values", "said"), CANNOT_GO_ON)
def test_what_cannot_go_on_is_one_message(values: dict[str, Any], said: str, given: Path) -> None:
    change(given, **values)
    assert mistakes(f"adapter.path={given}").startswith(f"adapter.path={given}: {said}")


def test_a_folder_without_an_adapter_is_one_message(base: Path) -> None:
    said = "no adapter_config.json in this folder, so it is no peft adapter"
    assert mistakes(f"adapter.path={base}") == f"adapter.path={base}: {said}"


def test_one_of_another_model_is_one_message(given: Path, tmp_path: Path) -> None:
    for changes in ({"num_hidden_layers": 2}, {"num_hidden_layers": 5}, {"hidden_size": 64}):
        (key, value), *_ = changes.items()
        wrong = backbone_of(tiny_model(tmp_path / f"{key}{value}", **changes))
        with pytest.raises(
            ConfigError, match=f"adapter.path={given}: an adapter of another model: "
        ) as caught:
            adapters.attach(wrong, config_of(given))
        assert len(caught.value.problems) == 1
