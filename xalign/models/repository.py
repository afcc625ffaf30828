"""A model's repository on the hub: which of its files are needed, and those fetched into the local cache.

A model is published in several formats, of which each may have several gigabytes; one is enough. Imports
neither torch nor transformers.
"""

import json
from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from pathlib import Path

from xalign.base.errors import ModelError
from xalign.sources.hub import HubError, Kind, Reason, fetch, look_up

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files with all weights, or saying in which files these are: the first one is taken."""

_SMALL = (
    "*.json",
    "*.jinja",
    "*.model",
    "*.txt",
    "*.tiktoken",
    "*.spm",
    "*.bpe",
    "additional_chat_templates/*",
)
"""Configuration and tokenizer."""
_NOT_READ = ("*.index.json", "requirements.txt", "*_results.json", "trainer_state.json", "flax_*", "tf_*")


def small_files(files: Collection[str], code: bool) -> list[str]:
    """Files of configuration and tokenizer, at the repository's top, and with `code` its modules."""
    wanted = [
        name
        for name in files
        if ("/" not in name or name.startswith("additional_chat_templates/"))
        and any(fnmatch(name, pattern) for pattern in _SMALL)
        and not any(fnmatch(name, pattern) for pattern in _NOT_READ)
    ]
    return sorted([*wanted, *(name for name in files if code and name.endswith(".py"))])


def problem_of_files(files: Collection[str]) -> str | None:
    """What a repository lacks to be a model, as far as names can say."""
    if "adapter_config.json" in files:
        return None  # whoever loads it says what to do with an adapter
    if "config.json" not in files:
        ggufs = sorted(name for name in files if name.endswith(".gguf"))
        also = f"; of its GGUF files, download one and give its path, such as {ggufs[0]}" if ggufs else ""
        return f"no config.json in this repository, so it is no model in Hugging Face format{also}"
    if not any(name in files for name in WEIGHTS):
        shown = ", ".join(sorted(files)[:8])
        return (
            f"no weights that are read ({WEIGHTS[0]}, {WEIGHTS[2]} or their shards) in this repository; it "
            f"holds {shown}"
        )
    return None


def fetch_small(name: str, revision: str | None, code: bool) -> Path:
    """The local folder with a repository's files of configuration and tokenizer.

    Raises:
        HubError: they cannot be had.
    """
    listing = look_up(Kind.model, name, revision)
    return fetch(Kind.model, name, listing, small_files(listing.files, code), quiet=True)


def fetch_weights(name: str, revision: str | None) -> None:
    """Bring the weights beside the other files, in the first format that there is.

    Raises:
        HubError: they cannot be had.
        ModelError: there are none, or the list of their files is damaged.
    """
    listing = look_up(Kind.model, name, revision)
    if problem := problem_of_files(listing.files):
        raise ModelError(problem)
    first = next(own for own in WEIGHTS if own in listing.files)
    names = [first]
    if first.endswith(".index.json"):
        folder = fetch(Kind.model, name, listing, [first], quiet=True)
        names = _shards(folder / first, listing.files)
    fetch(Kind.model, name, listing, names)


def _shards(index: Path, files: Mapping[str, int]) -> list[str]:
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{index.name} has no weight_map that says in which file each weight is") from None
    if missing := [shard for shard in shards if shard not in files]:
        raise HubError(Reason.absent, f"{index.name} names {missing[0]}, which is not in the repository")
    return shards
