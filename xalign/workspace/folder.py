"""The run's folder: what is in it, whether it may be used, who is using it."""

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from xalign.base.errors import DataError, RunError
from xalign.base.files import checked, read_json, read_yaml, write_atomically
from xalign.config.schema import Config
from xalign.models.own_path import CARD, MARK
from xalign.options.plain import plain
from xalign.workspace.content import differences, is_run_config

LOCK, HOLDER = ".lock", ".holder.json"

_UNTOUCHED = "nothing there is touched; give another run.dir"

WRITTEN = (
    "DONE",
    "PRUNED",
    "report.html",
    "plots/*.png",
    "model",
    "model.part",
    "model.unchecked",
    "evaluation/before.*",
    "evaluation/after.*",
    "evaluation/validation.*",
    "evaluation/blends.*",
    "evaluation/comparison.json",
    "checkpoints/step-*",
    "checkpoints/best-*",
    "logs/metrics.csv",
    "logs/rank-*.log",
    "logs/tensorboard",
    "wandb/*run-*",
    "wandb/debug*.log",
    "wandb/latest-run",
    "metrics.jsonl",
    "run.log",
    "environment.json",
    "config.yaml",
    "own_texts.json",
    "vectors.safetensors",
)
"""Everything that a run writes into its folder: nothing else in it is ever deleted."""


class RunFolder:
    """Paths of one run, and its state on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.log = path / "run.log"
        self.evaluation = path / "evaluation"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.report = path / "report.html"
        self.done = path / "DONE"
        self.pruned = path / "PRUNED"
        self._own_texts = path / "own_texts.json"

    @property
    def finished(self) -> bool:
        return self.done.exists()

    def write_own_texts(self, texts: Sequence[str]) -> None:
        """Keep what the model wrote before training, for the other ranks."""
        write_atomically(self._own_texts, json.dumps(list(texts), ensure_ascii=False, indent=0))

    def own_texts(self) -> list[str]:
        """What the first process has kept.

        Raises:
            DataError: it is not there.
        """
        return checked(list[str], read_json(self._own_texts), str(self._own_texts))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone; frees itself when the process dies, by whatever means.

        Raises:
            RunError: another process works in it; names its number and machine.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"{self.path}: another process is at work in this folder{self._holder()}; wait for it or "
                "give another run.dir"
            ) from None
        try:
            here = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": f"{datetime.now(UTC):%F %T} UTC",
            }
            write_atomically(self.path / HOLDER, json.dumps(here))
            yield
        finally:
            with suppress(OSError):
                (self.path / HOLDER).unlink()
            lock.release()

    def _holder(self) -> str:
        deadline = time.monotonic() + 2  # one that has only just taken the lock has not said who it is
        while time.monotonic() < deadline:
            try:
                here = json.loads((self.path / HOLDER).read_text(encoding="utf-8"))
                return f" (pid {here['pid']} on {here['host']}, since {here['since']})"
            except (OSError, ValueError):
                time.sleep(0.05)
        return ""

    def prepare(self, config: Config) -> None:
        """Make the folder ready for this config: new, to be gone on with, or started over.

        Raises:
            RunError: it holds a run with another config, or what is no run's.
        """
        former = self.former()
        if former is not None and self._holds_results():
            changed = differences(former, config)
            if changed and not config.run.rerun:
                shown = "; ".join(changed[:5]) + (
                    f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
                )
                raise RunError(
                    f"{self.path} holds a run with another config ({shown}). "
                    "Give another run.dir, or run.rerun=true to start over"
                )
            self._require_own_model()
            if changed or (config.run.rerun if self.finished else not config.resume):
                self._clear()
            elif former["trainer"].get("micro_batch") != config.trainer.micro_batch:
                self.update_environment(micro_batch=None)  # chosen for another value
        self._remove_half_written()
        content = plain(config)
        write_atomically(self.config, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def former(self) -> Mapping[str, Any] | None:
        """The config of the run that the folder holds, or None.

        Raises:
            RunError: the folder holds a `config.yaml` that is no run's, or results without one.
        """
        if not self.config.exists():
            self._refuse_foreign()
            return None
        try:
            content = read_yaml(self.config)
        except DataError as error:
            raise RunError(f"{error}: not the config of a run, as far as can be seen; {_UNTOUCHED}") from None
        if content is None:
            raise RunError(f"{self.config} is empty: not the config of a run; {_UNTOUCHED}")
        if not is_run_config(content):
            raise RunError(f"{self.config} is not the config of a run of xalign; {_UNTOUCHED}")
        assert isinstance(content, dict)
        return content

    def _refuse_foreign(self) -> None:
        """A run writes its config first: what bears the names of its results without one is not its own."""
        names = {Path(pattern).parts[0] for pattern in WRITTEN}
        found = sorted(name for name in names if os.path.lexists(self.path / name))
        if found:
            raise RunError(
                f"{self.path} holds {', '.join(found)} but no config.yaml: it is not the folder of a run; "
                f"{_UNTOUCHED}"
            )

    @property
    def exported(self) -> bool:
        """Whether the run's own model is there: with its mark, or of an older version, which left none."""
        if (self.model / MARK).is_file():
            return True
        known = self.known()
        is_older = "decisions" in known and "sessions" not in known
        return self.model.exists() and is_older and self.metrics.exists()

    def _require_own_model(self) -> None:
        """Check that `model/`, if it is there, is this run's: else it would be taken for its result.

        Raises:
            RunError: it is not.
        """
        if self.model.exists() and not self.exported:
            raise RunError(
                f"{self.model} was not written by this run (no {MARK} in it); move it or give another run.dir"
            )

    def _require_nothing_else_in_model(self) -> None:
        """Check that what is about to be deleted is what the run has written: other formats of the weights
        are often put beside them.

        Raises:
            RunError: there is more.
        """
        mark = self.model / MARK
        if not mark.is_file():
            return  # absent, or of an older version
        own = checked(dict[str, Any], read_json(mark), str(mark)).get("files")
        there = {path.relative_to(self.model).as_posix() for path in self.model.rglob("*") if path.is_file()}
        if own is not None and (others := sorted(there - {*own, MARK})):
            raise RunError(
                f"{self.model} would be deleted, but holds what the run has not written: "
                f"{', '.join(others[:5])}; move it, or give another run.dir"
            )

    def _holds_results(self) -> bool:
        # A run that failed at its first steps, say over a wrong path, must not stand in its own way.
        return any(place.exists() for place in (self.evaluation, self.checkpoints, self.model))

    def _clear(self) -> None:
        """Delete what the run has written, its config last: killed halfway, the folder is still a run's."""
        self._require_nothing_else_in_model()
        for item in [path for pattern in WRITTEN for path in sorted(self.path.glob(pattern))]:
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        for folder in {Path(pattern).parts[0] for pattern in WRITTEN if "/" in pattern}:
            with suppress(OSError):  # absent, or with something of the user's in it
                (self.path / folder).rmdir()

    def _remove_half_written(self) -> None:
        """Delete the temporary files of a process that was killed (`files.replacing`)."""
        for pattern in map(Path, (*WRITTEN, HOLDER, f"model/{CARD}")):
            for leftover in (self.path / pattern.parent).glob(f".{pattern.name}.[0-9]*.tmp"):
                leftover.unlink(missing_ok=True)

    def known(self) -> dict[str, Any]:
        """What `environment.json` holds so far.

        Raises:
            DataError: it is damaged.
        """
        if not self.environment.exists():
            return {}
        return checked(dict[str, Any], read_json(self.environment), str(self.environment))

    def update_environment(self, **values: Any) -> None:
        """Add to `environment.json`."""
        write_atomically(self.environment, json.dumps(self.known() | values, indent=2, ensure_ascii=False))

    def begin_session(self, description: Mapping[str, Any]) -> None:
        """Record what this process runs on: of the first one as the run's own, of all in `sessions`.

        A session's `step` is that of the newest checkpoint when it began.
        """
        known = self.known()
        steps = [int(path.name.split("-")[1]) for path in self.checkpoints.glob("step-????????")]
        session = {**description, "step": max(steps, default=0)}
        if "started" not in known:
            self.update_environment(**description, sessions=[session])
            return
        # Older versions kept one description only, that of the latest process.
        former = known.get("sessions") or [{key: known[key] for key in description if key in known}]
        self.update_environment(sessions=[*former, session])
