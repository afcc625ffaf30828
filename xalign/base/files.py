"""Files of ours: written whole or not at all, read with errors that name the place."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from xalign.base.errors import DataError, did_you_mean

T = TypeVar("T")

# The same in C, seven times as fast, where PyYAML was built with it.
_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def write_atomically(path: Path, text: str | Iterable[str]) -> None:
    """Write text, or pieces of it, under a temporary name in the same folder, then rename it.

    Text and name are on disk when this returns: a power cut leaves the file as it was or as it is now.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines([text] if isinstance(text, str) else text)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Inside, errors of the system that name no file, as a full disk's, get this one's name."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name, in the folder of `path`, for what takes its place once it is written and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path):
            yield temporary
            fsync(temporary)
            temporary.replace(path)
            fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Ask the system to put a file, or a folder's list of names, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """The same for everything in a folder, and the folder itself."""
    for path in [*folder.rglob("*"), folder]:
        fsync(path)


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def absence(path: Path) -> str | None:
    """What to say of a path where there is nothing, with the nearest name in its folder; else None."""
    if path.exists():
        return None
    folder = path.parent
    if not folder.is_dir():
        return f"'{path}' does not exist, nor does its folder '{folder}'"
    return f"'{path}' does not exist{did_you_mean(path.name, (p.name for p in folder.iterdir()))}"


def digest(value: object) -> str:
    """Hexadecimal sha256 of anything that JSON can write: texts, in keys."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from None


def read_json(path: Path) -> object:
    """What a JSON file holds.

    Raises:
        DataError: it is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from None


def read_yaml(path: Path) -> object:
    """What a YAML file holds; None where it is empty.

    Raises:
        DataError: it is not YAML.
    """
    try:
        return yaml.load(read_text(path), Loader=_YAML)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise DataError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None


def checked(kind: type[T], content: object, source: str) -> T:
    """`content` as a `kind`; keys that it does not know are ignored. `source` is its name in errors.

    Raises:
        DataError: a field is missing or has the wrong type.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ", ".join(f"row {part + 1}" if isinstance(part, int) else repr(part) for part in first["loc"])
        got = "" if first["type"] == "missing" else f", not {first['input']!r:.80}"
        raise DataError(f"{source}{', ' if place else ''}{place}: {first['msg']}{got}") from None
