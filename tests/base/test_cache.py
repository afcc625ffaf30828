"""Folders in the cache appear whole or not at all, and damage is noticed."""

import errno
import logging
import os
import shutil
from pathlib import Path

import pytest

from xalign.base import cache
from xalign.base.cache import cache_dir, cached_dir
from xalign.base.errors import ArtifactError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))


class Builder:
    """Writes one file and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "sub").mkdir()
        (folder / "sub" / "weights").write_bytes(b"0123456789")


def test_cache_dir_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("XALIGN_CACHE")
    assert cache_dir().name == "xalign"


def test_built_once(tmp_path: Path) -> None:
    builder = Builder()
    for _ in range(2):
        assert cached_dir(cache_dir() / "toy", builder, "toy", 10) == cache_dir() / "toy"
    assert builder.calls == 1
    assert (cache_dir() / "toy" / "sub" / "weights").read_bytes() == b"0123456789"


@pytest.mark.parametrize("damage", ["truncated", "changed", "file gone", "manifest gone"])
def test_damage_is_mended(damage: str, caplog: pytest.LogCaptureFixture) -> None:
    builder = Builder()
    target = cached_dir(cache_dir() / "toy", builder, "toy", 10)
    weights = target / "sub" / "weights"
    if damage == "truncated":
        os.truncate(weights, 5)
    elif damage == "changed":
        weights.write_bytes(b"012345678X")
    elif damage == "file gone":
        weights.unlink()
    else:
        (target / cache.MANIFEST).unlink()
    with caplog.at_level(logging.WARNING):
        cached_dir(target, builder, "toy", 10)
    assert builder.calls == 2
    assert weights.read_bytes() == b"0123456789"
    assert "damaged" in caplog.text


def test_copied_cache_is_not_built_again(tmp_path: Path) -> None:
    builder = Builder()
    target = cached_dir(cache_dir() / "toy", builder, "toy", 10)
    copy = tmp_path / "copy"
    shutil.copytree(target, copy, copy_function=shutil.copyfile)
    os.utime(copy / "sub" / "weights", (1, 1))
    cached_dir(copy, builder, "toy", 10)
    assert builder.calls == 1


def test_failed_build_leaves_nothing_and_old_leftovers_go() -> None:
    target = cache_dir() / "toy"
    (cache_dir() / ".toy.partial-0badcafe").mkdir(parents=True)

    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"01234")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cached_dir(target, fail, "toy", 10)
    assert [path.name for path in cache_dir().iterdir()] == [".toy.lock"]


def test_full_disk_is_said_before_and_while_building(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtifactError, match=r"toy needs 10 bytes \(10 bytes\), .* are free"):
        cached_dir(cache_dir() / "toy", fill, "toy", 10)
    builder = Builder()
    with pytest.raises(ArtifactError, match=r"toy needs 1000000\.0 GB .* are free.*XALIGN_CACHE"):
        cached_dir(cache_dir() / "toy", builder, "toy", 10**15)
    assert builder.calls == 0


def test_unwritable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ArtifactError, match=r"file.cache cannot be written .*set XALIGN_CACHE"):
        cached_dir(cache_dir() / "toy", Builder(), "toy", 10)
