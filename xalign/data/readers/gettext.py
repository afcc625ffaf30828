"""Human translations in gettext catalogues, `<locale>/LC_MESSAGES/*.po` in wheels (zip archives) or folders.

Nothing is imported from the packages. The message itself is English, as gettext's conventions have it.
Messages with a plural are left out: the singular is often a fragment of the plural ('%d item'), and languages
differ in what their first form covers.
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import polib

from xalign.config import DataConfig
from xalign.data.readers.files import decode, existing
from xalign.data.rows import Row
from xalign.errors import DataError
from xalign.languages import canonical, is_language

MESSAGE_LANGUAGE = "en"
_CATALOGUE = re.compile(r"(?:^|.*/)([^/]+)/LC_MESSAGES/[^/]+\.po$")


def read(data: DataConfig, languages: Sequence[str]) -> Iterator[Row]:
    """Rows of `data.packages` or `data.path` in the given languages (none: all), one a message."""
    if data.packages:
        from xalign.artifacts import package_file

        wheels = [package_file(name) for name in data.packages]
    else:
        assert data.path is not None
        path = existing(data.path)
        wheels = sorted(path.glob("*.whl")) if path.is_dir() else [path]
        if not wheels:
            yield from _rows(path.name, _folder_catalogues(path, languages), str(path))
    for wheel in wheels:
        yield from _rows("-".join(wheel.name.split("-")[:2]), _wheel_catalogues(wheel, languages), str(wheel))


def _rows(source: str, catalogues: Iterator[tuple[str, str, bytes]], place: str) -> Iterator[Row]:
    """Many-way rows of one package, merged by message; the first catalogue of a language wins."""
    messages: dict[str, dict[str, str]] = {}
    found = False
    for name, language, content in catalogues:
        found = True
        try:
            entries = polib.pofile(decode(content, name))
        except OSError as error:
            raise DataError(f"'{name}': not a gettext catalogue: {error}") from None
        for entry in entries:
            if entry.msgid_plural:
                continue
            if entry.obsolete or entry.fuzzy:
                fault = "obsolete" if entry.obsolete else "fuzzy"
                yield Row(source, {MESSAGE_LANGUAGE: entry.msgid, language: entry.msgstr}, fault)
            elif entry.msgstr:
                message = messages.setdefault(entry.msgid, {MESSAGE_LANGUAGE: entry.msgid})
                message.setdefault(language, entry.msgstr)
    if not found:
        raise DataError(
            f"'{place}' holds no gettext catalogues (<locale>/LC_MESSAGES/*.po) in the languages wanted"
        )
    for texts in messages.values():
        yield Row(source, texts)


def _wanted(name: str, languages: Sequence[str]) -> str | None:
    match = _CATALOGUE.match(name)
    if not match or not is_language(match[1]):
        return None
    language = canonical(match[1])
    # Catalogues of English varieties would replace the message by its own spelling.
    if language == MESSAGE_LANGUAGE or (languages and language not in languages):
        return None
    return language


def _wheel_catalogues(wheel: Path, languages: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(archive.namelist()):
                language = _wanted(name, languages)
                if language:
                    yield f"{wheel}/{name}", language, archive.read(name)
    except zipfile.BadZipFile as error:
        raise DataError(f"'{wheel}' is not a wheel (zip archive), or is damaged: {error}") from None


def _folder_catalogues(folder: Path, languages: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
    for path in sorted(folder.rglob("*.po")):
        language = _wanted(path.as_posix(), languages)
        if language:
            yield str(path), language, path.read_bytes()
