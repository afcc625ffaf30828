"""A sweep's folder: what was asked for, what became of each job, the summary."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from xalign.base.errors import RunError
from xalign.base.files import checked, read_json, write_atomically
from xalign.evaluation.metrics import KNOWN

OUTPUTS = Path("outputs")
"""Where runs go without a folder of their own (`workspace.content.default_folder`)."""


class Status(StrEnum):
    """What became of a job."""

    complete = "complete"
    pruned = "pruned"
    failed = "failed"
    stopped = "stopped"
    running = "running"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a command line asks for, as written to `sweep.json`."""

    name: str
    fixed: list[str]
    """Overrides that all jobs share."""
    axes: dict[str, str]
    """Key -> values or distribution, as given."""
    figures: list[str]
    """Metrics of validation that points are judged by, the main one first; none: not judged."""
    falls: list[bool]
    """Of each, whether less is better."""
    searching: bool
    """Whether a search draws the points; else they are all of a grid."""
    jobs: int
    """How many jobs there are in all."""
    at_once: int
    """How many jobs share a machine."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job's fate."""

    number: int
    overrides: list[str]
    status: Status
    folder: str | None = None
    """The run's folder; None where there could be none."""
    message: str | None = None
    values: list[float] | None = None
    """The sweep's figures; None where the run was not measured to its end."""
    seconds: float = 0.0


def own_overrides(overrides: Sequence[str], folder: str) -> list[str]:
    """The overrides by which `xalign.run` repeats a job outside its sweep and finds its folder."""
    of_the_sweep = ("sweep.study=", "sweep.trial=", "run.dir=", "run.rerun=", "resume=")
    place = [] if Path(folder).parent == OUTPUTS else [f"run.dir={folder}"]
    return [text for text in overrides if not text.startswith(of_the_sweep)] + place


class SweepFolder:
    """Paths of one sweep, and its state on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = path / "sweep.json"
        self.jobs = path / "jobs"
        self.study = path / "study.log"
        self.summary = path / "summary.json"
        self.page = path / "summary.md"
        self.picture = path / "parallel_coordinates.png"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sweep for this process alone.

        Raises:
            RunError: another process carries it out.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"{self.path}: another process carries out this sweep; wait for it") from None
        try:
            yield
        finally:
            lock.release()

    def start(self, sweep: Sweep) -> None:
        """Write down what is asked for. Of a grid, all jobs report again; those of a search stay."""
        write_atomically(self.asked, json.dumps(asdict(sweep), indent=2, ensure_ascii=False))
        if not sweep.searching:
            for file in self.jobs.glob("*.json"):
                file.unlink()

    def read(self) -> Sweep:
        """What was asked for.

        Raises:
            DataError: the file is damaged.
        """
        content = read_json(self.asked)
        if isinstance(content, dict) and "falls" not in content:  # of an older version
            names = [str(figure).split("/")[2] for figure in content.get("figures", [])]
            content["falls"] = [name in KNOWN and not KNOWN[name].higher_is_better for name in names]
        return checked(Sweep, content, str(self.asked))

    def file(self, number: int, kind: str) -> Path:
        """A job's file: `json` its fate, `yaml` its config, `log` its output, `error` its last words."""
        return self.jobs / f"{number:04d}.{kind}"

    def record(self, job: Job) -> None:
        """Write down a job's fate."""
        write_atomically(self.file(job.number, "json"), json.dumps(asdict(job), indent=2, ensure_ascii=False))

    def recorded(self) -> list[Job]:
        """The fates of all jobs that have begun, in order.

        Raises:
            DataError: a file is damaged.
        """
        return [checked(Job, read_json(file), str(file)) for file in sorted(self.jobs.glob("*.json"))]
