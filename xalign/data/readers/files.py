"""Text files as every reader opens them: plain or packed, strict UTF-8, one clear message otherwise."""

import bz2
import codecs
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, Any, cast

from xalign.base.errors import DataError, did_you_mean, needs_extra

PACKED = (".gz", ".xz", ".bz2", ".zst")
"""Endings of packed files, which stand behind that of what is in them."""
LONGEST_LINE = 64 * 2**20
"""Bytes: a longer line is no sentence, and would not fit into memory many times over."""


def existing(path: str | Path) -> Path:
    """The path, if there is something; DataError with the nearest name, or stem of one, in its folder
    otherwise."""
    path = Path(path)
    if path.exists():
        return path
    if not path.parent.is_dir():
        raise DataError(f"'{path}' does not exist, nor does its folder '{path.parent}'")
    names = [name for p in path.parent.iterdir() for name in (p.name, stem_and_suffix(p)[0])]
    raise DataError(f"'{path}' does not exist{did_you_mean(path.name, names)}")


def stem_and_suffix(path: PurePath) -> tuple[str, str]:
    """('train', 'en') of 'train.en' and of 'train.en.gz'."""
    name = path.stem if _is_packed(path) else path.name
    stem, _, suffix = name.rpartition(".")
    return stem, suffix


def ending(path: PurePath) -> str:
    """'tsv' of 'pairs.tsv', 'pairs.TSV' and 'pairs.tsv.gz'."""
    return stem_and_suffix(path)[1].lower()


def _is_packed(path: PurePath) -> bool:
    return path.suffix.lower() in PACKED


def read_text(path: Path) -> str:
    """The text of a file, its lines joined by newlines; raises as `lines_of`."""
    return "\n".join(lines_of(path))


def read_bytes(path: Path) -> bytes:
    """What a file holds, unpacked."""
    with opened(existing(path)) as file:
        return file.read()


def decode(data: bytes, name: str) -> str:
    """The text of a file that holds these bytes; raises as `lines_of`, with `name` in its messages."""
    return "\n".join(_or_raise(_decoded_lines(BytesIO(data), name)))


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a file, one by one, without what ends them; a byte order mark is taken off.

    Only newlines end a line: other separators that Unicode knows stand inside sentences. Raises DataError,
    naming file and line, for empty, damaged, binary and wrongly encoded files.
    """
    return _or_raise(lines_or_faults(path))


def _or_raise(lines: Iterable[str | DataError]) -> Iterator[str]:
    for line in lines:
        if isinstance(line, DataError):
            raise line
        yield line


def lines_or_faults(path: Path) -> Iterator[str | DataError]:
    """As `lines_of`, with what it would raise in the place of the line that cannot be read; at the end, where
    the file ends too early."""
    try:
        with opened(existing(path)) as file:
            yield from _decoded_lines(_limited(file), str(path))
    except DataError as error:
        yield error


def parts_of(path: Path, size: int = 2**20) -> Iterator[str]:
    """The text of a file in parts of about `size` bytes; raises as `lines_of`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, name = 1, str(path)
    with opened(existing(path)) as file:
        part = _without_mark(file.read(size), name)
        while True:
            try:
                text = decoder.decode(part, final=not part)
            except UnicodeDecodeError as error:
                number += error.object.count(b"\n", 0, error.start)
                raise _wrongly_encoded(error, number, name) from None
            if "\0" in text:
                raise _binary(number + text.count("\n", 0, text.index("\0")), name)
            yield text
            if not part:
                return
            number += text.count("\n")
            part = file.read(size)


def read_lines(path: Path) -> list[str]:
    """All lines of a file, as `lines_of` gives them."""
    return list(lines_of(path))


def beginning_of(path: Path, count: int) -> list[str]:
    """The first lines of a file; none where it cannot be read: whoever reads the whole says why."""
    try:
        return list(islice(lines_of(path), count))
    except (DataError, OSError):
        return []


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked as they are read; DataError where they cannot be."""
    kind = path.suffix.lower()
    openers: dict[str, Callable[[Path], Any]] = {
        ".gz": gzip.open,
        ".xz": lzma.open,
        ".bz2": bz2.open,
        ".zst": _open_zstandard,
    }
    try:
        with openers[kind](path) if kind in openers else path.open("rb") as file:
            yield cast("IO[bytes]", file)
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        # gzip and bz2 say so of wrong content, the system of all else with a number.
        raise (
            _damaged(path, error) if kind in PACKED and error.errno is None else _unreadable(path, error)
        ) from None


def _damaged(path: Path, error: Exception) -> DataError:
    names = {".gz": "gzip", ".zst": "zstd"}
    kind = path.suffix.lower()
    return DataError(f"'{path}' is not a whole {names.get(kind, kind[1:])} file: {error}")


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"'{path}' cannot be read: {error.strerror or error}")


def _open_zstandard(path: Path) -> IO[bytes]:
    try:
        zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        raise DataError(needs_extra(f"'{path}'", "zstd")) from None
    return zstd.open(path)


def _limited(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file; of one that is too long its beginning alone, which is then refused."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line
        while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE + 1)


def _decoded_lines(lines: Iterable[bytes], name: str) -> Iterator[str | DataError]:
    empty = True
    for number, line in enumerate(lines, start=1):
        try:
            if number == 1:
                line = _without_mark(line, name)
            empty = empty and not line.strip()
            text = _decoded(line, number, name)
        except DataError as error:
            empty = False
            yield error
        else:
            yield text.removesuffix("\n").removesuffix("\r")
    if empty:
        yield DataError(f"'{name}' is empty")


def _without_mark(data: bytes, name: str) -> bytes:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"'{name}' is UTF-16; UTF-8 is wanted (iconv -f UTF-16 -t UTF-8)")
    return data.removeprefix(b"\xef\xbb\xbf")


def _decoded(line: bytes, number: int, name: str) -> str:
    if len(line) > LONGEST_LINE:
        raise DataError(f"'{name}', line {number}: longer than {LONGEST_LINE // 2**20} MB")
    if b"\0" in line:
        raise _binary(number, name)
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise _wrongly_encoded(error, number, name) from None


def _binary(number: int, name: str) -> DataError:
    return DataError(f"'{name}', line {number}: binary data (a zero byte) where text was expected")


def _wrongly_encoded(error: UnicodeDecodeError, number: int, name: str) -> DataError:
    return DataError(
        f"'{name}', line {number}: byte 0x{error.object[error.start]:02x} is not UTF-8; convert the file "
        "first (iconv -f <its encoding> -t UTF-8)"
    )
