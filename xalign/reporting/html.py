"""The report of a run and the comparison of runs: self-contained pages that need no network."""

import base64
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from xalign.base.drawing import applied
from xalign.base.files import write_atomically
from xalign.evaluation.tasks import TASKS
from xalign.reporting.analyses import gaps_in, shown_of
from xalign.reporting.benchmarks import benchmarks_of
from xalign.reporting.formatting import (
    duration,
    flattened,
    listing,
    markdown,
    moment,
    number,
    p_value,
    percent,
    plain,
    signed,
)
from xalign.reporting.measures import language_name, measures_of
from xalign.reporting.plots import analysis_name, compare_by_layer, write_plots
from xalign.reporting.records import Contamination, Run
from xalign.reporting.run_folder import load_run
from xalign.reporting.seeds import SEED_NOTE, over_seeds
from xalign.reporting.sentences import group_texts
from xalign.reporting.summary import (
    Finding,
    findings_of,
    gaps_of,
    headlines_of,
    means_by_verdict,
    notes_on_tests,
    tables_of,
)
from xalign.reporting.validation import chosen_share, chosen_step
from xalign.reporting.verdict import opening_of

FILTERS: dict[str, Callable[..., object]] = {
    "number": number,
    "signed": signed,
    "percent": percent,
    "p_value": p_value,
    "duration": duration,
    "moment": moment,
    "listing": listing,
    "plain": plain,
    "md": markdown,
    "language": language_name,
}


def write_report(run_dir: Path, output: Path | None = None) -> Path:
    """Draw the pictures of a run and write its page (`<run>/report.html` or `output`).

    Raises:
        RunError: `run_dir` is not a run's folder.
        DataError: one of its files is damaged.
    """
    run = load_run(run_dir)
    findings = findings_of(run)
    images = {name: _embedded(file.read_bytes()) for name, file in write_plots(run).items()}
    page = (
        environment()
        .get_template("report.html.jinja")
        .render(
            run=run,
            opening=opening_of(run),
            gaps=gaps_of(run),
            headlines=headlines_of(run),
            findings=findings,
            counts=_counts(findings),
            images=images,
            groups=group_texts(run),
            tables=[table for table in tables_of(run) if not table.measures[0].in_context],
            benchmarks=benchmarks_of(run),
            analyses=[(shown, images[analysis_name(shown.name)]) for shown in shown_of(run.analyses)],
            analysis_gaps=list(gaps_in(run.analyses)),
            means=means_by_verdict(findings),
            tests=notes_on_tests(run),
            translated=any(measure.generated for measure in measures_of(run)),
            contamination=_contamination(run),
            speeds=_speeds(run),
            chosen_step=chosen_step(run),
            chosen_share=chosen_share(run),
            total_seconds=sum(run.environment.seconds.values()),
        )
    )
    path = output or run.path / "report.html"
    write_atomically(path, page)
    return path


def write_comparison(run_dirs: Sequence[Path], output: Path) -> Path:
    """Write one page that sets several runs side by side, with means over seeds where there are some."""
    runs = titled([load_run(path) for path in run_dirs])
    figures = {title: {figure.label: figure for figure in headlines_of(run)} for title, run in runs.items()}
    with applied():
        figure = compare_by_layer(runs)
        image = _embedded(_png(figure)) if figure else None
    page = (
        environment()
        .get_template("comparison.html.jinja")
        .render(
            runs=runs,
            figures=figures,
            columns=list(dict.fromkeys(label for row in figures.values() for label in row)),
            image=image,
            seeds=over_seeds(runs),
            seed_note=SEED_NOTE,
            differences=config_differences(list(runs.values())),
        )
    )
    write_atomically(output, page)
    return output


def titled(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs by the name of their folder, or by its path where two have the same name."""
    names = [run.name for run in runs]
    return {run.name if names.count(run.name) == 1 else str(run.path): run for run in runs}


_OBJECTIVES = "loss.objectives."
"""Start of keys many of which stand in `config.yaml` by a shorter name, too."""


def config_differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Dotted config key -> its value in each run, for the keys whose values are not all equal."""
    flat = [flattened(run.config) for run in runs]
    keys = dict.fromkeys(key for values in flat for key in values)
    rows = {key: [values.get(key, "") for values in flat] for key in keys if key != "run.dir"}
    short = {tuple(row) for key, row in rows.items() if not key.startswith(_OBJECTIVES)}
    return {
        key: row
        for key, row in rows.items()
        if len(set(row)) > 1 and not (key.startswith(_OBJECTIVES) and tuple(row) in short)
    }


def environment() -> jinja2.Environment:
    """Templates of this package; everything that comes from data is escaped."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name is not None and (".html" in name or name == "macros.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    templates.filters.update(FILTERS)
    return templates


def _counts(findings: Sequence[Finding]) -> Mapping[str, int]:
    gain, loss, same = (
        sum(len(names) for names in column)
        for column in (
            [finding.gains for finding in findings],
            [finding.losses for finding in findings],
            [finding.same for finding in findings],
        )
    )
    return {"gain": gain, "loss": loss, "same": same, "all": gain + loss + same}


def _contamination(run: Run) -> list[tuple[str, Contamination]]:
    """A row a benchmark, and one for each of its languages in which something was found."""
    rows = []
    for name, by_language in run.environment.contamination.items():
        counts = by_language.values()
        texts, exact, partial = (
            sum(getattr(own, field) for own in counts) for field in ("texts", "exact", "partial")
        )
        rows.append((_task_label(name), Contamination(texts=texts, exact=exact, partial=partial)))
        rows += [
            (f"\N{EM SPACE}{language_name(code)}", own)
            for code, own in by_language.items()
            if own.exact or own.partial
        ]
    return rows


def _task_label(name: str) -> str:
    """What a report calls a task, of whose demonstrations the name may be, too."""
    task, comma, rest = name.partition(",")
    label = TASKS.load(task).label if task in TASKS else ""
    return f"{label or task}{comma}{rest}"


def _speeds(run: Run) -> list[tuple[str, str]]:
    names = {
        "tokens_per_second": "Tokens per second (median)",
        "pairs_per_second": "Pairs per second (median)",
    }
    return [
        (label, f"{np.nanmedian(run.metrics[name].values):,.1f}")
        for name, label in names.items()
        if name in run.metrics
    ]


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _embedded(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
