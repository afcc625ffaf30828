"""A model of one's own in the place of a preset's: nothing that the preset says of its model is left."""

from pathlib import Path

import pytest

from xalign.base.errors import ConfigError
from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.schema import Config, EvaluateConfig, ModelConfig
from xalign.models.own_path import model_at
from xalign.options.plain import plain


def model(*overrides: str) -> ModelConfig:
    return resolve(compose_config("config", overrides), Config).model


def mistakes(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(compose_config("config", overrides), Config)
    return caught.value.problems


PRESETS = ("gemma3_270m", "qwen3_0_6b", "xglm", "llama", "tiny", "tiny_deep")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_given_path_is_loaded_as_it_is(preset: str) -> None:
    """Nothing that the preset says of its own model is left: neither its depth nor its random weights."""
    for path, name in (("/models/mine", "mine"), ("/runs/first/model", "first"), ("someone/mine", "mine")):
        assert model(f"model={preset}", f"model.path={path}") == ModelConfig(name=name, path=path)


@pytest.mark.parametrize("preset", ["gemma3_270m", "xglm", "tiny"])
def test_so_is_a_given_package(preset: str) -> None:
    found = model(f"model={preset}", "model.artifact=smollm2_135m")
    assert found == ModelConfig(name="smollm2_135m", artifact="smollm2_135m")


def test_in_an_experiment_too() -> None:
    assert model("experiment=quick", "model.path=/models/mine") == ModelConfig(
        name="mine", path="/models/mine"
    )


def test_what_is_given_beside_the_path_stays() -> None:
    given = ("model.depth=36", "model.tokenizer=bytes", "model.revision=abc")
    found = model("model=qwen3_0_6b", "model.path=/m/mine", *given)
    assert found == ModelConfig(name="mine", path="/m/mine", depth=36, tokenizer="bytes", revision="abc")
    assert model("model=xglm", "model.path=/m/mine", "model.name=other").name == "other"
    changed = ("model.name=other", "model.architecture.num_hidden_layers=7")
    assert mistakes("model=tiny", "model.path=/m/mine", *changed) == [
        "model.architecture: read with model.pretrained=false only"
    ]


def test_the_presets_own_path_keeps_what_it_says() -> None:
    assert model("model=xglm").depth == 24
    assert model("model=xglm", "model.path=facebook/xglm-564M").depth == 24
    assert model("model=xglm", "model.revision=abc").depth == 24


def test_a_layer_of_the_own_model_is_not_refused_by_the_presets_depth() -> None:
    overrides = ("model=qwen3_0_6b", "model.path=/models/deeper", "loss.layer=30")
    assert resolve(compose_config("config", overrides), Config).loss.layer == 30


def test_random_weights_are_called_after_no_other_model() -> None:
    """Results are told under the path."""
    found = model("model=xglm", "model.pretrained=false", "model.tokenizer=bytes")
    assert (found.path, found.artifact) == (None, None)
    assert found.architecture["model_type"] == "xglm"


def test_what_nothing_would_read_is_refused() -> None:
    assert mistakes("model=xglm", "model.path=/m", "model.pretrained=false", "model.tokenizer=bytes") == [
        "model.path=/m: not read with model.pretrained=false; leave one of them out"
    ]
    assert mistakes("model.path=a/b", "model.artifact=smollm2_135m") == [
        "model.path=a/b and model.artifact=smollm2_135m: one model; leave one of them out"
    ]
    assert mistakes("model=xglm", "model.architecture.num_layers=3") == [
        "model.architecture: read with model.pretrained=false only"
    ]
    assert mistakes("model.revision=abc") == [
        "model.revision=abc: gemma3_270m comes from the package index, at a pinned version"
    ]
    assert mistakes("model=tiny", "model.revision=abc") == [
        "model.revision=abc: not read with model.pretrained=false"
    ]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_written_config_is_read_as_it_was(preset: str) -> None:
    for overrides in ([], ["model.path=a/b"]):
        config = resolve(compose_config("config", [f"model={preset}", *overrides]), Config)
        assert resolve(plain(config), Config) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_models_to_measure_are_loaded_as_they_are(preset: str, tmp_path: Path) -> None:
    run = tmp_path / "run/model"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    composed = compose_config("evaluate", [f"model={preset}", f"models=[{run},{run.parent},someone/mine]"])
    config = resolve(composed, EvaluateConfig)
    found = [model_at(path, config.model) for path in config.models]
    wanted = ModelConfig(name="run", path=str(run))
    assert found == [wanted, wanted, ModelConfig(name="mine", path="someone/mine")]


def test_a_model_beside_models_is_refused() -> None:
    composed = compose_config("evaluate", ["model.path=a/b", "models=[c/d]"])
    with pytest.raises(ConfigError, match=r"model.path=a/b: not read, as models=\[c/d\] are measured"):
        resolve(composed, EvaluateConfig)
