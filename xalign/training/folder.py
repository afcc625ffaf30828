"""The run's folder: what is in it, whether it may be used, who is using it."""

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from xalign.config import Config
from xalign.errors import RunError
from xalign.files import write_atomically
from xalign.validation import plain

# Says where and how, not what: the same run in another folder is the same run.
NOT_CONTENT = ("run", "resume", "logger", "plan", "sweep")

LOCK, HOLDER = ".lock", ".holder.json"

MAY_CHANGE = (
    "trainer.micro_batch",
    "trainer.activation_checkpointing",
    "trainer.threads",
    "trainer.checkpoint_every",
    "trainer.checkpoint_minutes",
    "strategy.timeout_minutes",
    "benchmark.batch_tokens",
    "validation.batch_tokens",
)
"""Changes no result but by rounding: a run may go on with other values."""


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

    @property
    def finished(self) -> bool:
        return self.done.exists()

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
            for leftover in self.path.rglob(".*.[0-9]*.tmp"):  # half-written by a process that was killed
                leftover.unlink(missing_ok=True)
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
            RunError: it holds a run with another config.
        """
        content = plain(config)
        if self.config.exists() and self._holds_results():
            former = yaml.safe_load(self.config.read_text())
            changed = differences(former, content)
            if config.run.rerun and (changed or self.finished):
                self._clear()
            elif changed:
                shown = "; ".join(changed[:5]) + (
                    f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
                )
                raise RunError(
                    f"{self.path} holds a run with another config ({shown}). "
                    "Give another run.dir, or run.rerun=true to start over"
                )
            elif not config.resume and not self.finished:
                self._clear()
            elif former["trainer"]["micro_batch"] != config.trainer.micro_batch:
                self.update_environment(micro_batch=None)  # chosen for another value
        write_atomically(self.config, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def _holds_results(self) -> bool:
        # A run that failed at its first steps, say over a wrong path, must not stand in its own way.
        return any(place.exists() for place in (self.evaluation, self.checkpoints, self.model))

    def _clear(self) -> None:
        for item in self.path.iterdir():
            if item.name in (LOCK, HOLDER):
                continue
            shutil.rmtree(item) if item.is_dir() else item.unlink()

    def known(self) -> dict[str, Any]:
        """What `environment.json` holds so far."""
        return json.loads(self.environment.read_text()) if self.environment.exists() else {}

    def update_environment(self, **values: Any) -> None:
        """Add to `environment.json`."""
        write_atomically(self.environment, json.dumps(self.known() | values, indent=2, ensure_ascii=False))


def default_folder(config: Config) -> Path:
    """`outputs/<model>-<loss>-<hash>`: the same config finds the same folder, another one its own."""
    content = {k: v for k, v in plain(config).items() if k not in NOT_CONTENT}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return Path("outputs") / f"{config.model.name}-{config.loss.name}-{digest}"


def differences(former: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """`key: former -> now` for every value that differs and matters to the results."""
    found = []
    for key in sorted({*former, *now}):
        if f"{prefix}{key}" in (*NOT_CONTENT, *MAY_CHANGE):
            continue
        a, b = former.get(key), now.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a} -> {b}")
    return found
