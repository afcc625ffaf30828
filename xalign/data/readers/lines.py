"""Line-aligned text files: Moses (`train.en`, `train.de`, also .gz) and LASER's `tatoeba.fra-eng.fra`.

The last part of a name is the language, what stands before it the stem; files of one stem are translations of
each other line by line. Stems that end in their two languages ('tatoeba.fra-eng') are bitexts of one set.
FLORES has it the other way round: `eng_Latn.devtest`, `deu_Latn.devtest`; so have `en.txt`, `de.txt`.
"""

import logging
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from xalign.base.errors import DataError
from xalign.base.languages import canonical, is_language
from xalign.data.readers.base import Reader, Source
from xalign.data.readers.files import ending, existing, lines_or_faults, stem_and_suffix
from xalign.data.rows import Row

log = logging.getLogger(__name__)

# Stem -> language -> file.
Stems = dict[str, dict[str, Path]]

TURNED = ("dev", "devtest", "txt")
"""Endings of files that are named by their language. `dev` and `txt` are languages, too, but small ones."""


OF_OTHERS = ("csv", "tsv", "xls", "mo")
"""Endings of other layouts that are codes of languages, too."""


class LinesReader(Reader):
    """`train.en`, `train.de`: line n of one file translates line n of the other; a folder, a stem
    (`data.path=DIR/train`), or one of the files."""

    @classmethod
    def looks_like(cls) -> str:
        return "train.en beside train.de"

    @classmethod
    def claims(cls, source: Source) -> bool:
        if source.path is None:
            return False
        try:
            stems = find_stems(source.path if source.path.is_dir() else source.path.parent)
        except DataError:
            return True
        if source.path.is_dir():
            return bool(stems)
        if source.path.is_file():
            return _stem_of(source.path, stems) is not None
        return source.path.name in {*stems, *_sets(stems)}

    @classmethod
    def recognises(cls, source: Source) -> bool:
        try:
            chosen = choose(source.path) if source.path is not None else {}
            return any(source.pivot in files for files in chosen.values())
        except DataError:
            return False

    def chosen(self) -> Stems:
        """The stems to read, with the files in the languages wanted."""
        assert self.source.path is not None
        chosen = {
            stem: {code: path for code, path in files.items() if self.source.wants(code)}
            for stem, files in choose(self.source.path).items()
        }
        return {stem: files for stem, files in chosen.items() if files}

    def files(self) -> list[Path]:
        return [path for files in self.chosen().values() for path in files.values()]

    def rows(self) -> Iterator[Row]:
        for stem, files in self.chosen().items():
            yield from _aligned(stem, files, self.source)


READER = LinesReader


def choose(path: Path) -> Stems:
    """The stems to read: those of the one set that `path` names, or that its folder holds, or 'train'."""
    if path.is_dir():
        return _only_set(path)
    stems = find_stems(path.parent) if path.parent.is_dir() else {}
    if path.is_file():
        stem = _stem_of(path, stems)
        if stem is None:
            raise DataError(
                f"'{path}' has no translation beside it: line-aligned files are named such as train.en and "
                "train.de"
            )
        return {stem: stems[stem]}
    sets = _sets(stems)
    if path.name in sets:
        return sets[path.name]
    if path.name in stems:
        return {path.name: stems[path.name]}
    existing(path)
    raise AssertionError("unreachable: a path that exists is a file or a folder")


def _only_set(folder: Path) -> Stems:
    sets = _sets(find_stems(folder))
    if len(sets) == 1:
        return next(iter(sets.values()))
    if "train" in sets:
        return sets["train"]
    if not sets:
        raise DataError(f"folder '{folder}' holds no line-aligned files such as train.en and train.de")
    raise DataError(
        f"folder '{folder}' holds several corpora; name one, as in data.path={folder}/NAME: "
        f"{', '.join(sorted(sets))}"
    )


def find_stems(folder: Path) -> Stems:
    """Stems in a folder that have files in two languages or more."""
    stems: Stems = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.is_file():
            continue
        stem, code = stem_and_suffix(path)
        if ending(path) in TURNED and is_language(stem):
            # Variants that have one code for us (Persian and Dari) stand side by side: the first counts.
            first = stems.setdefault(ending(path), {}).setdefault(canonical(stem), path)
            if first != path:
                log.warning("%s is passed over: %s is of the same language", path, first.name)
        elif stem and is_language(code) and ending(path) not in OF_OTHERS:
            first = stems.setdefault(stem, {}).setdefault(canonical(code), path)
            if first != path:
                raise DataError(f"'{first}' and '{path}' are both {canonical(code)}; keep one of them")
    return {stem: files for stem, files in stems.items() if len(files) > 1}


def _stem_of(path: Path, stems: Stems) -> str | None:
    return next((stem for stem, files in stems.items() if path in files.values()), None)


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


def _aligned(stem: str, files: dict[str, Path], source: Source) -> Iterator[Row]:
    for texts in zip_longest(*(lines_or_faults(path) for path in files.values())):
        faults = [text for text in texts if isinstance(text, DataError)]
        unequal = any(text is None for text in texts)
        if faults or unequal:
            yield source.unreadable(faults[0] if faults else _unequal(files), stem)
        if unequal:
            return
        if not faults:
            yield Row(stem, {code: str(text) for code, text in zip(files, texts, strict=True)})


def _unequal(files: dict[str, Path]) -> DataError:
    counts = {code: sum(1 for _ in lines_or_faults(path)) for code, path in files.items()}
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    return DataError(
        f"'{files[most]}' has {counts[most]:,} lines but '{files[least]}' has {counts[least]:,}; "
        "line-aligned files must have the same number"
    )
