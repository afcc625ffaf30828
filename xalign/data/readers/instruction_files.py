"""Folders with one file a language, as instruction sets are published."""

from collections.abc import Sequence
from pathlib import Path

from xalign.data.readers.files import existing
from xalign.errors import DataError
from xalign.languages import canonical, is_language


def files_by_language(folder: str, endings: Sequence[str], languages: Sequence[str]) -> dict[str, Path]:
    """Canonical language -> its file: `zh.json`, `xquad.zh.json`, `zh.jsonl.gz`.

    Raises:
        DataError: the folder is missing, or a language has no file; lists those that have.
    """
    found: dict[str, Path] = {}
    for path in sorted(existing(folder).iterdir()):
        parts = path.name.removesuffix(".gz").split(".")
        if len(parts) >= 2 and parts[-1] in endings and is_language(parts[-2]):
            found.setdefault(canonical(parts[-2]), path)
    missing = [code for code in languages if code not in found]
    if missing:
        raise DataError(
            f"folder '{folder}' has no file for {', '.join(missing)} "
            f"(wanted: <language>.{endings[0]}; languages there: {', '.join(found) or 'none'})"
        )
    return {code: found[code] for code in languages}
