"""What is not installed is told at once, before anything is loaded or written."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_helpers import small_config

from xalign.base.errors import ConfigError, ModelError
from xalign.cli.extras import require_extras
from xalign.config.choices import LoggerName, OptimizerKind
from xalign.config.schema import Config, LoggerConfig
from xalign.config.training import OptimizerConfig
from xalign.models.loading import load_model_and_tokenizer
from xalign.runs.experiment import run
from xalign.runs.planner import make_plan


def choosing(kind: OptimizerKind, logger: LoggerName = LoggerName.none) -> Config:
    return replace(small_config(), optimizer=OptimizerConfig(kind=kind), logger=LoggerConfig(name=logger))


def test_all_missing_packages_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torchao", "tensorboard"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as raised:
        require_extras(choosing(OptimizerKind.adamw_bf16, LoggerName.tensorboard))
    assert raised.value.problems == [
        "optimizer.kind=adamw_bf16: needs the extra: pip install 'xalign[adamw-bf16]'",
        "logger=tensorboard: needs the extra: pip install 'xalign[tensorboard]'",
    ]


def test_kernels_of_four_bits_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a model is only measured."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    config = small_config("model.quantization=nf4")
    said = "model.quantization=nf4: needs the extra: pip install 'xalign[quantization]'"
    with pytest.raises(ConfigError) as raised:
        require_extras(config)
    assert raised.value.problems == [said]
    with pytest.raises(ModelError) as caught:
        load_model_and_tokenizer(config.model)
    assert str(caught.value) == said
    require_extras(small_config("model.quantization=int8"))


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    require_extras(choosing(OptimizerKind.adamw_bf16))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"adamw_bf16.*compiler"):
        require_extras(choosing(OptimizerKind.adamw_bf16))


def test_what_is_chosen_by_default_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torchao", "bitsandbytes", "tensorboard"):
        monkeypatch.setitem(sys.modules, package, None)
    require_extras(choosing(OptimizerKind.adamw))


def test_nothing_is_loaded_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    config = choosing(OptimizerKind.adamw_8bit)
    config = replace(
        config,
        run=replace(config.run, dir=str(tmp_path / "run")),
        model=replace(config.model, path=str(tmp_path / "no-such-model")),
    )
    for start in (run, make_plan):
        with pytest.raises(ConfigError, match=r"pip install 'xalign\[adamw-8bit\]'"):
            start(config)
    assert not list(tmp_path.iterdir())
