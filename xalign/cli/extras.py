"""What only some choices need beside the package itself: reported before a run, not where it is used."""

import os
import shutil
from importlib.util import find_spec

import torch

from xalign.base.errors import ConfigError, needs_extra
from xalign.config.choices import LoggerName, OptimizerKind, Quantization
from xalign.config.schema import Config

_PACKAGES = {
    OptimizerKind.adamw_8bit: "bitsandbytes",
    OptimizerKind.adamw_bf16: "torchao",
    LoggerName.tensorboard: "tensorboard",
}


def require_extras(config: Config) -> None:
    """Check that what the configuration chooses is installed.

    Raises:
        ConfigError: a package or a compiler is missing; all that are, and how to get them.
    """
    kind, logger = config.optimizer.kind, config.logger.name
    problems = [
        needs_extra(f"{key}={choice}", choice.replace("_", "-"))
        for key, choice in (("optimizer.kind", kind), ("logger", logger))
        if choice in _PACKAGES and find_spec(_PACKAGES[choice]) is None
    ]
    if config.model.quantization is Quantization.nf4 and find_spec("bitsandbytes") is None:
        problems.append(needs_extra("model.quantization=nf4", "quantization"))
    if kind is OptimizerKind.adamw_bf16 and not torch.cuda.is_available() and not _compiler():
        problems.append("optimizer.kind=adamw_bf16: its step is compiled: needs a C++ compiler (g++)")
    if problems:
        raise ConfigError(problems)


def _compiler() -> bool:
    names = os.environ.get("CXX"), "g++", "clang++"
    return any(shutil.which(name) for name in names if name)
