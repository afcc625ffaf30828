"""Parallel coordinates: a line a point, from key to key, in the colour of the figure it reached."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.colors import Normalize

from xalign.base.drawing import INK, applied, new_figure, write_clearly
from xalign.sweeps.folder import Job, Sweep
from xalign.sweeps.importance import sortable
from xalign.sweeps.job import point_of

MOST_TICKS = 8


def draw(sweep: Sweep, jobs: Sequence[Job], path: Path) -> Path | None:
    """Write the picture of all points that have values; None, and nothing, where fewer than two have."""
    judged = [job for job in jobs if job.values is not None]
    if len(judged) < 2 or not sweep.figures or not sweep.axes:
        return None
    points = [point_of(sweep, job.overrides) for job in judged]
    figures = {figure: [(job.values or [])[i] for job in judged] for i, figure in enumerate(sweep.figures)}
    main = figures[sweep.figures[0]]
    columns = [_places([point.get(key, "") for point in points]) for key in sweep.axes]
    columns += [_scaled(values) for values in figures.values()]
    names = [*sweep.axes, *("\n".join(figure.split("/")[1:]) for figure in figures)]
    colours = matplotlib.colormaps["viridis_r" if sweep.falls[0] else "viridis"]
    scale = Normalize(min(main), max(main) if max(main) > min(main) else min(main) + 1)
    with applied():
        figure = new_figure(2.2 * len(columns) + 1.5, 4.2)
        axes = figure.subplots()
        order = sorted(range(len(judged)), key=lambda i: main[i], reverse=sweep.falls[0])
        for i in order:
            heights = [places[i] for places, _ in columns]
            axes.plot(range(len(columns)), heights, color=colours(scale(main[i])), linewidth=1.6, alpha=0.85)
        for x, (_, ticks) in enumerate(columns):
            axes.axvline(x, color=INK, linewidth=0.8)
            for height, label in ticks:
                text = axes.text(x + 0.03, height, label, fontsize=8, va="center")
                write_clearly(text)
        axes.set(
            xticks=range(len(columns)), xticklabels=names, yticks=[], xlim=(-0.15, len(columns) - 0.6),
            title=f"Sweep {sweep.name}",
        )  # fmt: skip
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        figure.savefig(temporary, format="png")
        temporary.replace(path)
    return path


Column = tuple[list[float], list[tuple[float, str]]]
"""Height of each point, 0 to 1, and the labels at their heights."""


def _places(texts: Sequence[str]) -> Column:
    """Values of a key, by rank: whatever their scale, neighbours can be told apart."""
    distinct = sorted(set(texts), key=sortable)
    height = {text: rank / max(1, len(distinct) - 1) for rank, text in enumerate(distinct)}
    every = max(1, -(-len(distinct) // MOST_TICKS))
    shown = [text for rank, text in enumerate(distinct) if rank % every == 0 or rank == len(distinct) - 1]
    return [height[text] for text in texts], [(height[text], _shortened(text)) for text in shown]


def _scaled(values: Sequence[float]) -> Column:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    ticks = [(0.0, f"{low:.3g}"), ((high - low) / span, f"{high:.3g}")]
    return [(value - low) / span for value in values], ticks


def _shortened(text: str) -> str:
    try:
        return f"{float(text):.3g}"
    except ValueError:
        return text if len(text) <= 16 else text[:15] + "\N{HORIZONTAL ELLIPSIS}"
