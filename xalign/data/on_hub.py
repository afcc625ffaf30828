"""Datasets of the Hugging Face hub: loaded, listed, and what to say where they cannot be had."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import datasets
import huggingface_hub
from datasets.exceptions import DatasetGenerationError, DatasetsError

# HTTPError is that of its own client, be that httpx or httpx2.
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RevisionNotFoundError,
)

from xalign.base.errors import ArtifactError, ConfigError, did_you_mean
from xalign.sources.hub import hub_answers

log = logging.getLogger(__name__)

CLIENT_ERRORS: tuple[type[Exception], ...] = (OSError, HTTPError, DatasetsError, HFValidationError)
"""What the hub's clients raise where something cannot be had: no connection, a broken one, no such name."""

LOADING_ERRORS: tuple[type[Exception], ...] = (*CLIENT_ERRORS, RuntimeError)
"""The same of `datasets.load_dataset`; RuntimeError: it does not run scripts."""

CONVERTED = "refs/convert/parquet"
"""Where the hub keeps its own copy of a set, as `<configuration>/<split>/0000.parquet`."""


def load(
    name: str, config: str | None, split: str, key: str, revision: str | None = None
) -> datasets.Dataset:
    """One split of a hub dataset; at its default branch where no commit, branch or tag is given. Sets that
    are scripts, which `datasets` does not run, the hub has as files.

    Raises ConfigError, with the allowed names, for a wrong configuration or split, and ArtifactError where
    the hub cannot be reached or has no such dataset; `key` is the config group to mend.
    """
    if (converted := _converted(name, key)) is not None:
        return _load_converted(converted, config, split)
    wanted = _wanted(name, config, split)
    try:
        return datasets.load_dataset(name, config, split=split, revision=revision)
    except ValueError as error:
        raise ConfigError([f"{key}.hub: {wanted}: {_one_line(error)}"]) from None
    except LOADING_ERRORS as error:
        raise unreachable(wanted, name, error, key) from None


@dataclass(frozen=True)
class Repository:
    """A dataset's files on the hub at a revision; where the hub does not answer, those in its local cache.

    Raises ArtifactError, naming `key`'s group, where they cannot be had.
    """

    name: str
    key: str
    revision: str = "main"

    @property
    def place(self) -> str:
        """Where the files are, for messages."""
        own = f"dataset '{self.name}'"
        return f"{own} on the Hugging Face hub" if hub_answers() else f"{own} in the local cache of the hub"

    @cached_property
    def files(self) -> Sequence[str]:
        """Paths of all files; none where there is no such revision, or nothing of it in the cache."""
        if not hub_answers():
            return self._cached()
        try:
            found = huggingface_hub.HfApi().dataset_info(self.name, revision=self.revision)
        except RevisionNotFoundError:
            return []
        except CLIENT_ERRORS as error:
            raise unreachable(f"dataset '{self.name}'", self.name, error, self.key) from None
        return sorted(sibling.rfilename for sibling in found.siblings or ())

    def fetch(self, file: str) -> Path:
        """A file's local copy."""
        try:
            return Path(
                huggingface_hub.hf_hub_download(
                    self.name,
                    file,
                    repo_type="dataset",
                    revision=self.revision,
                    local_files_only=not hub_answers(),
                )
            )
        except CLIENT_ERRORS as error:
            raise unreachable(f"'{file}' of dataset '{self.name}'", self.name, error, self.key) from None

    def _cached(self) -> Sequence[str]:
        try:
            folder = Path(
                huggingface_hub.snapshot_download(
                    self.name, repo_type="dataset", revision=self.revision, local_files_only=True
                )
            )
        except LocalEntryNotFoundError:
            return []
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@cache
def _converted(name: str, key: str) -> Repository | None:
    """The hub's own copy of a set that is a script; None for a set that `datasets` reads."""
    if Path(name).is_dir():
        return None
    converted = Repository(name, key, CONVERTED)
    if not hub_answers():
        return converted if converted.files else None
    if f"{name.split('/')[-1]}.py" not in Repository(name, key).files:
        return None
    if not converted.files:
        raise ArtifactError(
            f"dataset '{name}' is a script, which `datasets` no longer runs, and the hub has no copy of it "
            f"as files ({CONVERTED}); give one on this machine: {key}.hub=null {key}.path=<local copy>"
        )
    return converted


def _load_converted(converted: Repository, config: str | None, split: str) -> datasets.Dataset:
    found: dict[tuple[str, str], list[str]] = {}
    for file in converted.files:
        # Of very large sets, the hub converts the beginning.
        if match := re.fullmatch(r"([^/]+)/(?:partial-)?([^/]+)/[^/]+\.parquet", file):
            found.setdefault((match[1], match[2]), []).append(file)
    configs = list(dict.fromkeys(own for own, _ in found))
    if config is None and len(configs) == 1:
        config = configs[0]
    wanted = _wanted(converted.name, config, split)
    if config not in configs:
        hint = did_you_mean(config or "", configs)
        raise ConfigError(
            [f"{converted.key}.hub: {wanted}: its configurations are {', '.join(configs)}{hint}"]
        )
    if (config, split) not in found:
        splits = ", ".join(own for owner, own in found if owner == config)
        raise ConfigError([f"{converted.key}.hub: {wanted}: its splits are {splits}"])
    files = found[config, split]
    if "/partial-" in files[0]:
        log.warning("%s: the hub's copy of it as files holds only its beginning", wanted)
    return datasets.Dataset.from_parquet([str(converted.fetch(file)) for file in files])


def configuration_names(name: str, key: str, revision: str | None = None) -> Sequence[str]:
    """Names of a dataset's configurations; raises as `load`."""
    if (converted := _converted(name, key)) is not None:
        return list(dict.fromkeys(file.split("/")[0] for file in converted.files if "/" in file))
    try:
        return datasets.get_dataset_config_names(name, revision=revision)
    except CLIENT_ERRORS as error:
        raise unreachable(f"dataset '{name}'", name, error, key) from None


def _wanted(name: str, config: str | None, split: str) -> str:
    return f"dataset '{name}'" + (f", configuration '{config}'" if config else "") + f", split '{split}'"


def unreachable(wanted: str, name: str, error: Exception, key: str) -> ArtifactError:
    """What to raise where something of a dataset could not be had; `error` is one of `CLIENT_ERRORS`."""
    while isinstance(error, DatasetGenerationError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    # `datasets` says so in its own words; those of a repository that is not there speak of gates as well.
    if isinstance(error, GatedRepoError) or "is a gated dataset" in str(error):
        return ArtifactError(
            f"{wanted} is gated: accept its conditions on https://huggingface.co/datasets/{name} and log in "
            f"with `hf auth login`, or give a copy on this machine: {key}.hub=null {key}.path=<local copy>"
        )
    return ArtifactError(
        f"could not get {wanted} from the Hugging Face hub: {_one_line(error)}{_address(error)}. "
        f"Without a network, give a copy on this machine: {key}.hub=null {key}.path=<local copy>"
    )


def _address(error: Exception) -> str:
    """Of a connection that failed: what was asked for. Responses name it in their message."""
    if not isinstance(error, HTTPError) or isinstance(error, OSError):
        return ""
    try:
        return f" ({str(error.request.url).partition('?')[0]})"
    except RuntimeError:  # the error knows of none
        return ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
