"""Reading a run's folder: what is there, what may be missing, what is damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from begun_run import write_config

from xalign.base.errors import DataError, RunError
from xalign.reporting.run_folder import load_run, parse_results


def test_reads_every_part(run_dir: Path) -> None:
    run = load_run(run_dir)
    assert run.model == "gemma3_270m"
    assert run.aligned_layer == 9
    assert run.steps == 100
    assert run.environment.corpus["fr"] == 7213
    assert run.environment.decisions[1].value == "9"
    assert run.environment.other["git_commit"] == "0f3c9a1"
    assert run.metrics["gradient_cosine"].steps.tolist() == list(range(10, 101, 10))
    assert run.before_representations is not None
    assert run.before_representations.vectors.shape == (192, 64)
    rows = json.loads((run_dir / "evaluation/after.json").read_text())["results"]
    values = [
        r["value"] for r in rows if (r["benchmark"], r["metric"], r["layer"]) == ("tatoeba", "retrieval@1", 9)
    ]
    assert run.after is not None
    assert len(values) == 11
    assert run.after.mean_by_layer("tatoeba", "retrieval@1")[9] == pytest.approx(sum(values) / 11)
    means = run.after.mean_by_layer("tatoeba", "retrieval@1")
    best = run.after.best_layer("tatoeba", "retrieval@1")
    assert best is not None
    assert means[best] == max(means.values())


def test_aligned_layer_is_half_of_the_depth_where_the_config_leaves_it_open(run_dir: Path) -> None:
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    config["loss"]["layer"] = None
    config["model"]["depth"] = None
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    assert load_run(run_dir).aligned_layer == 9  # from the results' 18 blocks
    config["model"]["depth"] = 24
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    assert load_run(run_dir).aligned_layer == 12


def test_parts_may_be_missing(tmp_path: Path) -> None:
    write_config(tmp_path)
    run = load_run(tmp_path)
    assert (run.before, run.after, run.comparison, run.metrics, run.steps) == (None, None, (), {}, 0)
    assert run.aligned_layer is None


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no config\.yaml"):
        load_run(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        load_run(tmp_path / "nothing")
    for content in ("", "{}", "name: somebody's\nmodel: {layers: 3}\n"):
        (tmp_path / "config.yaml").write_text(content)
        with pytest.raises(RunError, match=r"its config.yaml is not a run's"):
            load_run(tmp_path)


def test_the_layer_is_what_the_run_recorded(run_dir: Path) -> None:
    """And not what the preset's depth would make of a model of one's own."""
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    config["loss"]["layer"], config["model"]["depth"] = None, 28
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    environment = json.loads((run_dir / "environment.json").read_text()) | {"layer": 18, "depth": 36}
    (run_dir / "environment.json").write_text(json.dumps(environment))
    assert load_run(run_dir).aligned_layer == 18


def test_damaged_metrics_line_is_named(run_dir: Path) -> None:
    file = run_dir / "metrics.jsonl"
    lines = file.read_text().splitlines()
    lines[6] = '{"step": 7, "loss": '
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"metrics.jsonl, line 7: not valid JSON"):
        load_run(run_dir)
    lines[6] = '{"step": 7, "loss": "low"}'
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"metrics.jsonl, line 7, 'loss': .*'low'"):
        load_run(run_dir)
    lines[6] = '{"loss": 1.0}'
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"line 7: 'step' is missing"):
        load_run(run_dir)


def test_cut_off_last_line_of_a_killed_run(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 101, "lo')
    assert load_run(run_dir).steps == 100
    assert "line 101" in caplog.text


def test_repeated_step_of_a_resumed_run_counts_once(tmp_path: Path) -> None:
    write_config(tmp_path)
    rows = [(1, 5.0), (2, 4.0), (3, 3.5), (2, 4.5), (3, 3.0)]
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {s}, "loss": {v}}}\n' for s, v in rows))
    loss = load_run(tmp_path).metrics["loss"]
    assert loss.steps.tolist() == [1, 2, 3]
    assert loss.values.tolist() == [5.0, 4.5, 3.0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", "model: {name: [\n", r"config.yaml, line \d: not valid YAML"),
        ("config.yaml", "- a\n", r"config.yaml: .*dictionary"),
        ("environment.json", "{\n  'x': 1}", r"environment.json, line 2: not valid JSON"),
        ("environment.json", '{"corpus": {"fr": "many"}}', r"environment.json, 'corpus', 'fr': .*'many'"),
        ("evaluation/after.json", '{"model": "m"}', r"after.json, 'results': Field required"),
        (
            "evaluation/after.json",
            '{"model": "m", "results": [{"benchmark": "b", "language": "fr", "metric": "m", "value": "x"}]}',
            r"after.json, 'results', row 1, 'value': .*'x'",
        ),
        ("evaluation/comparison.json", '[{"benchmark": "b"}]', r"comparison.json, row 1, 'language': Field"),
        ("evaluation/before.representations.npz", "not a zip", r"before.representations.npz: not a readable"),
    ],
)
def test_damaged_files_are_named(run_dir: Path, name: str, content: str, message: str) -> None:
    (run_dir / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_run(run_dir)


def test_representations_of_unequal_length(run_dir: Path) -> None:
    np.savez(
        run_dir / "evaluation/after.representations.npz",
        vectors=np.zeros((3, 2), np.float16),
        languages=np.array(["en", "fr"]),
        sentences=np.arange(3),
        texts=np.array(["a", "b", "c"]),
    )
    with pytest.raises(DataError, match="differ in length"):
        load_run(run_dir)


def test_parse_results_names_the_row() -> None:
    with pytest.raises(DataError, match="results, row 1, 'language'"):
        parse_results([{"benchmark": "b", "metric": "m", "value": 1}], "results")
