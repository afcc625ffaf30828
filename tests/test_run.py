"""The whole way through the entry points, as a user would go it."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from training_helpers import OBJECTIVES, small_config

from xalign.base.errors import RunError
from xalign.config.schema import Config
from xalign.workspace.content import default_folder
from xalign.workspace.folder import RunFolder

PO = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

"""


def catalogues(folder: Path, rows: int = 150) -> Path:
    """A folder of gettext catalogues with sentences of three words and more."""
    things = ["file", "page", "user", "event", "group", "image", "report", "answer"]
    foreign = ["fichier", "page", "usager", "évènement", "groupe", "image", "rapport", "réponse"]
    for language in ("fr", "de", "zh_Hans"):
        opens = "打开" if language == "zh_Hans" else "ouvrez"  # a text has letters of its script
        path = folder / language / "LC_MESSAGES" / "django.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = [
            f'msgid "Please open the {things[i % 8]} number {i} now"\n'
            f'msgstr "{language}: {opens} {foreign[i % 8]} {i * 7} maintenant"\n'
            for i in range(rows)
        ]
        path.write_text(PO + "\n".join(entries), encoding="utf-8")
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    catalogues(tmp_path / "corpus")
    return tmp_path


def xalign(command: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"xalign.{command}", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


QUICK = ("experiment=quick", "data.path=corpus", "trainer.precision=fp32", "benchmark.precision=fp32")


@pytest.mark.parametrize(
    "experiment",
    [
        "demo",
        "afp_xglm_en_zh",
        *(pytest.param(e, marks=pytest.mark.slow) for e in ("quick", "afp_xglm_5lang")),
    ],
)
def test_every_experiment_goes_the_whole_way_on_the_tiny_model(experiment: str, place: Path) -> None:
    """The experiment's own settings, with a tiny model, local text and few steps."""
    changes = [
        "model=tiny", "data=files", "data.path=corpus", "instructions=parallel", "languages.targets=[fr,zh]",
        "languages.unseen=[de]", "trainer.steps=2", "trainer.batch_size=4", "benchmark.choice_limit=2",
        "benchmark.limit=8", "trainer.instruction_batch_size=2", "run.dir=out", "loss.layer=1",
    ]  # fmt: skip
    done = xalign("run", f"experiment={experiment}", *changes, cwd=place)
    assert done.returncode == 0, done.stderr
    for name in (
        "config.yaml", "environment.json", "metrics.jsonl", "evaluation/before.json", "evaluation/after.json",
        "evaluation/comparison.json", "model/model.safetensors", "model/tokenizer.json", "model/README.md",
        "checkpoints/step-00000002/state.ckpt", "report.html",
    ):  # fmt: skip
        assert (place / "out" / name).exists(), name
    row = json.loads((place / "out/evaluation/after.json").read_text())["results"][0]
    assert set(row) == {
        "benchmark",
        "language",
        "metric",
        "value",
        "stderr",
        "n",
        "layer",
        "shots",
        "version",
    }
    assert "retrieval" in done.stdout.lower()


METHODS = sorted(file.stem for file in (Path(__file__).parents[1] / "conf" / "loss").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_the_whole_way_by_its_name(method: str, place: Path) -> None:
    needed = {
        "nli_triplets": [f"loss.objectives.nli_triplets.path={OBJECTIVES / 'nli'}"],
        "entities": ["loss.objectives.entities.names=names.tsv"],
    }
    (place / "names.tsv").write_text("en\tzh\nfile\t文件\npage\t页面\n", encoding="utf-8")
    options = [
        f"loss={method}",
        "run.dir=out",
        "trainer.steps=2",
        "instructions=parallel",
        *needed.get(method, []),
    ]
    if method in ("self_teaching", "multiway", "prealign", "restore"):
        options += ["languages.targets=[fr,zh]", "languages.unseen=[]"]
    done = xalign("run", *QUICK, *options, cwd=place)
    assert done.returncode == 0, done.stderr
    assert (place / "out/report.html").exists()
    lines = [json.loads(line) for line in (place / "out/metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(line["loss"]) and not line["skipped"] for line in lines)


def test_finished_run_is_shown_not_repeated_and_its_model_can_be_measured(place: Path) -> None:
    first = xalign("run", *QUICK, "run.dir=out", "data.test_fraction=0.2", "analyses=[cka]", cwd=place)
    assert first.returncode == 0, first.stderr
    stamp = (place / "out/model/model.safetensors").stat().st_mtime_ns
    again = xalign("run", *QUICK, "run.dir=out", "data.test_fraction=0.2", cwd=place)
    assert again.returncode == 0
    assert "is complete" in again.stdout
    assert (place / "out/model/model.safetensors").stat().st_mtime_ns == stamp
    other = xalign("run", *QUICK, "run.dir=out", "data.test_fraction=0.2", "loss.tau=0.1", cwd=place)
    assert other.returncode == 1
    assert "holds a run with another config (loss.tau: 0.05 -> 0.1)" in other.stderr
    measured = xalign(
        "evaluate", "model.path=out/model", "data.path=corpus", "languages=en_zh", "benchmark.limit=8",
        "benchmark.choice_limit=2", "output=result.json", cwd=place,
    )  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    assert json.loads((place / "result.json").read_text())["model"] == "out/model"
    report = xalign("report", "out", cwd=place)
    assert report.returncode == 0, report.stderr
    # The same text, base model and aligned model as the run itself had.
    looked = xalign("analyze", "out", "analyses=[cka]", "benchmark.precision=fp32", "output=found", cwd=place)
    assert looked.returncode == 0, looked.stderr
    for when in ("before", "after"):
        of_run, found = (
            json.loads((place / folder / f"{when}.analyses.json").read_text())["analyses"]["cka"]["findings"]
            for folder in ("out/evaluation", "found")
        )
        assert of_run["languages"] == ["zh"]
        assert found == of_run, when
    assert (place / "out/plots/analysis_cka.png").exists()


def test_multirun_gives_every_point_its_own_complete_folder(place: Path) -> None:
    done = xalign("run", "-m", *QUICK, "loss.tau=0.02,0.05", "trainer.steps=1", cwd=place)
    assert done.returncode == 0, done.stderr
    runs = sorted((place / "outputs").glob("tiny-afp-*"))
    assert len(runs) == 2
    assert all((run / "report.html").exists() for run in runs)
    assert {yaml.safe_load((run / "config.yaml").read_text())["loss"]["tau"] for run in runs} == {0.02, 0.05}


@pytest.mark.slow
def test_two_ranks_train_as_one(place: Path) -> None:
    """`strategy=ddp trainer.devices=2` with half the batch a rank: the same losses as one process."""
    measured = (
        "loss.retention_weight=0", "benchmark@validation=heldout", "validation.tasks=[bits_per_byte]",
        "trainer.evaluate_every=2", "trainer.select=eval/heldout/bits_per_byte/mean",
    )  # fmt: skip
    one = xalign("run", *QUICK, "run.dir=one", *measured, cwd=place)
    assert one.returncode == 0, one.stderr
    two = xalign(
        "run", *QUICK, "run.dir=two", *measured, "strategy=ddp", "trainer.devices=2",
        "trainer.batch_size=4", "trainer.instruction_batch_size=2", cwd=place,
    )  # fmt: skip
    assert two.returncode == 0, two.stderr
    lines = [
        [json.loads(line) for line in (place / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    ]
    losses, bits = (
        [[line[key] for line in run if key in line] for run in lines]
        for key in ("loss", "eval/heldout/bits_per_byte/mean")
    )
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(losses[0]) == 6
    assert bits[0] == pytest.approx(bits[1], rel=1e-4)
    assert len(bits[0]) == 3
    assert (place / "two/model/model.safetensors").exists()


USER_MISTAKES = {
    "no corpus": (("data.path=nowhere",), "does not exist"),
    "no language": (("languages.targets=[fr,sw]",), "languages.targets=sw: no pairs with en"),
    "no model": (("model.pretrained=true", "model.path=nowhere/model"), "nowhere/model"),
    "layer": (("model.depth=null", "loss.layer=19"), "layers 0 to 10"),
    "folder": (("run.dir=/proc/xalign",), "/proc/xalign"),
}


@pytest.mark.parametrize("mistake", USER_MISTAKES)
def test_mistakes_give_one_message_and_no_traceback(mistake: str, place: Path) -> None:
    arguments, expected = USER_MISTAKES[mistake]
    done = xalign("run", *QUICK, *arguments, cwd=place)
    assert done.returncode in (1, 2)
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("xalign: ") == 1


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with (
        folder.locked(),
        pytest.raises(RunError, match=rf"another process is at work .*\(pid {os.getpid()} on .*, since 20"),
        RunFolder(tmp_path).locked(),
    ):
        pass


def test_of_two_jobs_of_the_same_second_one_is_refused(place: Path) -> None:
    """And what a killed one held is free at once."""
    command = [sys.executable, "-m", "xalign.run", *QUICK, "trainer.steps=1"]
    jobs = [
        subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [job.communicate(timeout=240)[1] for job in jobs]
    assert sorted(job.returncode for job in jobs) == [0, 1]
    refused = next(i for i, job in enumerate(jobs) if job.returncode)
    assert f"another process is at work in this folder (pid {jobs[1 - refused].pid} on " in errors[refused]
    assert errors[refused].count("xalign: ") == 1

    holding = "from xalign.workspace.folder import RunFolder; from pathlib import Path; import time\n"
    holding += "with RunFolder(Path('held')).locked(): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", holding], cwd=place, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(RunError, match=f"pid {holder.pid} on "), RunFolder(place / "held").locked():
            pass
        holder.kill()
    with RunFolder(place / "held").locked():
        pass


def test_a_run_that_came_to_nothing_does_not_block_its_folder(place: Path) -> None:
    wrong = xalign("run", *QUICK, "languages.targets=[fr,sw]", "run.dir=out", cwd=place)
    assert wrong.returncode == 2
    assert (place / "out/config.yaml").exists()
    mended = xalign("run", *QUICK, "trainer.steps=1", "run.dir=out", cwd=place)
    assert mended.returncode == 0, mended.stderr


def test_the_default_folder_depends_on_content_alone() -> None:
    def name(*overrides: str) -> Path:
        config: Config = small_config(*overrides)
        return default_folder(config)

    assert name() == name("logger=csv") == name("resume=false")
    assert name() != name("loss.tau=0.1")


@pytest.mark.parametrize("arguments", [("--help",), ("--cfg", "job")])
def test_help_imports_neither_torch_nor_transformers(arguments: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        f"import sys; sys.argv = ['run', *{arguments!r}]\n"
        "from xalign.run import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'pytorch_lightning', 'datasets'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "loss" in done.stdout
