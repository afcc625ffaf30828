"""Checkpoints on disk: whole or absent, verified, the newest that is good."""

import json
import logging
from pathlib import Path

import pytest

from xalign.base.errors import RunError
from xalign.training.checkpoints import Kind, Unwritable, newest, remove_unfinished, write


def save(path: Path) -> None:
    """A state of several files, as sharded strategies write it."""
    path.mkdir()
    (path / "shard-0").write_bytes(b"0" * 1000)
    (path / "shard-1").write_bytes(b"1" * 1000)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_are_kept_and_the_best(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        write(tmp_path, Kind.step, step, save, first=True)
        write(tmp_path, Kind.best, step, lambda path: path.write_bytes(b"best") and None, first=True)
    assert names(tmp_path) == ["best-00000006", "step-00000004", "step-00000006"]
    found = newest(tmp_path)
    assert found is not None
    assert (found.step, found.path.name) == (6, "step-00000006")
    manifest = json.loads((found.path / "manifest.json").read_text())
    assert manifest["step"] == 6
    assert manifest["files"]["state.ckpt/shard-0"]["size"] == 1000
    assert newest(tmp_path / "nowhere") is None


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[500] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "bit flipped": (lambda path: flip(path / "state.ckpt/shard-1"), "shard-1 has the sha256"),
    "truncated": (
        lambda path: (path / "state.ckpt/shard-0").write_bytes(b"0" * 999),
        "shard-0 has 999 bytes, not 1000",
    ),
    "file gone": (lambda path: (path / "state.ckpt/shard-0").unlink(), "shard-0 is missing"),
    "manifest gone": (lambda path: (path / "manifest.json").unlink(), r"manifest\.json is missing"),
    "manifest cut": (lambda path: (path / "manifest.json").write_text('{"step": 4'), "not valid JSON"),
    "manifest of another kind": (lambda path: (path / "manifest.json").write_text("{}"), "Field required"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_one_is_named_and_skipped(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harm, message = DAMAGE[kind]
    write(tmp_path, Kind.step, 2, save, first=True)
    write(tmp_path, Kind.step, 4, save, first=True)
    harm(tmp_path / "step-00000004")
    with caplog.at_level(logging.WARNING):
        found = newest(tmp_path)
    assert found is not None
    assert found.step == 2
    assert "step-00000004 is damaged and skipped" in caplog.text
    harm(tmp_path / "step-00000002")
    with pytest.raises(RunError, match=f"every checkpoint in .* is damaged .*{message}"):
        newest(tmp_path)
    # Training again comes to the damaged one's step: the new one takes its place.
    write(tmp_path, Kind.step, 4, save, first=True)
    found = newest(tmp_path)
    assert found is not None
    assert found.step == 4


def test_a_failed_or_killed_write_leaves_those_before_it(tmp_path: Path) -> None:
    write(tmp_path, Kind.step, 2, save, first=True)

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device\nframe 1")

    with pytest.raises(Unwritable, match=r"step-00000004: .*No space left on device\. Those before it"):
        write(tmp_path, Kind.step, 4, full, first=True)
    assert names(tmp_path) == ["step-00000002"]

    def killed(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt  # nothing cleans up after a SIGKILL either

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, Kind.step, 4, killed, first=True)
    assert names(tmp_path) == ["step-00000002", "step-00000004.part"]
    found = newest(tmp_path)
    assert found is not None
    assert found.step == 2
    remove_unfinished(tmp_path)
    assert names(tmp_path) == ["step-00000002"]
