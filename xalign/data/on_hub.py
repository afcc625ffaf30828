"""Datasets of the Hugging Face hub: loaded, listed, and what to say where they cannot be had."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import datasets
from datasets.exceptions import DatasetGenerationError, DatasetsError
from huggingface_hub.errors import GatedRepoError

from xalign.base.errors import ArtifactError, ConfigError, XalignError, did_you_mean
from xalign.sources.hub import (
    CLIENT_ERRORS,
    HubError,
    Kind,
    Listing,
    Reason,
    fetch,
    gated,
    hub_answers,
    look_up,
    one_line,
)
from xalign.sources.hub_sets import HubSet, hub_set

log = logging.getLogger(__name__)

LOADING_ERRORS: tuple[type[Exception], ...] = (*CLIENT_ERRORS, DatasetsError, RuntimeError)
"""What `datasets.load_dataset` raises where a set cannot be had; RuntimeError: it does not run scripts."""

_READERS: Mapping[str, Callable[..., datasets.Dataset]] = {
    ".parquet": datasets.Dataset.from_parquet,
    ".json": datasets.Dataset.from_json,
    ".jsonl": datasets.Dataset.from_json,
    ".csv": datasets.Dataset.from_csv,
    ".tsv": lambda paths: datasets.Dataset.from_csv(paths, sep="\t"),
}


def load(
    name: str, config: str | None, split: str, key: str, revision: str | None = None
) -> datasets.Dataset:
    """One split of a hub dataset, of which alone the files are fetched; at its default branch where no
    commit, branch or tag is given. Sets that are scripts, which `datasets` does not run, the hub has as
    files.

    Raises ConfigError, with the allowed names, for a wrong configuration or split, and ArtifactError where
    the hub cannot be reached or has no such dataset; `key` is the config group to mend.
    """
    wanted = _wanted(name, config, split)
    found = _found(name, wanted, key, revision)
    if found is None or found.configurations is None:
        return _by_library(name, config, split, key, found.listing.commit if found else revision)
    files = _files(found, config, split, key)
    if any("/partial-" in file for file in files):
        log.warning("%s: the hub's copy of it as files holds only its beginning", wanted)
    with _named(wanted, key):
        paths = [str(path) for path in found.fetch(files)]
    try:
        return _READERS[Path(files[0].removesuffix(".gz")).suffix](paths)
    except LOADING_ERRORS as error:
        raise ArtifactError(f"{wanted}: {files[0]} cannot be read: {one_line(_cause(error))}") from None


def configuration_names(name: str, key: str, revision: str | None = None) -> Sequence[str]:
    """Names of a dataset's configurations; raises as `load`."""
    found = _found(name, f"dataset '{name}'", key, revision)
    if found is not None and found.configurations is not None:
        return list(found.configurations)
    try:
        commit = found.listing.commit if found else revision
        return datasets.get_dataset_config_names(name, revision=commit)
    except LOADING_ERRORS as error:
        raise _failed(f"dataset '{name}'", name, error, key) from None


@dataclass(frozen=True)
class Repository:
    """A dataset's files on the hub at a revision; where the hub does not answer, those in its local cache.

    Raises ArtifactError, naming `key`'s group, where they cannot be had.
    """

    name: str
    key: str
    revision: str | None = None

    @property
    def place(self) -> str:
        """Where the files are, for messages."""
        own = f"dataset '{self.name}'"
        return f"{own} on the Hugging Face hub" if hub_answers() else f"{own} in the local cache of the hub"

    @cached_property
    def _listing(self) -> Listing:
        with _named(f"dataset '{self.name}'", self.key):
            return look_up(Kind.dataset, self.name, self.revision)

    @property
    def files(self) -> Sequence[str]:
        """Paths of all files."""
        return sorted(self._listing.files)

    def fetch(self, file: str) -> Path:
        """A file's local copy."""
        with _named(f"'{file}' of dataset '{self.name}'", self.key):
            return fetch(Kind.dataset, self.name, self._listing, [file]) / file


def _found(name: str, wanted: str, key: str, revision: str | None) -> HubSet | None:
    """The set as its repository describes it; None where only `datasets` may have it: a folder, or without a
    hub something in a cache of its own."""
    if Path(name).is_dir():
        return None
    try:
        return hub_set(name, revision)
    except HubError as error:
        # Where the hub is merely down, `datasets` would try for half a minute.
        if error.reason is Reason.unreachable and datasets.config.HF_HUB_OFFLINE:
            return None
        raise unavailable(error, wanted, key) from None


def _files(found: HubSet, config: str | None, split: str, key: str) -> Sequence[str]:
    configurations = found.configurations or {}
    if config is None:
        config = next(iter(configurations)) if len(configurations) == 1 else "default"
    wanted = _wanted(found.name, config, split)
    if config not in configurations:
        hint = did_you_mean(config, configurations)
        raise ConfigError([f"{key}.hub: {wanted}: its configurations are {', '.join(configurations)}{hint}"])
    splits = configurations[config]
    if split not in splits:
        raise ConfigError([f"{key}.hub: {wanted}: its splits are {', '.join(splits)}"])
    return splits[split]


def _by_library(
    name: str, config: str | None, split: str, key: str, revision: str | None
) -> datasets.Dataset:
    """What `datasets` finds in a repository or folder that does not say what is in it."""
    wanted = _wanted(name, config, split)
    try:
        return datasets.load_dataset(name, config, split=split, revision=revision)
    except ValueError as error:
        raise ConfigError([f"{key}.hub: {wanted}: {one_line(error)}"]) from None
    except LOADING_ERRORS as error:
        raise _failed(wanted, name, error, key) from None


def _wanted(name: str, config: str | None, split: str) -> str:
    return f"dataset '{name}'" + (f", configuration '{config}'" if config else "") + f", split '{split}'"


@contextmanager
def _named(wanted: str, key: str) -> Iterator[None]:
    """What is wrong with the hub, as an error that names the config group to mend."""
    try:
        yield
    except HubError as error:
        raise unavailable(error, wanted, key) from None


def unavailable(error: HubError, wanted: str, key: str) -> XalignError:
    """What to raise where something of a dataset could not be had."""
    copy = f"{key}.hub=null {key}.path=<local copy>"
    if error.reason is Reason.gated:
        return ArtifactError(f"{error}, or give a copy on this machine: {copy}")
    if error.reason is Reason.failed:
        return ArtifactError(f"{error}. Without a network, give a copy on this machine: {copy}")
    said = str(error)
    what = "" if "dataset '" in said else f"{wanted}: "
    return ArtifactError(f"{what}{said}; give a copy on this machine: {copy}")


def _failed(wanted: str, name: str, error: Exception, key: str) -> XalignError:
    error = _cause(error)
    # `datasets` says so in its own words; those of a repository that is not there speak of gates as well.
    if isinstance(error, GatedRepoError) or "is a gated dataset" in str(error):
        return unavailable(HubError(Reason.gated, f"{wanted}: {gated(Kind.dataset, name)}"), wanted, key)
    said = f"could not get {wanted} from the Hugging Face hub: {one_line(error)}"
    return unavailable(HubError(Reason.failed, said), wanted, key)


def _cause(error: Exception) -> Exception:
    while isinstance(error, DatasetGenerationError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error
