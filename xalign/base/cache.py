"""The cache folder: locks between processes, folders that appear whole or not at all, honest disk errors."""

import errno
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_dir

from xalign.base.errors import ArtifactError
from xalign.base.files import file_sha256, fsync, fsync_tree

_log = logging.getLogger(__name__)

MANIFEST = ".xalign-manifest.json"


def cache_dir() -> Path:
    """Folder of everything that can be had again: `$XALIGN_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("XALIGN_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else Path(user_cache_dir("xalign"))


def cached_dir(target: Path, build: Callable[[Path], None], what: str, needed: int) -> Path:
    """`target`, made by `build(folder)` if it is missing or its files are not as they were built.

    Only one process builds, in a scratch folder that is renamed when it is complete and on disk; the
    others wait. `what` names it in messages; `needed` is the space it takes while it is built, in bytes.
    Raises `ArtifactError` where the cache cannot be written.
    """
    if _is_intact(target):
        return target
    with cache_errors(what, needed), exclusive(target, what):
        if _is_intact(target):
            return target
        require_space(what, needed)
        if target.exists():
            _log.warning("%s in the cache is damaged or incomplete (%s): making it again", what, target)
        with scratch_dir(target) as folder:
            build(folder)
            _write_manifest(folder)
            fsync_tree(folder)
            if target.exists():
                shutil.rmtree(target)
            folder.rename(target)
        fsync(target.parent)
    return target


def cached_by_key(
    kind: str, key: Mapping[str, object], build: Callable[[Path], None], what: str, needed: int
) -> Path:
    """`cached_dir` in the folder of a key: whatever JSON can write, naming all that the content depends on.

    The key lies beside what was built, in `key.json`.
    """
    text = json.dumps(key, sort_keys=True, ensure_ascii=False)

    def build_with_key(folder: Path) -> None:
        build(folder)
        (folder / "key.json").write_text(text, encoding="utf-8")

    target = cache_dir() / kind / hashlib.sha256(text.encode()).hexdigest()
    return cached_dir(target, build_with_key, what, needed)


@contextmanager
def exclusive(target: Path, what: str) -> Iterator[None]:
    """Hold the lock of `target` between processes; waiting is logged, with `what` is waited for."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("waiting for another process: %s", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def scratch_dir(target: Path) -> Iterator[Path]:
    """A fresh folder beside `target`, gone afterwards unless renamed.

    The caller holds the lock of `target`, so any other scratch folder was left by a dead process.
    """
    for leftover in target.parent.glob(f".{target.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = target.with_name(f".{target.name}.partial-{uuid.uuid4().hex[:8]}")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cache_errors(what: str, needed: int) -> Iterator[None]:
    """Turn the cache folder's `OSError`s into one message: disk full, or not writable."""
    folder = cache_dir()
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_space(what, needed) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise ArtifactError(
                f"the cache {folder} cannot be written ({error.strerror}: {error.filename}): "
                "set XALIGN_CACHE to a folder that can"
            ) from error
        raise


def require_space(what: str, needed: int) -> None:
    """Raise `ArtifactError` unless `needed` bytes are free on the cache's disk."""
    if _free(cache_dir()) < needed:
        raise _no_space(what, needed)


def human_size(size: int) -> str:
    """`'8.3 MB'` for 8319631."""
    value = float(size)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _no_space(what: str, needed: int) -> ArtifactError:
    folder = cache_dir()
    free = _free(folder)
    return ArtifactError(
        f"no space on the disk of the cache {folder}: {what} needs {human_size(needed)} ({needed} bytes), "
        f"{human_size(free)} ({free} bytes) are free; make room, or set XALIGN_CACHE to a folder on another "
        "disk"
    )


def _free(folder: Path) -> int:
    existing = next(path for path in [folder, *folder.parents] if path.is_dir())
    return shutil.disk_usage(existing).free


def _write_manifest(folder: Path) -> None:
    entries = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            status = path.stat()
            name = path.relative_to(folder).as_posix()
            entries[name] = [status.st_size, status.st_mtime_ns, file_sha256(path)]
    (folder / MANIFEST).write_text(json.dumps(entries, indent=1), encoding="utf-8")


def _is_intact(folder: Path) -> bool:
    """Whether the files are those of the manifest: by size and time, by hash where the time differs."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        touched = False
        for name, (size, mtime_ns, digest) in entries.items():
            status = (folder / name).stat()
            if status.st_size != size:
                return False
            if status.st_mtime_ns != mtime_ns:
                touched = True
                if file_sha256(folder / name) != digest:
                    return False
    except (OSError, ValueError, TypeError, AttributeError):
        return False
    if touched:
        # A copied cache has new times; a read-only one is hashed each time.
        with suppress(OSError):
            _write_manifest(folder)
    return True
