"""Sets with one file a language, as instructions are published: in a folder, or on the hub."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from xalign.base.errors import DataError
from xalign.base.languages import canonical, is_language
from xalign.data.readers.files import existing

ENDINGS = ("json", "jsonl")
"""Of files with instructions in a repository of the hub."""


def files_by_language(names: Iterable[str], endings: Sequence[str]) -> dict[str, str]:
    """Canonical language -> its file, of those with one of the endings: `zh.json`, `xquad.zh.json`,
    `data/zh.jsonl.gz`."""
    found: dict[str, str] = {}
    for name in sorted(names):
        parts = PurePosixPath(name).name.removesuffix(".gz").split(".")
        if len(parts) >= 2 and parts[-1] in endings and is_language(parts[-2]):
            found.setdefault(canonical(parts[-2]), name)
    return found


def commit_read(name: str, revision: str | None) -> str | None:
    """The commit of the hub's set that instructions are read at: of files in its repository, or of the copy
    that the hub has of a script."""
    from xalign.sources.hub import HubError, Kind, look_up
    from xalign.sources.hub_sets import commit_of_set

    try:
        listing = look_up(Kind.dataset, name, revision)
    except HubError:
        return None
    return listing.commit if files_by_language(listing.files, ENDINGS) else commit_of_set(name, revision)


def require_languages(
    found: Mapping[str, str], languages: Sequence[str], place: str, endings: Sequence[str]
) -> None:
    """See to it that every language has a file.

    Raises:
        DataError: one has none; says which have.
    """
    missing = [code for code in languages if code not in found]
    if missing:
        raise DataError(
            f"{place} has no file for {', '.join(missing)} "
            f"(wanted: <language>.{endings[0]}; languages there: {', '.join(found) or 'none'})"
        )


def in_folder(folder: str, endings: Sequence[str], languages: Sequence[str]) -> dict[str, Path]:
    """Each language's file in a folder.

    Raises:
        DataError: the folder is missing, or a language has no file.
    """
    path = existing(folder)
    found = files_by_language((file.name for file in path.iterdir()), endings)
    require_languages(found, languages, f"folder '{folder}'", endings)
    return {code: path / found[code] for code in languages}
