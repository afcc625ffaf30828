"""Line-aligned text files: Moses (`train.en`, `train.de`, also .gz) and LASER's `tatoeba.fra-eng.fra`.

The last part of a name is the language, what stands before it the stem; files of one stem are translations of
each other line by line. Stems that end in their two languages ('tatoeba.fra-eng') are bitexts of one set.
FLORES has it the other way round: `eng_Latn.devtest`, `deu_Latn.devtest`; so have `en.txt`, `de.txt`.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from xalign.config import DataConfig
from xalign.data.readers.files import existing, read_lines, stem_and_suffix
from xalign.data.rows import Row
from xalign.errors import DataError, did_you_mean
from xalign.languages import canonical, is_language

log = logging.getLogger(__name__)

# Stem -> language -> file.
Stems = dict[str, dict[str, Path]]

TURNED = ("dev", "devtest", "txt")
"""Endings of files that are named by their language. `dev` and `txt` are languages, too, but small ones."""


def read(data: DataConfig, languages: Sequence[str]) -> Iterator[Row]:
    """Rows of `data.path` (folder, or folder/stem) in the given languages (none given: all)."""
    assert data.path is not None
    for stem, files in choose(Path(data.path)).items():
        wanted = {code: path for code, path in files.items() if not languages or code in languages}
        if wanted:
            yield from _aligned(stem, wanted)


def choose(path: Path) -> Stems:
    """The stems to read: those of the one set that `path` names, or that its folder holds, or 'train'."""
    if path.is_file():
        path = path.with_name(stem_and_suffix(path)[0])
    if path.is_dir():
        sets = _sets(find_stems(path))
        if len(sets) == 1:
            return next(iter(sets.values()))
        if "train" in sets:
            return sets["train"]
        if not sets:
            raise DataError(f"folder '{path}' holds no line-aligned files such as train.en and train.de")
        raise DataError(
            f"folder '{path}' holds several corpora; name one, as in data.path={path}/NAME: "
            f"{', '.join(sorted(sets))}"
        )
    stems = find_stems(path.parent) if path.parent.is_dir() else {}
    sets = _sets(stems)
    if path.name in sets:
        return sets[path.name]
    if path.name in stems:
        return {path.name: stems[path.name]}
    if stems:
        names = sorted({*stems, *sets})
        raise DataError(
            f"'{path}' is neither a file nor the stem of line-aligned files "
            f"(stems there: {', '.join(names)}){did_you_mean(path.name, names)}"
        )
    existing(path)
    raise AssertionError("unreachable: a path that exists is a file or a folder")


def find_stems(folder: Path) -> Stems:
    """Stems in a folder that have files in two languages or more."""
    stems: Stems = {}
    for path in sorted(folder.iterdir()):
        stem, code = stem_and_suffix(path)
        if code in TURNED and is_language(stem):
            # Variants that have one code for us (Persian and Dari) stand side by side: the first counts.
            first = stems.setdefault(code, {}).setdefault(canonical(stem), path)
            if first != path:
                log.warning("%s is passed over: %s is of the same language", path, first.name)
        elif stem and path.is_file() and is_language(code):
            first = stems.setdefault(stem, {}).setdefault(canonical(code), path)
            if first != path:
                raise DataError(f"'{first}' and '{path}' are both {canonical(code)}; keep one of them")
    return {stem: files for stem, files in stems.items() if len(files) > 1}


def _sets(stems: Stems) -> dict[str, Stems]:
    sets: dict[str, Stems] = {}
    for stem, files in stems.items():
        pair = re.fullmatch(r"(?:(.*)\.)?([A-Za-z_]+)-([A-Za-z_]+)", stem)
        name = stem
        if pair and is_language(pair[2]) and is_language(pair[3]):
            bitext = {canonical(pair[2]), canonical(pair[3])} == files.keys()
            name = pair[1] if pair[1] and bitext else stem
        sets.setdefault(name, {})[stem] = files
    return sets


def _aligned(stem: str, files: dict[str, Path]) -> Iterator[Row]:
    columns = {code: read_lines(path) for code, path in files.items()}
    first = next(iter(columns))
    for code, lines in columns.items():
        if len(lines) != len(columns[first]):
            raise DataError(
                f"'{files[first]}' has {len(columns[first]):,} lines but '{files[code]}' has {len(lines):,}; "
                "line-aligned files must have the same number"
            )
    for texts in zip(*columns.values(), strict=True):
        yield Row(stem, dict(zip(columns, texts, strict=True)))
