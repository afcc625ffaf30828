"""Text files as every reader opens them: plain or gzip, strict UTF-8, one clear message where that fails."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from xalign.errors import DataError
from xalign.files import absence


def existing(path: str | Path) -> Path:
    """The path, if there is something; DataError with the nearest name in its folder otherwise."""
    path = Path(path)
    if problem := absence(path):
        raise DataError(problem)
    return path


def one_file(path: str | Path, endings: Sequence[str]) -> Path:
    """The file itself, or the only file of a folder whose name has one of the endings (or those with .gz)."""
    path = existing(path)
    if path.is_file():
        return path
    found = sorted(p for p in path.iterdir() if stem_and_suffix(p)[1] in endings)
    if len(found) == 1:
        return found[0]
    wanted = " or ".join(f"*.{ending}" for ending in endings)
    if not found:
        raise DataError(f"folder '{path}' holds no {wanted} file")
    names = ", ".join(p.name for p in found)
    raise DataError(f"folder '{path}' holds several {wanted} files; name one of them in data.path: {names}")


def stem_and_suffix(path: Path) -> tuple[str, str]:
    """('train', 'en') of 'train.en' and of 'train.en.gz'."""
    stem, _, suffix = path.name.removesuffix(".gz").rpartition(".")
    return stem, suffix


def read_text(path: Path) -> str:
    """The whole text of a file; a byte order mark is taken off.

    Raises DataError, naming file and line, for empty, damaged, binary and wrongly encoded files.
    """
    path = existing(path)
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"'{path}' is not a whole gzip file: {error}") from None
    return decode(data, str(path))


def decode(data: bytes, name: str) -> str:
    """Strict UTF-8, with `name` and the line in the message where the bytes are something else."""
    if not data.strip():
        raise DataError(f"'{name}' is empty")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"'{name}' is UTF-16; UTF-8 is wanted (iconv -f UTF-16 -t UTF-8)")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(f"'{name}', line {line}: binary data (a zero byte) where text was expected")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind the byte order mark.
        start = error.start + (len(data) - len(error.object))
        line = data.count(b"\n", 0, start) + 1
        raise DataError(
            f"'{name}', line {line}: byte 0x{data[start]:02x} is not UTF-8; convert the file first "
            f"(iconv -f <its encoding> -t UTF-8)"
        ) from None


def read_lines(path: Path) -> list[str]:
    """Lines between newlines only: other separators that Unicode knows must not shift an alignment."""
    lines = read_text(path).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
