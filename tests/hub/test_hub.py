"""Sets of the hub, read through huggingface_hub and datasets as a run does, from a stand-in on loopback."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

HERE = Path(__file__).parent
CONVERTED = "refs%2Fconvert%2Fparquet"

ZH = ["zh ask 0", "zh input 0", "zh out 0", "zh ask 1", "zh out 1"]
"""What `records` says in Chinese; an empty input is no text."""


def records(code: str) -> list[dict[str, str]]:
    inputs = [f"{code} input 0", ""]
    return [
        {"id": f"alpaca-{i}", "instruction": f"{code} ask {i}", "input": given, "output": f"{code} out {i}"}
        for i, given in enumerate(inputs)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(json.dumps(rows).encode()))


def script(repository: Path) -> None:
    (repository / "main").mkdir(parents=True, exist_ok=True)
    (repository / "main" / f"{repository.name}.py").write_text("raise SystemExit('nobody runs this')\n")


def make_repositories(models_and_sets: Path) -> None:
    folder = models_and_sets / "datasets"
    script(folder / "MBZUAI" / "Bactrian-X")
    for code in ("en", "zh", "tl", "de"):
        write(folder / "MBZUAI" / "Bactrian-X" / "main" / "data" / f"{code}.json.gz", records(code))
    script(folder / "some" / "script")
    for code in ("en", "zh"):
        converted = folder / "some" / "script" / CONVERTED / code
        write(converted / "train" / "0000.parquet", records(code)[:1])
        write(converted / "train" / "0001.parquet", records(code)[1:])
        write(converted / "test" / "0000.parquet", [{"text": f"{code} test"}])
        write(converted / "pairs" / "0000.parquet", [{"id": 1, "text": f"{code} pair"}])
        write(folder / "some" / "configured" / "main" / code / "train-00000-of-00001.parquet", records(code))
        write(folder / "some" / "broken" / "main" / f"{code}.json.gz", records(code))
    (folder / "some" / "configured" / "main" / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(
            f"- config_name: {code}\n  data_files:\n  - split: train\n    path: {code}/train-*\n"
            for code in ("en", "zh")
        )
        + "---\n"
    )
    script(folder / "some" / "unconverted")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By case: what came of it, and what the hub was asked."""
    folder = tmp_path_factory.mktemp("hub")
    make_repositories(folder / "repositories")
    environment = {**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, HERE / "clients.py", folder / "repositories"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcomes


def test_a_repository_with_a_file_for_each_language(found: dict[str, Any]) -> None:
    assert found["files"]["outcome"] == ZH
    fetched = {line.split("/")[-1] for line in found["files"]["asked"] if line.startswith("GET /storage/")}
    assert fetched == {"en.json.gz", "zh.json.gz"}  # the run's languages


def test_a_language_without_a_file_is_named(found: dict[str, Any]) -> None:
    kind, message = found["lacking"]["outcome"]
    assert kind == "DataError"
    assert "dataset 'MBZUAI/Bactrian-X' on the Hugging Face hub has no file for sw" in message
    assert "languages there: de, en, fil, zh" in message


@pytest.mark.parametrize("case", ["script", "script again"])
def test_of_a_script_the_hub_s_own_copy_is_read(found: dict[str, Any], case: str) -> None:
    assert found[case]["outcome"] == ZH
    assert not any("/test/" in line for line in found[case]["asked"])  # another split


def test_configurations_and_splits_of_a_script_are_known(found: dict[str, Any]) -> None:
    kind, message = found["script, lacking"]["outcome"]
    assert kind == "ConfigError"
    assert "instructions.hub: dataset 'some/script', configuration 'sw', split 'train'" in message
    assert "its configurations are en, zh" in message
    assert found["benchmark, no such split"]["outcome"] == ["no split"]


def test_one_configuration_for_each_language(found: dict[str, Any]) -> None:
    assert found["configurations"]["outcome"] == ZH


def test_a_script_without_a_copy_says_what_to_do(found: dict[str, Any]) -> None:
    kind, message = found["unconverted"]["outcome"]
    assert kind == "ArtifactError"
    assert "'some/unconverted' is a script, which `datasets` no longer runs" in message
    assert "instructions.path=<local copy>" in message


def test_a_repository_that_is_not_there_is_named(found: dict[str, Any]) -> None:
    kind, message = found["nothing there"]["outcome"]
    assert kind == "ArtifactError"
    assert message.startswith("dataset 'some/where': neither a folder here nor a repository on the")


def test_benchmarks_and_corpora_are_read_likewise(found: dict[str, Any]) -> None:
    assert found["benchmark"]["outcome"] == [{"text": "zh test"}]
    assert found["corpus"]["outcome"] == [{"en": "en pair", "zh": "zh pair"}]


def test_a_closed_connection_is_one_message_with_repository_file_and_cause(found: dict[str, Any]) -> None:
    kind, message = found["closed on a file"]["outcome"]
    assert kind == "ArtifactError"
    assert "could not get 'en.json.gz' of dataset 'some/broken' from the Hugging Face hub" in message
    assert "disconnected without sending a response" in message
    kind, message = found["closed on the listing"]["outcome"]
    assert kind == "ArtifactError"
    assert "could not get dataset 'some/other'" in message
    assert "disconnected without sending a response" in message


def test_without_a_hub_the_local_cache_serves(found: dict[str, Any]) -> None:
    assert found["offline"] == ZH
    assert found["offline, script"] == ZH
    kind, message = found["offline, lacking"]
    assert kind == "ArtifactError"
    assert "local cache on this machine lacks 'data/tl.json.gz' of dataset 'MBZUAI/Bactrian-X'" in message
    kind, message = found["offline, never seen"]
    assert kind == "ArtifactError"
    assert "instructions.path=<local copy>" in message
