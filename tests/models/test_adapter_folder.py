"""A folder with an adapter in the place of a model: seen without torch, each mistake one message."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from peft import PeftType
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner

from xalign.base.errors import ModelError
from xalign.models.adapter_folder import UNMERGEABLE, stack_of
from xalign.models.model_folder import problem_of_folder


def adapter(folder: Path, base: str, **values: object) -> Path:
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": base, **values}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def message_of(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        stack_of(folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value) == problem_of_folder(folder)
    return str(caught.value)


@pytest.mark.parametrize("name", ["base", "../base", "{absolute}", "from_here/base"])
def test_a_base_is_found_beside_the_adapter_or_from_here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "from_here" if name == "from_here/base" else tmp_path
    there.mkdir(exist_ok=True)
    base = model(there / "base")
    monkeypatch.chdir(tmp_path)
    stack = stack_of(adapter(tmp_path / "mine", name.format(absolute=base)))
    assert Path(stack.base).resolve() == base
    assert problem_of_folder(tmp_path / "mine") is None


def test_what_is_nowhere_here_is_an_id_on_the_hub(tmp_path: Path) -> None:
    stack = stack_of(adapter(tmp_path / "mine", "someone/model", revision="abc"))
    assert (stack.base, stack.revision) == ("someone/model", "abc")


def test_adapters_of_adapters_are_stacked_the_innermost_first(tmp_path: Path) -> None:
    model(tmp_path / "base")
    first, second = adapter(tmp_path / "first", "base"), adapter(tmp_path / "second", "../first")
    stack = stack_of(second)
    assert [path.resolve() for path in stack.adapters] == [first, second]
    assert Path(stack.base).resolve() == tmp_path / "base"


def test_the_outermost_tokenizer_is_taken(tmp_path: Path) -> None:
    model(tmp_path / "base")
    first, second = adapter(tmp_path / "first", "base"), adapter(tmp_path / "second", "../first")
    assert stack_of(second).tokenizer is None
    (first / "tokenizer.json").write_text("{}")
    found = stack_of(second).tokenizer
    assert found is not None
    assert found.resolve() == first


def test_a_config_of_the_model_beside_the_adapter_is_no_model(tmp_path: Path) -> None:
    """As some trainers leave it."""
    model(tmp_path / "base")
    mine = adapter(tmp_path / "mine", "base")
    (mine / "config.json").write_text('{"model_type": "llama"}')
    assert problem_of_folder(mine) is None


@pytest.mark.parametrize(
    "weights", ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"]
)
def test_a_whole_model_and_an_adapter_in_one_folder_are_refused(weights: str, tmp_path: Path) -> None:
    model(tmp_path / "base")
    mine = adapter(tmp_path / "mine", "base")
    (mine / weights).write_bytes(b"")
    message = message_of(mine)
    assert f"holds a whole model ({weights}) and a peft adapter (adapter_config.json)" in message
    assert "in a folder of their own" in message


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "is not a valid JSON file"),
        ("[]", "holds [], a JSON object is needed"),
        ("{}", "has no peft_type"),
        ('{"peft_type": "LORA"}', "has no base_model_name_or_path"),
        ('{"peft_type": "LORA", "base_model_name_or_path": "./nowhere"}', "./nowhere: no such folder"),
        ('{"peft_type": "LORA", "base_model_name_or_path": "."}', "the adapter is its own base"),
        ('{"peft_type": "PREFIX_TUNING"}', "of the type PREFIX_TUNING is no change of weights"),
    ],
)
def test_a_config_that_leads_nowhere(config: str, said: str, tmp_path: Path) -> None:
    mine = adapter(tmp_path / "mine", "base")
    (mine / "adapter_config.json").write_text(config)
    assert said in message_of(mine)


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    mine = adapter(tmp_path / "mine", "base")
    (mine / "adapter_model.safetensors").unlink()
    assert (
        "its weights, adapter_model.safetensors, are not there (it holds adapter_config.json)"
        in message_of(mine)
    )


def test_a_base_that_is_no_model_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    problem = str(problem_of_folder(adapter(tmp_path / "mine", "base")))
    assert problem.startswith("a peft adapter, whose base cannot be loaded: ")
    assert "no config.json in this folder" in problem
    code = "import sys, xalign.models.model_folder; assert not {'torch', 'peft'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_peft_can_merge_is_known() -> None:
    """Fails where peft learns a type without weights: `UNMERGEABLE` should then know it. POLY, XLORA and
    SHADOW have the method, but choose anew for each text or refuse."""
    without = {
        str(kind.value)
        for kind in PeftType
        if not issubclass(PEFT_TYPE_TO_TUNER_MAPPING.get(kind, object), BaseTuner)
    }
    assert without | {"POLY", "XLORA", "SHADOW"} == set(UNMERGEABLE)
