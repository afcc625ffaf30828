"""Reading W&B's offline files: records of protobuf in LevelDB's log framing, after a header of seven bytes.

W&B has no public reader; the framing is LevelDB's documented one: blocks of 32 KiB of chunks, each with a
checksum (4 bytes), a length (2) and a type (1: whole, 2: first, 3: middle, 4: last).
"""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 2**15
HEADER = 7
PATIENCE = 100
"""Tenths of a second."""


def records(path: Path) -> Iterator[Any]:
    """The records of a run's file, in order."""
    data = path.read_bytes()
    place, parts = HEADER, b""
    while place + 7 <= len(data):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


class WandbRun:
    """What the files of a run's sessions say, together."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
        # W&B's service writes the last of them a moment after a run has ended.
        for _ in range(PATIENCE):
            if all(any(r.HasField("exit") for r in records(file)) for file in self.files):
                break
            time.sleep(0.1)
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.exit_codes: list[int] = []
        self.ids: set[str] = set()
        self.artifacts: dict[str, Any] = {}
        self.alerts: list[str] = []
        for file in self.files:
            for record in records(file):
                self._take(record)

    def _take(self, record: Any) -> None:
        match record.WhichOneof("record_type"):
            case "history":
                self.history.append({_key(i): json.loads(i.value_json) for i in record.history.item})
            case "summary":
                self.summary |= {_key(i): json.loads(i.value_json) for i in record.summary.update}
            case "run":
                self.ids.add(record.run.run_id)
                self.run = record.run
                self._configure(record.run.config.update)
            case "config":
                self._configure(record.config.update)
            case "exit":
                self.exit_codes.append(record.exit.exit_code)
            case "artifact":
                self.artifacts[record.artifact.name] = record.artifact
            case "alert":
                self.alerts.append(record.alert.text)
            case "request" if record.request.HasField("log_artifact"):
                own = record.request.log_artifact.artifact
                self.artifacts[own.name] = own

    def _configure(self, items: Any) -> None:
        for item in items:
            self.config[_key(item)] = json.loads(item.value_json)


def _key(item: Any) -> str:
    return "/".join(item.nested_key) if item.nested_key else item.key
