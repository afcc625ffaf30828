"""Where a model or tokenizer is loaded from, and the message when that fails."""

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING

from xalign.base.errors import ModelError, XalignError, did_you_mean
from xalign.config.schema import ModelConfig
from xalign.models import adapter_folder
from xalign.models.adapter_folder import Stack, stack_of
from xalign.models.gguf import MODELS, model_from_artifact
from xalign.models.gguf.own_file import converted, gguf_of
from xalign.models.model_folder import damaged_file, problem_of_folder
from xalign.models.own_path import WITHOUT_HUB, listing, problem_of_path
from xalign.models.repository import fetch_small, fetch_weights, problem_of_files
from xalign.models.tokenizer_files import problem_of_tokenizer
from xalign.sources.hub import HubError, Kind, Reason, fetch, look_up

_TOKENIZER = ("token*", "special_tokens_map.json", "vocab*", "merges.txt", "chat_template*")
"""Files of a tokenizer beside an adapter."""

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
    copy: Path | None = None
    """Of a repository, where its files lie on this machine: configuration and tokenizer, and the weights once
    they are fetched."""
    revision: str | None = None

    @property
    def location(self) -> str:
        return str(self.folder or self.copy)

    def problem_of_files(self) -> str | None:
        """What a repository lacks to be a model, before its weights are fetched."""
        return problem_of_files(look_up(Kind.model, self.name, self.revision).files)

    def fetch_weights(self) -> None:
        """Bring a repository's weights onto this machine.

        Raises:
            ModelError: they cannot be had.
        """
        if self.folder is None:
            try:
                fetch_weights(self.name, self.revision)
            except ModelError as error:
                raise ModelError(f"{self.key}={self.name}: {error}") from None
            except HubError as error:
                raise unavailable(self.key, self.name, error) from None


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
    problem = problem_of_folder(source.folder) if source.folder else source.problem_of_files()
    if problem:
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
    try:
        there = look_up(Kind.model, name, revision)
        if adapter_folder.CONFIG not in there.files:
            return None
        wanted = (adapter_folder.CONFIG, adapter_folder.WEIGHTS[0], *_TOKENIZER)
        files = [file for file in there.files if any(fnmatch(file, pattern) for pattern in wanted)]
        return fetch(Kind.model, name, there, files)
    except HubError:
        return None  # loading says what is wrong


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
    try:
        copy = fetch_small(name, revision, config.trust_remote_code)
    except HubError as error:
        raise unavailable(key, name, error) from None
    options = {"trust_remote_code": config.trust_remote_code, "local_files_only": True}
    return Source(key, name, None, options, copy, revision)


def unavailable(key: str, name: str, error: HubError) -> ModelError:
    """What to raise where something of a model's repository cannot be had."""
    more = {
        Reason.gated: f", or give a local folder: {key}=... ({WITHOUT_HUB})",
        Reason.revision: "",
        Reason.failed: f"; what has been downloaded is kept, and the same command goes on ({WITHOUT_HUB})",
    }
    return ModelError(f"{key}={name}: {error}{more.get(error.reason, f'; {WITHOUT_HUB}')}")


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
    if what == "tokenizer" and (problem := problem_of_tokenizer(Path(source.location))):
        return ModelError(f"{where}: {problem}")
    if isinstance(error, ImportError):
        return ModelError(f"{where}: the {what} needs a package that is not installed: {first_line(error)}")
    return ModelError(f"{where}: {_folder_problem(Path(source.location), what, error)}")


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


def first_line(error: Exception) -> str:
    """The beginning of a library's message, which may be a page long, with the error's kind if that helps."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = f"{type(error).__name__}: " if isinstance(error, UNFORESEEN) else ""
    return kind + " ".join(lines[:2])[:400] if lines else type(error).__name__
