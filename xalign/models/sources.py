"""Where a model or tokenizer is loaded from, and the message when that fails."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING
from transformers.utils.peft_utils import find_adapter_config_file

from xalign.base.errors import ModelError, XalignError, did_you_mean
from xalign.config.schema import ModelConfig
from xalign.models import adapter_folder
from xalign.models.adapter_folder import Stack, stack_of
from xalign.models.gguf import MODELS, model_from_artifact
from xalign.models.gguf.own_file import converted, gguf_of
from xalign.models.model_folder import damaged_file, problem_of_folder
from xalign.models.own_path import WITHOUT_HUB, listing, problem_of_path, unreachable
from xalign.sources.hub import hub_answers

_log = logging.getLogger(__name__)


UNFORESEEN = (TypeError, AttributeError, LookupError, ArithmeticError, AssertionError)
"""Kinds of errors that values of a wrong kind lead to; their messages say little without the kind."""


@dataclass(frozen=True)
class Source:
    """A folder or a repository on the hub, and the config key that named it."""

    key: str
    name: str
    folder: Path | None
    options: dict[str, Any]
    """Arguments of `from_pretrained`."""

    @property
    def location(self) -> str:
        return str(self.folder or self.name)


def model_source(config: ModelConfig) -> Source:
    """Where the weights of a pretrained model are; `ModelError` for a folder that is none."""
    if (config.path is None) == (config.artifact is None):
        raise ModelError(
            "a pretrained model needs either model.path (folder or hub id) or model.artifact, not "
            f"{'both' if config.path else 'none'}: path={config.path}, artifact={config.artifact}"
        )
    if config.artifact is not None:
        return _folder_source("model.artifact", config.artifact, model_from_artifact(config.artifact))
    source = _source("model.path", str(config.path), config, config.revision)
    if source.folder and (problem := problem_of_folder(source.folder)):
        raise ModelError(f"model.path={config.path}: {problem}")
    return source


def adapters_at(config: ModelConfig) -> Stack | None:
    """The adapters at `model.path`, in a folder or on the hub, and what they stand on; None: a model.

    Raises:
        ModelError: an adapter cannot be merged, or its base is not there.
    """
    if config.path is None or config.artifact is not None:
        return None
    folder = _adapter_folder(config.path, config.revision)
    if folder is None:
        return None
    try:
        stack = stack_of(folder)
        while below := _adapter_folder(stack.base, stack.revision):
            lower = stack_of(below)
            stack = replace(lower, adapters=lower.adapters + stack.adapters)
    except ModelError as error:
        raise ModelError(f"model.path={config.path}: {error}") from error
    return stack


def base_of(config: ModelConfig, stack: Stack) -> ModelConfig:
    """The model that the adapters at `model.path` stand on, with the outermost tokenizer beside them."""
    return replace(
        config,
        path=stack.base,
        revision=config.base_revision or stack.revision,
        tokenizer=config.tokenizer or (str(stack.tokenizer) if stack.tokenizer else None),
    )


def _adapter_folder(name: str, revision: str | None) -> Path | None:
    """Where the adapter of this name lies, fetched from the hub if it is there; None: it is no adapter."""
    if Path(name).is_dir():
        return Path(name) if adapter_folder.is_adapter(Path(name)) else None
    if Path(name).exists() or problem_of_path(name):  # a file is a GGUF file, or a mistake
        return None
    options: dict[str, Any] = {"revision": revision or "main", "local_files_only": not hub_answers()}
    if find_adapter_config_file(name, **options) is None:
        return None
    wanted = [adapter_folder.CONFIG, adapter_folder.WEIGHTS[0], "token*", "special_tokens_map.json", "vocab*"]
    return Path(snapshot_download(name, allow_patterns=wanted, **options))


def tokenizer_source(config: ModelConfig, model: Source | None) -> Source:
    """Where `config.tokenizer` is: null means beside the model, if that comes from anywhere."""
    if config.tokenizer is None:
        if model is None:
            raise ModelError(
                "model.pretrained=false needs model.tokenizer (bytes, gemma3_270m, a folder or a hub id)"
            )
        return model
    if config.tokenizer in MODELS:
        return _folder_source("model.tokenizer", config.tokenizer, model_from_artifact(config.tokenizer))
    return _source("model.tokenizer", config.tokenizer, config, config.tokenizer_revision)


def _source(key: str, name: str, config: ModelConfig, revision: str | None) -> Source:
    folder = Path(name)
    if file := gguf_of(folder):
        return _folder_source(key, name, converted(file, f"{key}={name}"))
    if folder.is_dir():
        return _folder_source(key, name, folder, config.trust_remote_code)
    if problem := problem_of_path(name):
        raise ModelError(f"{key}={name}: {problem}")
    options = {
        "revision": revision or "main",
        "trust_remote_code": config.trust_remote_code,
        "local_files_only": not hub_answers(),
    }
    if options["local_files_only"]:
        _log.info("the Hugging Face hub cannot be reached: looking for %s in its local cache", name)
    return Source(key, name, None, options)


def _folder_source(key: str, name: str, folder: Path, trust_remote_code: bool = False) -> Source:
    # local_files_only: with a folder nothing on the hub is wanted, not even a question.
    return Source(key, name, folder, {"trust_remote_code": trust_remote_code, "local_files_only": True})


def explained(source: Source, what: str, error: Exception) -> Exception:
    """What to raise for an error of `from_pretrained`; `what` is `model` or `tokenizer`."""
    if isinstance(error, XalignError) or (isinstance(error, OSError) and error.errno is not None):
        return error
    where = f"{source.key}={source.name}"
    unknown = re.search("model type `(.+?)` but Transformers does not recognize", str(error))
    if unknown:
        return ModelError(
            f"{where}: transformers knows no architecture '{unknown[1]}'"
            f"{did_you_mean(unknown[1], CONFIG_MAPPING)}; a newer version of it may"
        )
    if "trust_remote_code" in str(error):
        return ModelError(
            f"{where}: the {what} comes with code of its own; model.trust_remote_code=true runs it"
        )
    if isinstance(error, ImportError):
        return ModelError(f"{where}: the {what} needs a package that is not installed: {first_line(error)}")
    if source.folder:
        return ModelError(f"{where}: {_folder_problem(source.folder, what, error)}")
    causes = tuple(_chain(error))
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return ModelError(
            f"{where}: this repository is gated; accept its licence on the Hugging Face hub and log in "
            f"('hf auth login'), or give a local folder: {source.key}=... ({WITHOUT_HUB})"
        )
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        return ModelError(
            f"model.revision={source.options['revision']}: no such branch, tag or commit of {source.name}"
        )
    if any(isinstance(cause, LocalEntryNotFoundError) for cause in causes) or (
        source.options["local_files_only"] and isinstance(error, OSError)
    ):
        return ModelError(f"{where}: the {what}: {unreachable(source.name)}")
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return ModelError(
            f"{where}: neither a folder here nor a repository on the Hugging Face hub that you may read "
            f"(private ones need 'hf auth login'); {WITHOUT_HUB}"
        )
    return ModelError(f"{where}: the {what} cannot be loaded: {first_line(error)}")


def _folder_problem(folder: Path, what: str, error: Exception) -> str:
    if isinstance(error, SafetensorError):
        damaged = [path.name for path in sorted(folder.glob("*.safetensors")) if not _opens(path)]
        names = ", ".join(damaged) or "safetensors"
        return f"damaged weights ({names} in {folder}): {error}; copy the model again"
    if isinstance(error, UnpicklingError | EOFError):
        return f"damaged weights (*.bin in {folder}), or pickled objects other than weights: not loaded"
    cause = damaged_file(folder) or first_line(error)
    return f"the {what} cannot be loaded: {cause} (the folder holds {listing(folder)})"


def _opens(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt"):
            return True
    except (SafetensorError, OSError):
        return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def first_line(error: Exception) -> str:
    """The beginning of a library's message, which may be a page long, with the error's kind if that helps."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = f"{type(error).__name__}: " if isinstance(error, UNFORESEEN) else ""
    return kind + " ".join(lines[:2])[:400] if lines else type(error).__name__
