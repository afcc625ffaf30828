"""What a folder must hold to be a model, seen without torch: each mistake is one message, whoever asks."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_backbone

from xalign.base.errors import ModelError
from xalign.config.schema import ModelConfig
from xalign.models.loading import load_model_and_tokenizer
from xalign.models.model_folder import problem_of_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    backbone = tiny_backbone("llama")
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def message_of(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model_and_tokenizer(ModelConfig(name="toy", path=str(folder)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    ("content", "said"),
    [("null", "holds null"), ("[]", "holds []"), ("{", "not a valid JSON"), ("3", "holds 3")],
)
def test_a_file_that_holds_no_object_is_named(folder: Path, file: str, content: str, said: str) -> None:
    (folder / file).write_text(content)
    message = message_of(folder)
    assert file in message
    assert said in message
    if file == "config.json":
        assert said in str(problem_of_folder(folder))


@pytest.mark.parametrize(
    "change",
    [
        ('"num_attention_heads": 4', '"num_attention_heads": 0'),
        ('"hidden_size": 32', '"hidden_size": -32'),
        ('"num_hidden_layers": 4', '"num_hidden_layers": "four"'),
    ],
)
def test_values_that_make_no_model(folder: Path, change: tuple[str, str]) -> None:
    config = folder / "config.json"
    assert change[0] in config.read_text()
    config.write_text(config.read_text().replace(*change))
    assert "config.json" in message_of(folder)


def test_a_whole_model_with_an_adapter_beside_it_is_refused(folder: Path) -> None:
    """transformers would load the adapter's own base, and the adapter into it."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    for message in (message_of(folder), str(problem_of_folder(folder))):
        assert "holds a whole model (model.safetensors) and a peft adapter (adapter_config.json)" in message


def test_looking_imports_nothing_heavy() -> None:
    code = "import sys, xalign.models.model_folder; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
