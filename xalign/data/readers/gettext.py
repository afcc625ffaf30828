"""Human translations in gettext catalogues: `.po` files in folders and in wheels (zip archives), and `.mo`
files where only those are there.

Nothing is imported from packages. The message itself is English, as gettext's conventions have it.
Messages with a plural are left out: the singular is often a fragment of the plural ('%d item'), and languages
differ in what their first form covers.
"""

import codecs
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from tempfile import NamedTemporaryFile

import polib

from xalign.base.errors import DataError
from xalign.base.languages import canonical, is_language
from xalign.data.readers.base import Reader, Source
from xalign.data.readers.files import decode, ending, existing, read_bytes
from xalign.data.rows import Row
from xalign.sources.packages import find_package

MESSAGE_LANGUAGE = "en"
CATALOGUES = ("po", "mo")
INSTALLED = "LC_MESSAGES"
"""The folder that programs load catalogues from, inside that of their language."""
_CHARSET = re.compile(rb'^"?Content-Type:[^\n]*?charset=([\w.:-]+)', re.IGNORECASE | re.MULTILINE)
_LANGUAGE = re.compile(rb'^"?Language:\s*([\w@.-]+)', re.MULTILINE)

_COMPILED = (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")
"""How compiled catalogues begin, in either order of bytes."""

# A catalogue's path in its folder or archive, and what reads it.
Files = dict[PurePath, Callable[[], bytes]]


class _Without(DataError):
    """A package without catalogues in the languages wanted, which others may have."""


class GettextReader(Reader):
    """Wheels, or folders with `<locale>/LC_MESSAGES/*.po`, `po/de.po`, `app.de.po` or `de/app.po`."""

    endings = ("po", "mo", "whl")
    markup = True

    @classmethod
    def claims(cls, source: Source) -> bool:
        return bool(_files_of(source))

    @classmethod
    def recognises(cls, source: Source) -> bool:
        if source.path is None:
            return bool(source.data.packages)
        paths = _files_of(source)
        return any(ending(p) == "whl" for p in paths) or bool(_catalogues(_read_later(paths), source))

    def files(self) -> list[Path]:
        if self.source.data.packages:
            from xalign.sources.artifacts import package_files

            return list(package_files(self.source.data.packages).values())
        assert self.source.path is not None
        return _files_of(self.source) or [existing(self.source.path)]

    def state(self) -> object:
        # Packages are pinned: there is no need to have them to know what they hold.
        names = self.source.data.packages
        return [find_package(name).sha256 for name in names] if names else super().state()

    def rows(self) -> Iterator[Row]:
        files = self.files()
        catalogues = [path for path in files if ending(path) in CATALOGUES]
        if catalogues:
            assert self.source.path is not None
            yield from self._rows(self.source.path.name, _read_later(catalogues), str(self.source.path))
            return
        without: list[DataError] = []
        for wheel in files:
            try:
                with zipfile.ZipFile(wheel) as archive:
                    names = archive.namelist()
                    members: Files = {PurePosixPath(name): partial(archive.read, name) for name in names}
                    yield from self._rows("-".join(wheel.name.split("-")[:2]), members, str(wheel))
            except zipfile.BadZipFile as error:
                raise DataError(f"'{wheel}' is not a wheel (zip archive), or is damaged: {error}") from None
            except _Without as error:
                without.append(error)
        if len(without) == len(files):
            raise without[0]

    def _rows(self, name: str, files: Files, place: str) -> Iterator[Row]:
        """Many-way rows of one source, merged by message; the first catalogue of a language wins."""
        messages: dict[str, dict[str, str]] = {}
        catalogues = _catalogues(files, self.source)
        if not catalogues:
            raise _Without(
                f"'{place}' holds no gettext catalogues (<locale>/{INSTALLED}/*.po, de.po, app.de.po) in the "
                "languages wanted"
            )
        for path, language in catalogues.items():
            # Within an archive, the archive's name says where the catalogue is.
            where = str(path) if isinstance(path, Path) else f"{place}/{path}"
            try:
                entries = _entries(files[path](), where)
            except DataError as error:
                yield self.source.unreadable(error, name)
                continue
            for entry in entries:
                if entry.msgid_plural:
                    continue
                if entry.obsolete or (isinstance(entry, polib.POEntry) and entry.fuzzy):
                    fault = "obsolete" if entry.obsolete else "fuzzy"
                    yield Row(name, {MESSAGE_LANGUAGE: entry.msgid, language: entry.msgstr}, fault)
                elif entry.msgstr:
                    message = messages.setdefault(entry.msgid, {MESSAGE_LANGUAGE: entry.msgid})
                    message.setdefault(language, entry.msgstr)
        for texts in messages.values():
            yield Row(name, texts)


READER = GettextReader


def _files_of(source: Source) -> list[Path]:
    """The wheels at `data.path`, or else the catalogues there and in folders below."""
    path = source.path
    if path is None or not path.is_dir():
        return [p for p in source.files if ending(p) in GettextReader.endings]
    wheels = [p for p in source.files if ending(p) == "whl"]
    return wheels or sorted(p for p in path.rglob("*") if ending(p) in CATALOGUES and p.is_file())


def _read_later(paths: Iterable[Path]) -> Files:
    return {path: partial(read_bytes, path) for path in paths}


def _catalogues(files: Files, source: Source) -> dict[PurePath, str]:
    """Path -> language of the catalogues to read, sorted: where programs load them from, or else any."""
    sources = {path.with_suffix("") for path in files if ending(path) == "po"}
    catalogues = [
        path
        for path in sorted(files, key=str)
        if ending(path) == "po" or (ending(path) == "mo" and path.with_suffix("") not in sources)
    ]
    installed = [path for path in catalogues if path.parent.name == INSTALLED]
    languages = {
        path: _language_of_folder(path) if installed else _language(path, files[path])
        for path in installed or catalogues
    }
    # Catalogues of English varieties would replace the message by its own spelling.
    return {
        path: code
        for path, code in languages.items()
        if code is not None and code != MESSAGE_LANGUAGE and source.wants(code)
    }


def _language_of_folder(path: PurePath) -> str | None:
    name = path.parent.parent.name
    return canonical(name) if is_language(name) else None


def _language(path: PurePath, read: Callable[[], bytes]) -> str | None:
    """The language by name (`de.po`, `app.de.po`, `de/app.po`) or header.

    Codes of three letters count last: 'app' and 'web' are some, too.
    """
    names = [path.stem, path.stem.rpartition(".")[2], path.parent.name]
    header = _LANGUAGE.search(read())
    short = [name for name in names if re.match(r"[A-Za-z]{2}(?![A-Za-z])", name)]
    said = [header[1].decode()] if header else []
    return next((canonical(name) for name in (*short, *said, *names) if is_language(name)), None)


def _entries(content: bytes, name: str) -> polib.POFile | polib.MOFile:
    try:
        if content.startswith(_COMPILED):
            return _compiled(content)
        return polib.pofile(_Lines(_text(content, name)))
    except (OSError, UnicodeDecodeError, struct.error, IndexError) as error:
        raise DataError(f"'{name}': not a gettext catalogue: {error}") from None


def _compiled(content: bytes) -> polib.MOFile:
    """A compiled catalogue, which polib reads from files alone."""
    with NamedTemporaryFile(suffix=".mo") as file:
        file.write(content)
        file.flush()
        return polib.mofile(file.name)


class _Lines(str):
    """Text that polib, which calls `splitlines`, takes line by line: at newlines only, and not at the other
    separators that Unicode knows, which stand inside messages."""

    def splitlines(self, keepends: bool = False) -> list[str]:
        return self.split("\n")


def _text(content: bytes, name: str) -> str:
    """The text in the charset that the header declares; UTF-8 where it declares none, or by its mark."""
    declared = _CHARSET.search(content)
    charset = declared[1].decode() if declared else "utf-8"
    if content.startswith(codecs.BOM_UTF8) or charset.lower() in ("utf-8", "utf8", "charset"):
        return decode(content, name)
    try:
        return content.decode(charset)
    except LookupError:
        raise DataError(
            f"'{name}': its header declares the charset '{charset}', which is not known"
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"'{name}', line {line}: byte 0x{content[error.start]:02x} is not {charset}, which its header "
            "declares"
        ) from None
