"""Text files as every reader opens them: plain or gzip, strict UTF-8, one clear message where that fails."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, cast

from xalign.base.errors import DataError, did_you_mean


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
    name = path.name[:-3] if _is_gzip(path) else path.name
    stem, _, suffix = name.rpartition(".")
    return stem, suffix


def ending(path: PurePath) -> str:
    """'tsv' of 'pairs.tsv', 'pairs.TSV' and 'pairs.tsv.gz'."""
    return stem_and_suffix(path)[1].lower()


def _is_gzip(path: PurePath) -> bool:
    return path.suffix.lower() == ".gz"


def read_text(path: Path) -> str:
    """The text of a file, its lines joined by newlines; raises as `lines_of`."""
    return "\n".join(lines_of(path))


def read_bytes(path: Path) -> bytes:
    """What a file holds, unpacked."""
    with _opened(existing(path)) as file:
        return file.read()


def decode(data: bytes, name: str) -> str:
    """The text of a file that holds these bytes; raises as `lines_of`, with `name` in its messages."""
    return "\n".join(_decoded_lines(BytesIO(data), name))


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a file, one by one, without what ends them; a byte order mark is taken off.

    Only newlines end a line: other separators that Unicode knows stand inside sentences. Raises DataError,
    naming file and line, for empty, damaged, binary and wrongly encoded files.
    """
    with _opened(existing(path)) as file:
        yield from _decoded_lines(file, str(path))


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
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
            yield cast("IO[bytes]", file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"'{path}' is not a whole gzip file: {error}") from None


def _decoded_lines(lines: Iterable[bytes], name: str) -> Iterator[str]:
    empty = True
    for number, line in enumerate(lines, start=1):
        if number == 1:
            line = _without_mark(line, name)
        empty = empty and not line.strip()
        yield _decoded(line, number, name).removesuffix("\n").removesuffix("\r")
    if empty:
        raise DataError(f"'{name}' is empty")


def _without_mark(data: bytes, name: str) -> bytes:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"'{name}' is UTF-16; UTF-8 is wanted (iconv -f UTF-16 -t UTF-8)")
    return data.removeprefix(b"\xef\xbb\xbf")


def _decoded(line: bytes, number: int, name: str) -> str:
    if b"\0" in line:
        raise DataError(f"'{name}', line {number}: binary data (a zero byte) where text was expected")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{name}', line {number}: byte 0x{line[error.start]:02x} is not UTF-8; convert the file first "
            f"(iconv -f <its encoding> -t UTF-8)"
        ) from None
