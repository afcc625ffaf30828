"""What was measured: kept in a file, written out as a table, a list of targets and a picture."""

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from cases import CASES, LIBRARIES, LOW, PUBLISHED, RETAINING, TITLES, XALIGN, Target

if TYPE_CHECKING:
    from system import Step

COLUMNS = (
    *("model", "step", "system", "seconds (range)", "(a) / this", "peak MiB", "of (a)", "TFLOP"),
    *("floor, s", "time / floor"),
)


@dataclass
class Measured:
    """One system's steps in one case: seconds of each, highest memory, operations and losses of the first."""

    model: str
    case: str
    system: str
    device: str
    precision: str
    threads: int
    seconds: list[float] = field(default_factory=list)
    before_mib: float = 0.0
    """Memory before the first step: libraries, texts, weights as far as they are not mapped from a file."""
    peak_mib: float = 0.0
    operations: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    def take(self, step: "Step", timed: bool) -> None:
        if timed:
            self.seconds.append(step.seconds)
        if not self.losses:
            self.losses, self.before_mib = step.losses, step.before_mib
        self.operations = step.operations or self.operations
        # The counted step's tensors pass through Python; its memory is no other.
        self.peak_mib = max(self.peak_mib, step.peak_mib)

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def key(self) -> tuple[str, ...]:
        return self.model, self.case, self.system, self.device, self.precision, str(self.threads)


class Results:
    """`results.json`: the latest measurement of every model, case and system, and the machines' peaks."""

    def __init__(
        self, path: Path, measured: dict[tuple[str, ...], Measured], machines: dict[str, Any]
    ) -> None:
        self.path, self.measured, self.machines = path, measured, machines

    @classmethod
    def read(cls, path: Path) -> "Results":
        if not path.exists():
            return cls(path, {}, {})
        stored = json.loads(path.read_text())
        rows = [Measured(**row) for row in stored["measured"]]
        return cls(path, {row.key: row for row in rows}, stored["machines"])

    def note_machine(self, device: str, precision: str, threads: int, peak: float) -> None:
        """Keep what the floor is computed with: operations a second of a large matrix product."""
        import torch

        name = torch.cuda.get_device_name() if device == "cuda" else processor()
        self.machines[f"{device}, {precision}, {threads}"] = {
            "name": name,
            "matmul_peak": peak,
            "torch": torch.__version__,
        }

    def add(self, found: Measured) -> None:
        self.measured[found.key] = found

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"machines": self.machines, "measured": [asdict(m) for m in self.measured.values()]}
        self.path.write_text(json.dumps(content, indent=1) + "\n")

    def peak(self, m: Measured) -> float:
        return float(self.machines[f"{m.device}, {m.precision}, {m.threads}"]["matmul_peak"])

    def groups(self) -> Iterator[dict[str, Measured]]:
        """The systems of one case each, in the order of `CASES` within a model."""
        found: dict[tuple[str, ...], dict[str, Measured]] = {}
        for m in self.measured.values():
            found.setdefault((*m.key[:2], *m.key[3:]), {})[m.system] = m
        models = list(dict.fromkeys(m.model for m in self.measured.values()))
        for key in sorted(found, key=lambda k: (models.index(k[0]), list(CASES).index(k[1]), k[2:])):
            yield {s: found[key][s] for s in TITLES if s in found[key]}

    def table(self) -> str:
        """A line a system, in Markdown."""
        lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
        for group in self.groups():
            published = group.get(PUBLISHED)
            for system, m in group.items():
                floor = m.operations / self.peak(m)
                cells = [
                    *(m.model, CASES[m.case].title, TITLES[system]),
                    f"{m.median:.2f} ({min(m.seconds):.2f}–{max(m.seconds):.2f})",
                    f"{published.median / m.median:.2f}" if published else "",
                    f"{m.peak_mib:.0f}",
                    f"{m.peak_mib / published.peak_mib:.2f}" if published else "",
                    *(f"{m.operations / 1e12:.2f}", f"{floor:.2f}", f"{m.median / floor:.1f}"),
                ]
                lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def targets(self) -> str:
        """A line a target of the cases that were measured, in Markdown."""
        lines = ["| model | step | target | measured | reached |", "|" + " --- |" * 5]
        for group in self.groups():
            first = next(iter(group.values()))
            for target in CASES[first.case].targets:
                if (judged := self.judged(target, group)) is not None:
                    wanted, value, reached = judged
                    variant = "" if target.of == XALIGN else TITLES[target.of].removeprefix("(c) xalign")
                    cells = (
                        first.model,
                        CASES[first.case].title + variant,
                        wanted,
                        value,
                        "yes" if reached else "**no**",
                    )
                    lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def judged(self, target: Target, group: dict[str, Measured]) -> tuple[str, str, bool] | None:
        """The target in words, what was measured, whether that reaches it; None without measurement."""
        own, other = group.get(target.of), group.get(target.than or target.of)
        if own is None or other is None:
            return None
        short = TITLES[other.system][:3]
        if target.speed is not None:
            ratio = other.median / own.median
            return f"at least {target.speed:g} x as fast as {short}", f"{ratio:.2f} x", ratio >= target.speed
        if target.memory is not None:
            share = own.peak_mib / other.peak_mib
            return (
                f"at most {target.memory:.2f} of the memory of {short}",
                f"{share:.2f}",
                share <= target.memory,
            )
        assert target.mfu is not None
        mfu = own.operations / self.peak(own) / own.median
        return f"MFU of at least {target.mfu:.0%}", f"{mfu:.0%}", mfu >= target.mfu

    def report(self, folder: Path) -> None:
        """`table.md` and `steps.png`; the table to standard output too."""
        if not self.measured:
            return
        text = self.table() + "\n" + self.targets()
        (folder / "table.md").write_text(text)
        print(text)
        self.picture(folder / "steps.png")

    def picture(self, file: Path) -> None:
        """Bars of time (a line marks the floor) and of memory, a row of panels a model."""
        # Here, so that the parent of a measurement imports as little as can be.
        from matplotlib.artist import Artist
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        from xalign.base.drawing import INK, PALETTE, applied, new_figure

        colours = dict(zip((XALIGN, PUBLISHED, LIBRARIES, RETAINING, LOW), PALETTE, strict=False))
        by_model: dict[tuple[str, ...], list[dict[str, Measured]]] = {}
        for group in self.groups():
            first = next(iter(group.values()))
            by_model.setdefault((first.model, first.device, first.precision), []).append(group)
        with applied():
            bars = [sum(map(len, groups)) + len(groups) for groups in by_model.values()]
            figure = new_figure(10, 0.24 * sum(bars) + 0.9 * len(bars) + 0.6)
            grid = figure.subplots(len(bars), 2, squeeze=False, height_ratios=bars)
            for (name, groups), panels in zip(by_model.items(), grid, strict=True):
                place, ticks, labels = 0.0, [], []
                for group in groups:
                    begin = place
                    for system, m in group.items():
                        for axes, value, text in (
                            (panels[0], m.median, f"{m.median:.2f}"),
                            (panels[1], m.peak_mib / 1024, f"{m.peak_mib / 1024:.1f}"),
                        ):
                            axes.barh(place, value, height=0.85, color=colours[system])
                            axes.annotate(
                                text, (value, place), (3, 0), textcoords="offset points",
                                va="center", fontsize=8, color=INK,
                            )  # fmt: skip
                        floor = m.operations / self.peak(m)
                        panels[0].plot([floor, floor], [place - 0.42, place + 0.42], color=INK, linewidth=1.5)
                        place += 1
                    ticks.append((begin + place - 1) / 2)
                    labels.append(CASES[next(iter(group.values())).case].title.replace(", ", ",\n"))
                    place += 0.8
                panels[0].set_title(f"{', '.join(name)}: seconds a step")
                panels[1].set_title("peak memory, GiB")
                for axes in panels:
                    axes.set_yticks(ticks, labels)
                    axes.invert_yaxis()
                    axes.grid(axis="y", visible=False)
                    axes.margins(x=0.12)
                panels[1].set_yticklabels([])
            shown = [s for s in TITLES if any(s in group for group in self.groups())]
            handles: list[Artist] = [Patch(color=colours[s], label=TITLES[s]) for s in shown]
            handles.append(Line2D([], [], color=INK, linewidth=1.5, label="floor: operations / matmul peak"))
            figure.legend(handles=handles, loc="outside lower center", ncols=2)
            figure.savefig(file, format="png")


def processor() -> str:
    from xalign.workspace.environment import describe_environment

    return f"{describe_environment()['processor'] or platform.processor()}"
