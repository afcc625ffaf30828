"""The pages: their numbers are the inputs', data cannot inject markup, unfinished runs are shown as such."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from begun_run import write_config
from matplotlib.image import imread

from xalign.reporting.html import config_differences, titled, write_comparison, write_report
from xalign.reporting.run_folder import load_run
from xalign.reporting.seeds import over_seeds

MakeRun = Callable[..., Path]


class Page(HTMLParser):
    """Rows of all tables as lists of cell texts, all tags with their attributes, all text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open:
            self.rows[-1][-1] += data


def numbers(cell: str) -> list[float]:
    return [float(found.replace("\N{MINUS SIGN}", "-")) for found in re.findall(r"[+\u2212]?\d+\.\d+", cell)]


def test_numbers_in_the_page_are_the_inputs(run_dir: Path) -> None:
    page = Page(write_report(run_dir))
    rows = json.loads((run_dir / "evaluation/comparison.json").read_text())
    by_key = {(r["benchmark"], r["metric"], r["language"], r["layer"]): r for r in rows}
    for name, code in (
        ("French", "fr"),
        ("Swahili", "sw"),
        ("Spanishnot trained on", "es"),
        ("Mean over languages", "mean"),
    ):
        heldout, tatoeba = (row for row in page.rows if len(row) in (4, 5) and row[0].strip() == name)
        for benchmark, cells in (("heldout", heldout), ("tatoeba", tatoeba)):
            for cell, metric in zip(cells[1:4], ("retrieval@1", "retrieval@1_centred", "mexa"), strict=True):
                row = by_key[benchmark, metric, code, 9]
                shown = ("before", "after", "difference", "low_adjusted", "high_adjusted")
                expected = [row[key] for key in shown]
                assert numbers(cell) == pytest.approx(expected, abs=5.1e-4)
                assert ("*" in cell) == (row["p_adjusted"] < 0.05)
    (english,) = (row for row in page.rows if len(row) == 5 and row[0].startswith("Englishpivot"))
    row = by_key["heldout", "bits_per_byte", "en", None]
    assert numbers(english[4])[:3] == pytest.approx(
        [row["before"], row["after"], row["difference"]], abs=5.1e-4
    )
    assert ["French", "7,213", ""] in [[cell.strip() for cell in row] for row in page.rows]
    assert "python -m xalign.run run.dir=outputs/demo" in page.text
    gains = sum(r["p_adjusted"] < 0.05 and r["language"] != "mean" for r in rows if is_shown_gain(r))
    assert f"{gains} improved significantly" in page.text


def is_shown_gain(row: dict[str, float | str | None]) -> bool:
    better = (float(row["difference"] or 0) > 0) != (row["metric"] == "bits_per_byte")
    return better and row["metric"] != "mexa_centred" and row["layer"] in (None, 9)


def drop_pictures(run_dir: Path) -> None:
    """What takes longest to draw."""
    for file in (run_dir / "metrics.jsonl", *run_dir.glob("evaluation/*.npz")):
        file.unlink()


def test_in_context_benchmarks_have_tables_of_their_own(run_dir: Path) -> None:
    drop_pictures(run_dir)
    page = Page(write_report(run_dir))
    rows = json.loads((run_dir / "evaluation/comparison.json").read_text())
    by_key = {(r["benchmark"], r["language"]): r for r in rows if r["metric"] == "accuracy"}
    assert "XNLI: accuracy, zero-shot, chance 0.333" in page.text
    assert "Gap from English to the mean of the others" in page.text
    choice, xnli = (row for row in page.rows if len(row) == 6 and row[0] == "Swahili")
    for cells, benchmark in ((choice, "translation_choice"), (xnli, "xnli")):
        row = by_key[benchmark, "sw"]
        expected = [row[key] for key in ("before", "after", "difference", "low_adjusted", "high_adjusted")]
        assert numbers(" ".join(cells[1:4])) == pytest.approx(expected, abs=5.1e-4)
        assert ("*" in cells[2]) == (row["p_adjusted"] < 0.05)
        shown = "< 0.001" if row["p_adjusted"] < 0.0005 else f"{row['p_adjusted']:.3f}"
        assert cells[4:] == [shown, "100"]
    groups = [row for row in page.rows if len(row) == 6 and row[0] == "Mean, mid-resource"]
    assert numbers(groups[-1][1]) == pytest.approx([0.425, 0.445], abs=5.1e-4)
    assert groups[-1][3:] == ["", "", ""]
    pictures = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert "XNLI by language, before and after" in pictures
    assert sum("XNLI" in row for row in page.rows) == 0  # in no other table


def test_contamination_is_shown_by_benchmark_and_where_found(run_dir: Path) -> None:
    drop_pictures(run_dir)
    file = run_dir / "environment.json"
    environment = json.loads(file.read_text())
    environment["contamination"] = {
        "xnli": {
            "de": {"texts": 4000, "exact": 2, "partial": 1},
            "sw": {"texts": 10, "exact": 0, "partial": 0},
        }
    }
    file.write_text(json.dumps(environment))
    rows = [[cell.strip() for cell in row] for row in Page(write_report(run_dir)).rows]
    assert ["XNLI", "4,010", "2", "1"] in rows
    assert ["German", "4,000", "2", "1"] in rows
    assert not any(row[:2] == ["Swahili", "10"] for row in rows)


def test_page_is_self_contained_and_its_pictures_are_not_blank(run_dir: Path) -> None:
    page = Page(write_report(run_dir))
    sources = [attributes.get(name) for _, attributes in page.tags for name in ("src", "href")]
    found = [source for source in sources if source is not None]
    assert len(found) == 6
    assert all(source.startswith("data:image/png;base64,") for source in found)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    for name in ("retrieval_by_layer", "languages", "sentences", "losses", "in_context_xnli"):
        pixels = imread(run_dir / "plots" / f"{name}.png")[..., :3]
        assert pixels.shape[1] == (840 if name.startswith("in_context") else 1500)
        assert 0.01 < np.mean(pixels.min(axis=-1) < 0.9) < 0.6, name


def test_validation_stands_beside_the_losses(tmp_path: Path, make_run: MakeRun) -> None:
    trainer = {"steps": 100, "select": "eval/xnli/accuracy/mean"}
    run_dir = make_run(tmp_path / "demo", overrides={"trainer": trainer})
    with (run_dir / "metrics.jsonl").open("a") as file:
        for step, value in ((101, 0.4), (102, 0.45), (103, 0.41)):
            file.write(json.dumps({"step": step, "eval/xnli/accuracy/mean": value}) + "\n")
    assert "Step 102 was kept: the best eval/xnli/accuracy/mean." in Page(write_report(run_dir)).text
    pixels = imread(run_dir / "plots" / "validation.png")[..., :3]
    assert 0.005 < np.mean(pixels.min(axis=-1) < 0.9) < 0.6


def test_data_cannot_inject_markup(tmp_path: Path, make_run: MakeRun) -> None:
    evil = "<script>alert(1)</script>"
    run_dir = make_run(tmp_path / "demo", overrides={"loss": {"name": evil, evil: evil, "layer": 9}})
    environment = json.loads((run_dir / "environment.json").read_text())
    environment["command"] = evil
    environment["started"] = evil
    environment["cleaning"][evil] = 3
    environment["corpus"][evil] = 3
    environment["decisions"].append({"what": evil, "value": evil, "reason": evil})
    environment["versions"][evil] = evil
    (run_dir / "environment.json").write_text(json.dumps(environment))
    for name in ("before", "after", "comparison"):
        file = run_dir / f"evaluation/{name}.json"
        content = json.loads(file.read_text())
        for row in content["results"] if isinstance(content, dict) else content:
            row["benchmark"] = row["benchmark"].replace("heldout", evil)
            row["language"] = row["language"].replace("sw", evil)
        file.write_text(json.dumps(content))
    for moment in ("before", "after"):
        file = run_dir / f"evaluation/{moment}.representations.npz"
        arrays = dict(np.load(file))
        arrays["texts"] = np.array([evil] * len(arrays["texts"]))
        np.savez(file, **arrays)
    for path in (write_report(run_dir), write_comparison([run_dir, run_dir], tmp_path / "c.html")):
        page = Page(path)
        assert "script" not in {tag for tag, _ in page.tags}
        assert evil in page.text


def test_unfinished_run(run_dir: Path) -> None:
    (run_dir / "plots").mkdir()
    stale = run_dir / "plots/losses.png"
    stale.write_bytes(b"of an older state")
    for name in ("evaluation/after.json", "evaluation/comparison.json", "metrics.jsonl"):
        (run_dir / name).unlink()
    page = Page(write_report(run_dir))
    assert "has not finished" in page.text
    assert "improved significantly" not in page.text
    assert (run_dir / "plots/retrieval_by_layer.png").exists()
    assert not stale.exists()


def test_barely_started_run(tmp_path: Path) -> None:
    write_config(tmp_path)
    page = Page(write_report(tmp_path))
    assert "No training step" in page.text
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_comparison_of_two_runs(tmp_path: Path, make_run: MakeRun) -> None:
    first = make_run(tmp_path / "a" / "run")
    second = make_run(tmp_path / "b" / "run", gain=0.4, overrides={"seed": 5})
    config = yaml.safe_load((second / "config.yaml").read_text())
    config["loss"]["tau"] = 0.1
    (second / "config.yaml").write_text(yaml.safe_dump(config))
    page = Page(write_comparison([first, second], tmp_path / "out" / "comparison.html"))
    assert [f"{first}gemma3_270m · afp", f"{second}gemma3_270m · afp"] == [
        row[0].strip() for row in page.rows if len(row) == 8 and row[1] == "100"
    ]
    assert ["loss.tau", "0.05", "0.1"] in page.rows
    assert ["seed", "0", "5"] in page.rows
    assert not any(row[0] == "loss.layer" for row in page.rows if row)
    best = load_run(second).difference("heldout", "retrieval@1_best", "mean", None)
    assert best is not None
    cells = next(row for row in page.rows if row and row[0].startswith(str(second)))
    assert numbers(cells[3])[1] == pytest.approx(best.after, abs=5.1e-4)


def test_seeds_on_the_page(tmp_path: Path, make_run: MakeRun) -> None:
    paths = [make_run(tmp_path / f"s{i}", seed=i) for i in range(3)]
    for path in paths:
        drop_pictures(path)
    page = Page(write_comparison(paths, tmp_path / "c.html"))
    assert "Over 3 seeds (0, 1, 2)" in page.text
    assert "s0 · s1 · s2" in page.text
    assert "95 % t interval" in page.text
    (group,) = over_seeds(titled([load_run(path) for path in paths]))
    french = next(row for row in group.tables[0].rows if row.language == "fr")
    cells = next(row for row in page.rows if row[0].strip() == "French" and len(row) == 5)
    change = french.changes[0]
    expected = [change.before, change.after, change.difference, change.low, change.high]
    assert numbers(cells[1]) == pytest.approx(expected, abs=5.1e-4)
    assert not any("*" in cell for cell in cells)


def test_config_differences_of_equal_runs(run_dir: Path) -> None:
    run = load_run(run_dir)
    assert config_differences([run, run]) == {}
