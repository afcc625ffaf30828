"""A model of one's own in the place of a preset's."""

from pathlib import Path

import pytest

from xalign.command_line import compose_config
from xalign.config import Config, ModelConfig
from xalign.errors import ConfigError
from xalign.models.own_path import model_at
from xalign.validation import resolve


def model(*overrides: str) -> ModelConfig:
    return resolve(compose_config("config", overrides), Config).model


PRESETS = ("gemma3_270m", "qwen3_0_6b", "xglm", "llama", "tiny", "tiny_deep")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_given_path_is_loaded_as_it_is(preset: str) -> None:
    """Nothing that the preset says of its own model is left: neither its depth nor its random weights."""
    for path, name in (("/models/mine", "mine"), ("/runs/first/model", "first"), ("someone/mine", "mine")):
        assert model(f"model={preset}", f"model.path={path}") == ModelConfig(name=name, path=path)


def test_in_an_experiment_too() -> None:
    assert model("experiment=quick", "model.path=/models/mine") == ModelConfig(
        name="mine", path="/models/mine"
    )


def test_what_is_given_beside_the_path_stays() -> None:
    given = model("model=qwen3_0_6b", "model.path=/m/mine", "model.depth=36", "model.tokenizer=bytes")
    assert given == ModelConfig(name="mine", path="/m/mine", depth=36, tokenizer="bytes")
    assert model("model=xglm", "model.path=/m/mine", "model.name=other").name == "other"


def test_the_presets_own_path_keeps_what_it_says() -> None:
    assert model("model=xglm").depth == 24
    assert model("model=xglm", "model.path=facebook/xglm-564M").depth == 24


def test_a_layer_of_the_own_model_is_not_refused_by_the_presets_depth() -> None:
    overrides = ("model=qwen3_0_6b", "model.path=/models/deeper", "loss.layer=30")
    assert resolve(compose_config("config", overrides), Config).loss.layer == 30


def test_a_path_that_nothing_would_read_is_refused() -> None:
    overrides = ("model=xglm", "model.path=/m/mine", "model.pretrained=false", "model.tokenizer=bytes")
    with pytest.raises(ConfigError, match=r"model.path=/m/mine: not read with model.pretrained=false"):
        resolve(compose_config("config", overrides), Config)


@pytest.mark.parametrize("preset", PRESETS)
def test_models_to_measure_are_loaded_as_they_are(preset: str, tmp_path: Path) -> None:
    run = tmp_path / "run/model"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    base = model(f"model={preset}")
    for path in (run, run.parent):
        assert model_at(str(path), base) == ModelConfig(name="run", path=str(run))
    assert model_at("someone/mine", base) == ModelConfig(name="mine", path="someone/mine")
