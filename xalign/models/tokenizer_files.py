"""What a tokenizer's files ask for to be read, as far as their names say."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

_READ_BY = {".model": ("sentencepiece", "sentencepiece"), ".tiktoken": ("tiktoken", "tiktoken")}
"""Ending of a file -> the package that reads it, and our extra that brings it."""


UNREAD = "sentencepiece.bpe.model"
"""XGLM's: transformers 5 reads its tokenizer.json only."""


def problem_of_tokenizer(place: Path | Iterable[str]) -> str | None:
    """Why the tokenizer in a folder, or among a repository's files, cannot be read: the package that it needs
    is not installed. None with `tokenizer.json`, which needs none."""
    names = [path.name for path in place.iterdir()] if isinstance(place, Path) else list(place)
    if "tokenizer.json" in names or "tekken.json" in names:
        return None
    if UNREAD in names:
        return (
            f"its tokenizer is in {UNREAD} alone, of which transformers makes none that can write text: "
            "tokenizer.json is needed beside it, or model.tokenizer=... for that of another copy"
        )
    for name in sorted(names):
        package, extra = _READ_BY.get(Path(name).suffix, (None, None))
        if package and "/" not in name and find_spec(package) is None:
            return (
                f"its tokenizer is in {name}, without a tokenizer.json: the package {package} is needed to "
                f"read it: pip install 'xalign[{extra}]'"
            )
    return None
