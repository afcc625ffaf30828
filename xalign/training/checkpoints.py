"""Checkpoints on disk: a folder each, whole or absent, with the checksum of every file.

    checkpoints/step-00000025/state.ckpt      what Lightning wrote: a file, or a folder of shards
    checkpoints/step-00000025/manifest.json   the step, and size and sha256 of each file
    checkpoints/best-00000020/                trained parameters of the step that `trainer.select` chose

A folder is written as `<name>.part`, put on disk and renamed; to be deleted it is first renamed to
`<name>.old`. Whatever kills the process, the bare name is that of a whole checkpoint. What happens to it
later (a bad disk, a hasty hand) the checksums show it.
"""

import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xalign.base.errors import DataError, RunError
from xalign.base.files import checked, file_sha256, fsync, fsync_tree, read_json
from xalign.models.backbone import Backbone
from xalign.training import shards

log = logging.getLogger(__name__)

STATE = "state.ckpt"
MANIFEST = "manifest.json"
OWN = "own."
"""Start of the names of what objectives train beside the model."""


class Kind(StrEnum):
    """What a checkpoint is for; its folder's name starts with it."""

    step = "step"
    """To go on from."""
    best = "best"
    """To export: where `trainer.select` is set."""


KEPT = {Kind.step: 2, Kind.best: 1}
"""How many are kept. Of two, one is left to go on from should the newest be damaged."""


class Unwritable(RunError):
    """The checkpoint could not be written: a full disk, a lost file system."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: its folder, and how many steps had been done."""

    path: Path
    step: int

    @property
    def state(self) -> Path:
        """What `trainer.fit(ckpt_path=...)` takes."""
        return self.path / STATE


@dataclass(frozen=True)
class _File:
    size: int
    sha256: str


@dataclass(frozen=True)
class _Manifest:
    step: int
    files: dict[str, _File]


def write(folder: Path, kind: Kind, step: int, save: Callable[[Path], None], *, first: bool) -> None:
    """Write the checkpoint of a step, whole or not at all, and delete those that it makes superfluous.

    Every rank calls this; `save(path)` writes the state and returns when all ranks have, and the `first`
    rank does the rest.

    Raises:
        Unwritable: the disk is full or away; earlier checkpoints are as they were.
    """
    target = folder / f"{kind}-{step:08d}"
    part = target.with_name(target.name + ".part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        save(part / STATE)
        if first:
            files = sorted(path for path in part.rglob("*") if path.is_file())
            with ThreadPoolExecutor() as pool:  # shards are hashed side by side
                digests = [*pool.map(file_sha256, files)]
            manifest = {
                path.relative_to(part).as_posix(): {"size": path.stat().st_size, "sha256": digest}
                for path, digest in zip(files, digests, strict=True)
            }
            (part / MANIFEST).write_text(json.dumps({"step": step, "files": manifest}, indent=1))
            fsync_tree(part)
            if target.exists():  # damaged, or of the same step
                _remove(target)
            part.rename(target)
            fsync(folder)
    except (OSError, RuntimeError) as error:  # torch's archive writer raises the latter
        shutil.rmtree(part, ignore_errors=True)
        raise Unwritable(
            f"cannot write the checkpoint {target}: {str(error).splitlines()[0]}. "
            "Those before it, if there are any, are kept; mend the disk and run the same command"
        ) from error
    if first:
        for path in _all(folder, kind)[KEPT[kind] :]:
            _remove(path)


def newest(folder: Path, kind: Kind = Kind.step) -> Checkpoint | None:
    """The newest whole checkpoint, if there is any; damaged ones are named in a warning and skipped.

    Raises:
        RunError: all are damaged.
    """
    problems = []
    for path in _all(folder, kind):
        try:
            return _verified(path)
        except (DataError, OSError) as error:
            problems.append(str(error))
            log.warning("checkpoint %s is damaged and skipped: %s", path, error)
    if problems:
        raise RunError(
            f"every checkpoint in {folder} is damaged ({'; '.join(problems)}). Delete {folder} to train "
            "again from the start; what was measured before training is kept"
        )
    return None


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed process was writing or deleting; to be called while nobody writes."""
    for path in [*folder.glob("*.part"), *folder.glob("*.old")]:
        shutil.rmtree(path, ignore_errors=True)


def restore_chosen(backbone: Backbone, folder: Path) -> int:
    """Put the trained parameters that are to be exported into a backbone; returns their step.

    They are the best checkpoint's where steps were chosen between, else the last one's.

    Raises:
        RunError: it is damaged.
    """
    chosen = newest(folder, Kind.best) or newest(folder)
    if chosen is None:
        raise RunError(f"{folder}: no checkpoint to export")
    values = load_state(chosen)["state_dict"]
    backbone.load_state_dict({k.removeprefix("backbone."): v for k, v in values.items()}, strict=False)
    return chosen.step


def chosen_own(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The objectives' own parameters and buffers at the step that is to be exported: objective -> name ->
    values."""
    chosen = newest(folder, Kind.best) or newest(folder)
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in (load_state(chosen)["state_dict"] if chosen is not None else {}).items():
        if key.startswith(OWN):
            objective, _, name = key.removeprefix(OWN).partition(".")
            found.setdefault(objective, {})[name] = value
    return found


def load_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU: tensors and plain values, never code.

    Of a folder of shards parameters are whole, and states of optimizers left out.
    """
    if checkpoint.state.is_dir():
        return shards.load_whole(checkpoint.state)
    saved: dict[str, Any] = torch.load(checkpoint.state, map_location="cpu", weights_only=True)
    return saved


def _all(folder: Path, kind: Kind) -> list[Path]:
    """The checkpoints of a kind, newest first, whole or not."""
    return sorted(folder.glob(f"{kind}-" + 8 * "[0-9]"), reverse=True)


def _verified(path: Path) -> Checkpoint:
    """A checkpoint whose files are those of its manifest.

    Raises:
        DataError: one is missing or another.
        OSError: one cannot be read.
    """
    if not (path / MANIFEST).is_file():
        raise DataError(f"{path / MANIFEST} is missing")
    manifest = checked(_Manifest, read_json(path / MANIFEST), str(path / MANIFEST))
    for name, wanted in manifest.files.items():
        file = path / name
        if not file.is_file():
            raise DataError(f"{file} is missing")
        if file.stat().st_size != wanted.size:
            raise DataError(f"{file} has {file.stat().st_size} bytes, not {wanted.size}")
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda name: file_sha256(path / name), manifest.files)
        for (name, wanted), digest in zip(manifest.files.items(), digests, strict=True):
            if digest != wanted.sha256:
                raise DataError(f"{path / name} has the sha256 {digest[:12]}…, not {wanted.sha256[:12]}…")
    return Checkpoint(path, manifest.step)


def _remove(path: Path) -> None:
    old = path.with_name(path.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    path.rename(old)
    shutil.rmtree(old)
