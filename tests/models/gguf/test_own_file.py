"""A GGUF file, or a folder with one, as `model.path`: loaded as any folder, or refused in one message."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_files import TEMPLATE, write_gguf

from xalign.base.errors import ModelError
from xalign.config.schema import ModelConfig
from xalign.models.gguf import own_file
from xalign.models.gguf.header import problem_of_gguf
from xalign.models.loading import load_model_and_tokenizer
from xalign.models.model_folder import problem_of_folder
from xalign.models.own_path import model_at, name_of, problem_of_path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def message_of(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model_and_tokenizer(ModelConfig(name="toy", path=str(path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_converted_once_and_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "toy.gguf"
    embeddings = write_gguf(file)
    (tmp_path / "tokenizer_config.json").write_text("[]")  # another model's, and not to be read
    base = ModelConfig(name="preset", artifact="gemma3_270m")
    assert problem_of_path(str(file)) is None
    with caplog.at_level(logging.INFO):
        model, tokenizer = load_model_and_tokenizer(model_at(str(file), base))
    assert f"converting {file} (llama, " in caplog.text
    np.testing.assert_array_equal(model.get_input_embeddings().weight.detach().numpy(), embeddings)
    assert tokenizer.chat_template == TEMPLATE
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 0)
    monkeypatch.setattr(own_file, "convert", lambda *args: pytest.fail("converted again"))
    moved = tmp_path / "folder" / "other-name.GGUF"
    moved.parent.mkdir()
    shutil.move(file, moved)
    load_model_and_tokenizer(ModelConfig(name="toy", path=str(moved)))
    # A folder that holds just one, and a file of another name.
    assert problem_of_folder(moved.parent) is None
    load_model_and_tokenizer(ModelConfig(name="toy", path=str(moved.parent)))
    shutil.copy(moved, tmp_path / "weights.bin")
    load_model_and_tokenizer(ModelConfig(name="toy", path=str(tmp_path / "weights.bin")))


def test_its_tokenizer_alone_can_be_asked_for(tmp_path: Path) -> None:
    write_gguf(tmp_path / "toy.gguf")
    shape = {"model_type": "llama", "vocab_size": 5, "hidden_size": 32, "num_attention_heads": 2}
    file = str(tmp_path / "toy.gguf")
    config = ModelConfig(name="toy", pretrained=False, tokenizer=file, architecture=shape)
    model, tokenizer = load_model_and_tokenizer(config)
    assert tokenizer.chat_template == TEMPLATE
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)


def test_it_is_named_after_the_file() -> None:
    assert name_of("/models/qwen-0.5b-q4_k_m.gguf") == "qwen-0.5b-q4_k_m"


def said(key: str, value: object) -> Callable[[gguf.GGUFWriter], None]:
    def extra(writer: gguf.GGUFWriter) -> None:
        if isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_uint16(key, value)

    return extra


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"architecture": "rwkv6"}, "transformers reads no GGUF file of the architecture 'rwkv6'"),
        ({"architecture": "clip"}, "is a multimodal projector"),
        ({"architecture": "bert"}, "'bert' is an encoder; a decoder-only model is needed"),
        ({"architecture": "t5"}, "'t5' is an encoder-decoder"),
        ({"extra": said("split.count", 3)}, "is one of 3 shards of a model; merge them first"),
        ({"extra": said("general.type", "adapter")}, "holds no model, but says general.type=adapter"),
        ({"extra": said("general.type", "mmproj")}, "is a multimodal projector"),
        ({"extra": said("llama.rope.scaling.type", "yarn")}, "(llama.rope.scaling.type=yarn)"),
    ],
)
def test_what_cannot_be_used(options: dict[str, object], wanted: str, tmp_path: Path) -> None:
    file = tmp_path / "toy.gguf"
    write_gguf(file, **options)  # type: ignore[arg-type]
    problem = problem_of_path(str(file))
    assert wanted in str(problem)
    assert message_of(file) == f"model.path={file}: {problem}"
    assert problem_of_folder(tmp_path) == f"toy.gguf {problem}"


@pytest.mark.parametrize("kept", [8, 40, 1000, -1])
def test_a_file_cut_short(kept: int, tmp_path: Path) -> None:
    file = tmp_path / "toy.gguf"
    write_gguf(file)
    file.write_bytes(file.read_bytes()[:kept])
    assert "is cut short" in message_of(file)
    assert "copy it again" in message_of(file)


def test_what_is_no_gguf_file(tmp_path: Path) -> None:
    file = tmp_path / "toy.gguf"
    for content in (b"", b"version https://git-lfs.github.com/spec/v1\n"):
        file.write_bytes(content)
        assert "is no GGUF file: it does not begin with the letters GGUF" in message_of(file)
    assert "no such file; did you mean 'toy.gguf'?" in str(problem_of_path(str(tmp_path / "toi.gguf")))
    assert "no such file" in str(problem_of_path("nowhere.gguf"))


def test_another_version_and_byte_order(tmp_path: Path) -> None:
    file = tmp_path / "toy.gguf"
    for version, wanted in ((1, "version 1"), (4, "version 4"), (3 << 24, "big-endian")):
        file.write_bytes(b"GGUF" + version.to_bytes(4, "little") + bytes(16))
        assert wanted in str(problem_of_gguf(file))


def test_a_folder_with_several(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        write_gguf(tmp_path / name)
    assert "holds several GGUF files, give one of them: a.gguf, b.gguf" in message_of(tmp_path)


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path, cache: Path) -> None:
    """transformers would draw them at random."""
    file = tmp_path / "toy.gguf"
    write_gguf(file, without=("blk.1.ffn_up",))
    assert f"model.path={file}: cannot be converted: toy.gguf lacks 1 weights of a llama" in message_of(file)
    assert list((cache / "models").glob("gguf-*")) == []


def test_what_transformers_does_not_expect_is_one_message(tmp_path: Path) -> None:
    file = tmp_path / "toy.gguf"
    write_gguf(file, extra=lambda writer: writer.add_tokenizer_model("strange"))
    message = message_of(file)
    assert f"model.path={file}: cannot be converted: the tokenizer cannot be made: ValueError" in message
    assert "strange" in message


def test_looking_imports_no_torch(tmp_path: Path) -> None:
    write_gguf(tmp_path / "toy.gguf")
    code = (
        "import sys; from xalign.models.own_path import problem_of_path\n"
        f"assert problem_of_path({str(tmp_path / 'toy.gguf')!r}) is None; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
