"""Where dictionaries of words are, by language; nothing heavy is imported here."""

from collections.abc import Iterable, Iterator
from pathlib import Path


def dictionary_file(folder: str, pivot: str, target: str) -> Path:
    """Where a dictionary's words of a language are: `<folder>/<pivot>-<target>.txt`."""
    return Path(folder).expanduser() / f"{pivot}-{target}.txt"


def missing_dictionaries(folder: str, pivot: str, targets: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with an option `dictionary`, for `Config.problems`."""
    for target in targets:
        if not dictionary_file(folder, pivot, target).is_file():
            yield "dictionary", f"has no {pivot}-{target}.txt"
