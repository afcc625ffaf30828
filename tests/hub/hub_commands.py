"""Commands of the project with the hub's environment, and what they asked the stand-in for."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stand_in import Hub

HERE = Path(__file__).parent
REAL = os.environ.get("XALIGN_REAL_HUB") == "1"

stand_in_only = pytest.mark.skipif(REAL, reason="looks at, or breaks, what the stand-in is asked")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    folder: Path
    asked: list[str]
    """What the stand-in was asked meanwhile."""

    @property
    def fetched(self) -> list[str]:
        """Files whose content was sent: of large ones by their name in the storage."""
        got = [line.removeprefix("GET ") for line in self.asked if line.startswith("GET ")]
        return [
            path.rpartition("/")[2] for path in got if path.startswith("/storage/") or "/resolve/" in path
        ]


class Commands:
    """Carries out commands of the project with the hub's environment."""

    def __init__(self, folder: Path, hub: Hub | None) -> None:
        self.folder, self.hub, self.number = folder, hub, 0
        hf = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
        if hub is not None:
            hf |= {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}
        known = {key: value for key, value in os.environ.items() if hub is None or key != "HF_TOKEN"}
        self.environment = known | hf | {"XALIGN_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, HERE / "commands.py"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __call__(self, module: str, *arguments: str, folder: Path | None = None, **environment: str) -> Done:
        """`python -m xalign.<module> <arguments>`, in a folder of its own unless one is given."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.number += 1
        folder = folder or self.folder / f"command-{self.number}"
        folder.mkdir(parents=True, exist_ok=True)
        if self.hub is not None:
            self.hub.asked.clear()
        order: dict[str, Any] = {"module": f"xalign.{module}", "arguments": arguments}
        order |= {"environment": environment, "folder": str(folder)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        code = json.loads(self.process.stdout.readline())["code"]
        asked = [] if self.hub is None else list(self.hub.asked)
        return Done(code, (folder / "out").read_text(), (folder / "err").read_text(), folder, asked)
