"""Which files of a dataset on the hub are which configuration and split, as far as its repository says so.

Read from its card, or from the layout that the hub itself gives its copies of sets that are scripts; a split
is then fetched without the others. Imports neither torch nor datasets.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.utils import glob_translate  # type: ignore[import-untyped]
from huggingface_hub import DatasetCard

from xalign.sources.hub import HubError, Kind, Listing, Reason, commit_of, fetch, look_up

CONVERTED = "refs/convert/parquet"
"""Branch where the hub keeps its own copy of a set, as `<configuration>/<split>/0000.parquet`."""

CARD = "README.md"
ENDINGS = (".parquet", ".json", ".jsonl", ".csv", ".tsv")
"""Of data files; behind the last four, `.gz` may stand."""

_CONVERTED = re.compile(r"([^/]+)/(?:partial-)?([^/]+)/[^/]+\.parquet")  # of very large sets, the beginning
_PLAIN = {"config_name", "data_files", "default", "description", "features"}
"""Keys of a configuration in a card under which files are read as they are."""

Configurations = Mapping[str, Mapping[str, Sequence[str]]]
"""Configuration -> split -> files."""


@dataclass(frozen=True)
class HubSet:
    """A dataset at a commit; its configurations are None where only `datasets` itself can tell."""

    name: str
    listing: Listing
    configurations: Configurations | None = None

    def fetch(self, files: Sequence[str], quiet: bool = False) -> list[Path]:
        """Local copies of files; raises as `hub.fetch`."""
        folder = fetch(Kind.dataset, self.name, self.listing, files, quiet)
        return [folder / file for file in files]


@cache
def hub_set(name: str, revision: str | None = None) -> HubSet:
    """A set at a revision (null: the default branch); of one that is a script, the hub's copy as files.

    Raises:
        HubError: it cannot be had, or is a script of which the hub has no copy.
    """
    found = HubSet(name, look_up(Kind.dataset, name, revision))
    files = found.listing.files
    if configurations := _by_card(found):
        return HubSet(name, found.listing, configurations)
    matches = {file: _CONVERTED.fullmatch(file) for file in files if not _incidental(file)}
    if matches and all(matches.values()):
        return HubSet(name, found.listing, _by_path(matches))
    if _script(name) not in files:
        return found
    try:
        return hub_set(name, CONVERTED)
    except HubError as error:
        if error.reason is not Reason.revision:
            raise
    raise HubError(
        Reason.absent,
        f"dataset '{name}' is a script, which `datasets` no longer runs, and the hub has no copy of it as "
        f"files ({CONVERTED})",
    )


def stated_configurations(name: str, revision: str | None = None) -> Configurations | None:
    """What configurations a set has, where its repository says so and can be asked."""
    try:
        return None if Path(name).is_dir() else hub_set(name, revision).configurations
    except HubError:
        return None


def commit_of_set(name: str, revision: str | None = None) -> str | None:
    """The commit that a set is read at: of one that is a script, that of the hub's copy as files."""
    try:
        return hub_set(name, revision).listing.commit
    except HubError:
        return commit_of(Kind.dataset, name, revision)


def _script(name: str) -> str:
    return f"{name.split('/')[-1]}.py"


def _incidental(file: str) -> bool:
    return PurePosixPath(file).name.startswith(".") or PurePosixPath(file).suffix in (".md", ".txt", "")


def _by_path(matches: Mapping[str, re.Match[str] | None]) -> Configurations:
    found: dict[str, dict[str, list[str]]] = {}
    for file, match in sorted(matches.items()):
        if match is not None:
            found.setdefault(match[1], {}).setdefault(match[2], []).append(file)
    return found


def _by_card(own: HubSet) -> Configurations | None:
    """As the card says; None where it does not, or in a way that only `datasets` understands."""
    if CARD not in own.listing.files:
        return None
    try:
        (path,) = own.fetch([CARD], quiet=True)
    except HubError as error:
        if error.reason is Reason.unreachable:  # of a set that was never read here as files
            return None
        raise
    try:
        stated = DatasetCard.load(path, ignore_metadata_errors=True).data.get("configs")
    except ValueError:  # no metadata, or damaged
        return None
    if not isinstance(stated, list) or not all(isinstance(config, dict) for config in stated):
        return None
    found: dict[str, dict[str, list[str]]] = {}
    for config in stated:
        splits = _splits(config.get("data_files"), own.listing.files)
        if splits is None or not config.keys() <= _PLAIN:
            return None
        found[str(config["config_name"])] = splits
    return found


def _splits(stated: Any, files: Mapping[str, int]) -> dict[str, list[str]] | None:
    if isinstance(stated, str) or (
        isinstance(stated, list) and all(isinstance(path, str) for path in stated)
    ):
        stated = [{"split": "train", "path": stated}]
    if not isinstance(stated, list):
        return None
    found: dict[str, list[str]] = {}
    for own in stated:
        if not isinstance(own, dict) or not own.keys() >= {"split", "path"}:
            return None
        paths = own["path"] if isinstance(own["path"], list) else [own["path"]]
        patterns = [re.compile(glob_translate(str(path).removeprefix("./"))) for path in paths]
        matching = [file for file in sorted(files) if any(p.fullmatch(file) for p in patterns)]
        if not all(file.removesuffix(".gz").endswith(ENDINGS) for file in matching):
            return None
        if matching:
            found.setdefault(str(own["split"]), []).extend(matching)
    return found
