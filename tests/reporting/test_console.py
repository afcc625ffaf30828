"""Terminal tables: no digit is lost at 80 columns, colours follow significance."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from xalign.errors import DataError
from xalign.reporting.console import print_comparison, print_results, print_runs
from xalign.reporting.measures import HIDDEN
from xalign.reporting.run_folder import load_run

MakeRun = Callable[..., Path]


def make_console(width: int, colour: bool = False) -> Console:
    return Console(
        file=StringIO(),
        width=width,
        highlight=False,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_comparison_fits_and_is_whole(run_dir: Path, width: int) -> None:
    console = make_console(width)
    print_comparison(run_dir, console)
    text = printed(console)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in json.loads((run_dir / "evaluation/comparison.json").read_text()):
        if row["layer"] in (9, None) and row["metric"] not in HIDDEN:
            assert f"{row['before']:.3f}→{row['after']:.3f}" in text
    assert "Spanish†" in text


def test_colours_follow_significance(run_dir: Path) -> None:
    console = make_console(120, colour=True)
    print_comparison(run_dir, console)
    lines = printed(console).splitlines()
    french = next(line for line in lines if "French" in line)
    swahili = next(line for line in lines if "Swahili" in line)
    english = next(line for line in lines if "English" in line)
    assert "\x1b[1;32m" in french
    assert "\x1b[2m" in swahili
    assert "\x1b[1;31m" in english


def test_unfinished_run_prints_what_is_there(run_dir: Path) -> None:
    for name in ("after.json", "comparison.json"):
        (run_dir / "evaluation" / name).unlink()
    console = make_console(100)
    print_comparison(run_dir, console)
    assert "has not finished" in printed(console)


def test_results_of_one_evaluation(run_dir: Path) -> None:
    rows = json.loads((run_dir / "evaluation/before.json").read_text())["results"]
    console = make_console(80)
    print_results(rows, layer=9, console=console)
    text = printed(console)
    assert "…" not in text
    french = next(r for r in rows if (r["metric"], r["language"], r["layer"]) == ("retrieval@1", "fr", 9))
    assert f"{french['value']:.3f} ±{french['stderr']:.3f}" in text
    run = load_run(run_dir)
    assert run.before is not None
    means = run.before.mean_by_layer("heldout", "retrieval@1")
    assert f"{max(means.values()):.3f} ({run.before.best_layer('heldout', 'retrieval@1')})" in text


def test_results_without_a_layer_show_the_best(run_dir: Path) -> None:
    rows = [
        {"benchmark": "b", "language": "fr", "metric": "retrieval@1", "value": value, "layer": layer}
        for layer, value in enumerate((0.1, 0.7, 0.3))
    ]
    console = make_console(80)
    print_results(rows, console=console)
    assert "layer 1" in printed(console)
    assert "0.700" in printed(console)
    with pytest.raises(DataError, match="row 1, 'value'"):
        print_results([{"benchmark": "b", "language": "fr", "metric": "m"}], console=console)


def test_runs_side_by_side(tmp_path: Path, make_run: MakeRun) -> None:
    runs = {name: load_run(make_run(tmp_path / name, seed=i)) for i, name in enumerate(("one", "two"))}
    console = make_console(100)
    print_runs(runs, console)
    lines = printed(console).splitlines()
    assert sum(line.lstrip().startswith(("one", "two")) for line in lines) == 2
