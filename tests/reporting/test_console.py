"""Terminal tables: no digit is lost at 80 columns, colours follow significance."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from xalign.base.errors import DataError
from xalign.evaluation.metrics import KNOWN
from xalign.evaluation.results import Evaluation, Record, Result, standard_error
from xalign.evaluation.statistics import compare_models
from xalign.reporting.console import print_comparison, print_models, print_results, print_runs, short_names
from xalign.reporting.run_folder import load_run
from xalign.reporting.seeds import over_seeds

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
        if row["layer"] in (9, None) and not KNOWN[row["metric"]].hidden:
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
        {
            "benchmark": "b",
            "language": "fr",
            "metric": "retrieval@1",
            "value": value,
            "layer": layer,
            "n": 9,
        }
        for layer, value in enumerate((0.1, 0.7, 0.3))
    ]
    console = make_console(80)
    print_results(rows, console=console)
    assert "layer 1" in printed(console)
    assert "0.700" in printed(console)
    with pytest.raises(DataError, match="row 1, 'value'"):
        print_results([{"benchmark": "b", "language": "fr", "metric": "m"}], console=console)


def test_comparison_says_what_is_significant_and_what_is_not(run_dir: Path) -> None:
    console = make_console(120)
    print_comparison(run_dir, console)
    lines = printed(console).splitlines()
    better = next(line for line in lines if "mean significantly better:" in line)
    assert "Retrieval@1, layer 9 (heldout)" in better
    assert any("XNLI: Gap from English" in line for line in lines)
    assert any("significantly worse: Bits per byte (heldout), English" in line for line in lines)
    assert any(line.split()[:1] == ["high-resource"] for line in lines)


def test_main_figures_have_the_interval_that_the_notes_explain(run_dir: Path) -> None:
    console = make_console(80)
    print_comparison(run_dir, console)
    text = printed(console)
    row = load_run(run_dir).difference("heldout", "retrieval@1", "mean", 9)
    assert row is not None
    line = next(line for line in text.splitlines() if line.startswith("  Retrieval@1, layer 9 "))
    assert f"[+{row.low_adjusted:.3f}, +{row.high_adjusted:.3f}]" in line
    plain = " ".join(text.split())
    assert "covers the true difference with 95 % or more" in plain
    assert "over the items of this one run, not over seeds" in plain


def test_groups_of_one_evaluation(run_dir: Path) -> None:
    rows = json.loads((run_dir / "evaluation/before.json").read_text())["results"]
    console = make_console(80)
    print_results([row for row in rows if row["benchmark"] == "xnli"], console=console)
    lines = {line[1:23].strip(): line[23:].split() for line in printed(console).splitlines()}
    assert lines["mid-resource"] == ["0.425"]  # Thai 0.42, Bulgarian 0.43
    assert "near_ties" not in printed(console)


def model(name: str, right: dict[str, list[bool]], layers: int) -> Evaluation:
    answers: list[Record] = []
    ranks: list[Record] = []
    rows: list[Result] = []
    for code, own in right.items():
        for i, r in enumerate(own):
            answers.append({"language": code, "index": i, "gold": 1, "prediction": int(r)})
            hits = [0] * (layers - 1) + [int(r)]
            ranks.append(
                {"language": code, "index": i, "metric": "retrieval@1", "forward": hits, "backward": hits}
            )
        mean, error = sum(own) / len(own), standard_error(own)
        row = Result(benchmark="xnli", language=code, metric="accuracy", value=mean, stderr=error, n=len(own))
        rows.append(row)
        rows += [
            replace(row, benchmark="t", metric="retrieval@1", value=mean * (k == layers - 1), layer=k)
            for k in range(layers)
        ]
    return Evaluation(name, rows, {"xnli.xnli": answers, "t.retrieval": ranks})


def test_models_side_by_side() -> None:
    swahili = [True] * 10 + [False] * 30
    first = model("gemma", {"de": [True] * 20 + [False] * 20, "sw": swahili}, 3)
    same = model("outputs/run_a/model", {"de": [True] * 21 + [False] * 19, "sw": swahili}, 2)
    better = model("outputs/run_b/model", {"de": [True] * 36 + [False] * 4, "sw": swahili}, 5)
    console = make_console(80)
    print_models([first, same, better], 0, console)
    text = printed(console)
    assert max(map(len, text.splitlines())) <= 80
    assert "run_a" in text
    overview, *by_language = text.split("language  ")[0], *text.split("language  ")[1:]
    xnli = next(line for line in overview.splitlines() if line.split()[:1] == ["xnli"])
    figures = [part for part in xnli.split() if part[0] in "0+"]
    assert figures == ["0.375", "0.388", "+0.013", "0.575", "+0.200*"]
    # Right in none, one, or both languages: 20, 10 and 10 of 40 items; deviation of their means .42.
    assert "\N{PLUS-MINUS SIGN}0.066" in xnli
    # Retrieval at each model's own best layer, the last, though the models are not equally deep.
    retrieval = next(line for line in overview.splitlines() if line.lstrip().startswith("Retrieval@1 (t)"))
    assert retrieval.split()[2:] == xnli.split()[1:]
    assert len(by_language) == 2
    german = next(line for line in by_language[0].splitlines() if "German" in line)
    assert german.split()[-1] == "+0.400*"
    unchanged = next(line for line in by_language[0].splitlines() if "Swahili" in line)
    assert unchanged.split()[-1] == "+0.000"
    (row,) = (
        c
        for c in compare_models([first, same, better], 0)[1]
        if (c.benchmark, c.metric, c.language) == ("xnli", "accuracy", "mean")
    )
    assert f"+{row.difference:.3f}*" in xnli


def test_models_are_shown_by_the_figures_that_were_compared() -> None:
    def translator(name: str, corpus: float, sentences: float) -> Evaluation:
        metric = "chrf++_into"
        row = Result(benchmark="t", language="de", metric=metric, value=corpus, stderr=1.0, n=20)
        records = [
            {"language": "de", "index": i, "metric": metric, "chrf": sentences + i % 2} for i in range(20)
        ]
        return Evaluation(name, [row], {"t.translation": records})

    console = make_console(80)
    print_models([translator("a", 20.0, 25.0), translator("b", 20.1, 28.0)], 0, console)
    line = next(line for line in printed(console).splitlines() if "chrF++ into (t)" in line)
    figures = [part for part in line.split()[3:] if part[0] in "+0123456789"]
    assert figures == ["25.500", "28.500", "+3.000*"]


def test_models_without_room_by_language() -> None:
    models = [model(f"m{i}", {"de": [True, False]}, 1) for i in range(6)]
    console = make_console(80)
    print_models(models, 0, console)
    assert "German" not in printed(console)


def test_names_of_models() -> None:
    assert short_names(["gemma", "outputs/a/model", "/x/b"]) == ["gemma", "a", "b"]
    assert short_names(["x/a/model", "y/a/model"]) == ["x/a/model", "y/a/model"]


def test_runs_of_several_seeds_have_means_and_intervals(tmp_path: Path, make_run: MakeRun) -> None:
    runs = {f"s{i}": load_run(make_run(tmp_path / f"s{i}", seed=i)) for i in range(3)}
    console = make_console(100)
    print_runs(runs, console)
    text = printed(console)
    assert "over 3 seeds (0, 1, 2): s0, s1, s2" in text
    (change,) = (h.change for h in over_seeds(runs)[0].headlines if h.label == "XNLI")
    line = next(line for line in text.splitlines() if line.startswith("  XNLI "))
    assert f"{change.before:.3f}→{change.after:.3f}" in line
    assert "*" not in line
    assert "95 % t interval" in " ".join(text.split())


def test_runs_side_by_side(tmp_path: Path, make_run: MakeRun) -> None:
    runs = {name: load_run(make_run(tmp_path / name, seed=i)) for i, name in enumerate(("one", "two"))}
    console = make_console(100)
    print_runs(runs, console)
    lines = printed(console).splitlines()
    assert sum(line.lstrip().startswith(("one", "two")) for line in lines) == 2
