"""What a sweep found: a table of all points, the best, what mattered, the command of the best.

Without figures of validation nothing is called best: choosing by what is measured at the end would be
choosing by the test.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from xalign.base.errors import XalignError
from xalign.base.files import write_atomically
from xalign.reporting.formatting import MISSING, duration, markdown, number
from xalign.sweeps.folder import Job, Status, Sweep, SweepFolder, own_overrides
from xalign.sweeps.importance import importances
from xalign.sweeps.job import point_of


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a sweep found. `best` are numbers of jobs; `commands` repeat them, in the same order."""

    sweep: Sweep
    jobs: list[Job]
    best: list[int]
    commands: list[str]
    importance: dict[str, dict[str, float]]
    """Figure -> key -> share of the figure's variance that the key explains; sums to 1."""


def summarise(folder: SweepFolder) -> Summary:
    """Put together what the jobs have left.

    Raises:
        DataError: a file of the sweep is damaged.
    """
    sweep, jobs = folder.read(), folder.recorded()
    judged = [job for job in jobs if job.values is not None]
    best = best_of(sweep.falls, judged)
    return Summary(
        sweep=sweep,
        jobs=jobs,
        best=[job.number for job in best],
        commands=[command_of(sweep, job) for job in best],
        importance=importances(sweep, judged),
    )


def best_of(falls: Sequence[bool], jobs: Sequence[Job]) -> list[Job]:
    """The jobs that none other beats: at least as good in every figure and better in one.

    `falls` says of each figure whether less is better. A job with a figure that is no number is never best.
    """
    if not falls:
        return []
    jobs = [job for job in jobs if not any(value != value for value in job.values or [])]
    signs = [-1 if less else 1 for less in falls]
    scores = {
        job.number: [sign * value for sign, value in zip(signs, job.values or [], strict=True)]
        for job in jobs
    }

    def beaten(own: list[float]) -> bool:
        return any(
            other != own and all(a >= b for a, b in zip(other, own, strict=True)) for other in scores.values()
        )

    best = [job for job in jobs if not beaten(scores[job.number])]
    # Of equals in all figures the first stands for the others.
    firsts = {tuple(scores[job.number]): job for job in reversed(best)}
    return sorted(firsts.values(), key=lambda job: -scores[job.number][0])


def command_of(sweep: Sweep, job: Job) -> str:
    """The command line that repeats a job by itself; its folder is found again, not computed again."""
    point = [f"{key}={value}" for key, value in point_of(sweep, job.overrides).items()]
    words = own_overrides([*sweep.fixed, *point], job.folder or "")
    return shlex.join(["python", "-m", "xalign.run", *words])


def show(folder: SweepFolder, console: Console | None = None) -> None:
    """Write `summary.json`, `summary.md` and the picture, and print the table."""
    summary = summarise(folder)
    if not summary.jobs:
        return
    console = console or Console()
    sweep = summary.sweep
    drawn = None
    if sweep.figures:
        # matplotlib takes a while to import.
        from xalign.sweeps.picture import draw

        drawn = draw(sweep, summary.jobs, folder.picture)
    write_atomically(folder.summary, json.dumps(asdict(summary), indent=2, ensure_ascii=False))
    columns, rows = _table(summary)
    write_atomically(folder.page, _page(summary, columns, rows, drawn))
    table = Table(*columns, box=SIMPLE_HEAD, title=f"Sweep {sweep.name}", title_justify="left")
    for job, row in zip(summary.jobs, rows, strict=True):
        style = {Status.failed: "red", Status.stopped: "yellow", Status.pruned: "dim"}.get(job.status)
        table.add_row(*row, style="bold green" if job.number in summary.best else style)
    console.print(table)
    for line in _notes(summary):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for path in [folder.page, *([drawn] if drawn else [])]:
        console.print(f"summary: {path}", soft_wrap=True, highlight=False)


def _table(summary: Summary) -> tuple[list[str], list[list[str]]]:
    sweep = summary.sweep
    headlines = {} if sweep.figures else {job.number: _headlines(job) for job in summary.jobs}
    labels = list(dict.fromkeys(label for own in headlines.values() for label in own))
    columns = ["", *sweep.axes, *(_short(figure) for figure in sweep.figures), *labels, "", "time", "folder"]
    rows = []
    for job in summary.jobs:
        point = point_of(sweep, job.overrides)
        values: Sequence[float | None] = job.values or [None] * len(sweep.figures)
        rows.append(
            [
                f"{job.number + 1}{'*' if job.number in summary.best else ''}",
                *(point.get(key, MISSING) for key in sweep.axes),
                *(number(value) for value in values),
                *(headlines.get(job.number, {}).get(label, MISSING) for label in labels),
                job.status.value,
                duration(job.seconds) if job.seconds else MISSING,
                Path(job.folder).name if job.folder else MISSING,
            ]
        )
    return columns, rows


def _short(figure: str) -> str:
    """`retrieval@1 fr` of `eval/heldout/retrieval@1/fr`; the mean over languages without saying so."""
    _, _, metric, language = figure.split("/")
    return metric if language == "mean" else f"{metric} {language}"


def _headlines(job: Job) -> dict[str, str]:
    """The run's main figures, before and after; for reading, not for choosing."""
    if job.status is not Status.complete or job.folder is None:
        return {}
    # So does scipy, behind these.
    from xalign.reporting.run_folder import load_run
    from xalign.reporting.summary import headlines_of

    try:
        found = headlines_of(load_run(Path(job.folder)))
    except XalignError:
        return {}
    return {
        h.label: f"{number(h.change.before)}\N{RIGHTWARDS ARROW}{number(h.change.after)}" for h in found[:1]
    }


def _notes(summary: Summary) -> list[str]:
    notes = []
    for figure, shares in summary.importance.items():
        found = ", ".join(f"{key} {share:.0%}" for key, share in shares.items())
        notes.append(f"importance for {_short(figure)}: {found}")
    for job in summary.jobs:
        if job.status in (Status.failed, Status.stopped):
            point = " ".join(f"{k}={v}" for k, v in point_of(summary.sweep, job.overrides).items())
            notes.append(f"{job.status} {job.number + 1} ({point}): {job.message}")
    if not summary.sweep.figures:
        notes.append(
            "none is called best: that takes a figure of validation (benchmark@validation=heldout "
            "trainer.evaluate_every=20 sweep.metric=eval/heldout/retrieval@1/mean)"
        )
    notes += [f"best: {command}" for command in summary.commands]
    return notes


def _page(summary: Summary, columns: list[str], rows: list[list[str]], picture: Path | None) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(markdown(cell) for cell in cells) + " |"

    sweep = summary.sweep
    parts = [
        f"# Sweep {sweep.name}",
        "\n".join(f"- `{key}={values}`" for key, values in sweep.axes.items()),
        "\n".join([line(columns), line(["---"] * len(columns)), *(line(row) for row in rows)]),
        "\n".join(f"- {markdown(note)}" for note in _notes(summary) if not note.startswith("best: ")),
    ]
    if summary.commands:
        parts.append("Best:\n\n```bash\n" + "\n".join(summary.commands) + "\n```")
    if picture:
        parts.append(f"![Parallel coordinates]({picture.name})")
    return "\n\n".join(part for part in parts if part) + "\n"
