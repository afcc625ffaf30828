"""Steering adds what it says where it says, and nothing else; what it is told wrongly it says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft_adapters import tiny_model
from tiny import tiny_backbone

from xalign.base.errors import ConfigError, ModelError
from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.schema import Config, EvaluateConfig, ModelConfig, SteerConfig, SteeringConfig
from xalign.config.text import DataConfig, LanguagesConfig
from xalign.data.collate import encode, pad
from xalign.models.backbone import Backbone, evaluating
from xalign.models.fingerprint import model_fingerprint
from xalign.models.steering import crossing, first_share, language_vectors, read_vectors, steer, write_vectors
from xalign.runs.measurement import load_backbone
from xalign.runs.steering import fit

FAMILIES = ("llama", "gpt2", "gemma3_text", "bloom")


def vectors_of(backbone: Backbone) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    means = {
        code: torch.randn(backbone.depth + 1, backbone.width, generator=generator)
        for code in ("en", "de", "th")
    }
    return language_vectors(means)


def written(folder: Path, backbone: Backbone, layer: int = 2) -> SteeringConfig:
    path = folder / "vectors.safetensors"
    write_vectors(path, vectors_of(backbone), backbone, {"pivot": "en", "layer": layer})
    return SteeringConfig(path=str(path), to="de", strength=0.5)


def states(backbone: Backbone) -> list[torch.Tensor]:
    rows = encode(backbone.tokenizer, ["abc def", "ghi"], 16)
    tokens = pad(backbone.tokenizer, rows)
    with evaluating(backbone):
        return [backbone.hidden_states(tokens, layer) for layer in range(backbone.depth + 1)]


@pytest.mark.parametrize("family", FAMILIES)
def test_states_move_by_what_is_added_from_that_layer_on(family: str, tmp_path: Path) -> None:
    backbone = tiny_backbone(family)
    config, before = written(tmp_path, backbone), states(backbone)
    own = vectors_of(backbone)
    undo = steer(backbone, config)
    after = states(backbone)
    added = 0.5 * (own["de"] - own["en"])[2]
    for layer in (0, 1):
        assert torch.equal(after[layer], before[layer])
    torch.testing.assert_close(after[2], before[2] + added)
    assert (after[-1] - before[-1]).abs().max() > 0.01
    undo()
    for layer, own_states in enumerate(states(backbone)):
        assert torch.equal(own_states, before[layer])


def test_several_layers_each_get_their_own(tmp_path: Path) -> None:
    backbone = tiny_backbone("llama")
    config, own = written(tmp_path, backbone), vectors_of(backbone)
    before = states(backbone)
    steer(backbone, replace(config, layers=[1, 3], to="th", away="de", strength=1.0))
    after = states(backbone)
    torch.testing.assert_close(after[1], before[1] + (own["th"] - own["de"])[1])
    assert not torch.allclose(after[2], before[2])


def test_what_is_added_is_part_of_what_the_model_is(tmp_path: Path) -> None:
    backbone = tiny_backbone("llama")
    config = written(tmp_path, backbone)
    prints = [model_fingerprint(backbone.model, backbone.tokenizer)]
    for own in (config, replace(config, strength=1.0), replace(config, layers=[3])):
        undo = steer(backbone, own)
        prints.append(model_fingerprint(backbone.model, backbone.tokenizer))
        undo()
    assert len(set(prints)) == 4
    assert model_fingerprint(backbone.model, backbone.tokenizer) == prints[0]


def test_mistakes(tmp_path: Path) -> None:
    backbone = tiny_backbone("llama")
    config = written(tmp_path, backbone)
    with pytest.raises(ConfigError, match=r"model\.steering\.to=fr: the file has de, en, th"):
        steer(backbone, replace(config, to="fr"))
    with pytest.raises(ConfigError, match=r"model\.steering\.layers: 5: the model has blocks 1 to 4"):
        steer(backbone, replace(config, layers=[5]))
    with pytest.raises(ModelError, match="vectors of another model"):
        steer(tiny_backbone("gpt2"), config)
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match=r"bad\.safetensors: no vectors of python -m xalign\.steer"):
        steer(backbone, replace(config, path=str(tmp_path / "bad.safetensors")))


def test_the_share_of_the_first_component_and_where_it_crosses_a_half() -> None:
    """Five languages: everywhere at first, on one line from layer 3 on."""
    generator = torch.Generator().manual_seed(0)
    spread = {code: torch.randn(6, 64, generator=generator) for code in "abcde"}
    line = torch.randn(64, generator=generator)
    vectors = {
        code: torch.cat([own[:3], (number - 2.2) * line + 0.01 * own[3:]])
        for number, (code, own) in enumerate(spread.items())
    }
    shares = first_share(vectors)
    assert (shares[:3] < 0.5).all()
    assert (shares[3:] > 0.95).all()
    assert crossing(shares) == 3
    assert crossing(torch.tensor([0.9, 0.4, 0.3, 0.3, 0.3])) == 2  # never: half of four blocks


def test_the_whole_way(tmp_path: Path) -> None:
    tiny_model(tmp_path / "model")
    lines = [f"this is sentence number {n}\tdies ist Satz Nummer {n}" for n in range(120)]
    (tmp_path / "p.tsv").write_text("en\tde\n" + "\n".join(lines) + "\n")
    model = ModelConfig(name="tiny", path=str(tmp_path / "model"))
    output = tmp_path / "out" / "vectors.safetensors"
    fit(
        SteerConfig(
            model=model,
            languages=LanguagesConfig(targets=["de"]),
            data=DataConfig(name="x", path=str(tmp_path / "p.tsv")),
            output=str(output),
            sentences=40,
        )
    )
    vectors, about = read_vectors(output)
    assert about["sentences"] == {"en": 40, "de": 40}
    torch.testing.assert_close(vectors["de"], -vectors["en"])
    plain = load_backbone(model, torch.device("cpu"), 0)
    steered = load_backbone(
        replace(model, steering=SteeringConfig(path=str(output), to="de")), torch.device("cpu"), 0
    )
    layer = about["layer"]
    difference = states(steered)[layer] - states(plain)[layer]
    torch.testing.assert_close(
        difference, (vectors["de"] - vectors["en"])[layer].expand_as(difference), rtol=1e-4, atol=1e-5
    )


def test_the_command_line(tmp_path: Path) -> None:
    """Options of a group that is not there unless it is given."""
    words = ["model.steering.path=x.safetensors", "model.steering.to=de", "model.steering.layers=[2,3]"]
    made = resolve(compose_config("evaluate", words), EvaluateConfig)
    assert made.model.steering == SteeringConfig(path="x.safetensors", to="de", layers=[2, 3])
    assert resolve(compose_config("evaluate", []), EvaluateConfig).model.steering is None
    with pytest.raises(ConfigError, match=r"model\.steering\.to: required"):
        resolve(compose_config("evaluate", words[:1]), EvaluateConfig)
    with pytest.raises(ConfigError, match=r"model\.steering\.laiers: unknown key; did you mean 'layers'"):
        resolve(compose_config("evaluate", [*words, "model.steering.laiers=[1]"]), EvaluateConfig)
    with pytest.raises(ConfigError, match=r"model\.steering\.path=x\.safetensors: of xalign\.evaluate"):
        resolve(compose_config("config", words), Config)
