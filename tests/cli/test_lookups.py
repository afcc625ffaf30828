"""Paths that are not there are told within two seconds, before torch is imported; exit code 2."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from xalign.base.errors import ConfigError
from xalign.cli import lookups
from xalign.cli.command_line import check
from xalign.config.schema import Config, EvaluateConfig

RUN = {
    "data.path=nowhere/f.tsv": "data.path=nowhere/f.tsv: 'nowhere/f.tsv' does not exist, nor does its folder",
    "data.path=here/par.tsv": "'here/par.tsv' does not exist; did you mean 'pairs.tsv'?",
    "data.path=here/tran": "'here/tran' does not exist",
    "model.path=./nowhere": "model.path=./nowhere: no such folder",
    "model.path=here/pairs.tsv": "is a file, a folder or a GGUF file is needed",
    "model.path=here/short.gguf": "model.path=here/short.gguf: is cut short within its header",
    "model.tokenizer=here/no.gguf": "model.tokenizer=here/no.gguf: is no GGUF file",
    "model.path=nowhere/model": "model.path=nowhere/model: there is no folder 'nowhere/model' here",
    "model.tokenizer=nowhere/tokenizer": "model.tokenizer=nowhere/tokenizer: there is no folder",
    "run.dir=/dev/null/x": "run.dir=/dev/null/x: /dev/null is no folder",
    "run.dir=mine": "run.dir=mine: mine/config.yaml is not the config of a run",
    "run.dir=/": "run.dir=/: a run needs a folder of its own",
    'run.dir="~"': "a run needs a folder of its own",
    "plan=true model.path=./nowhere": "model.path=./nowhere: no such folder",
    "instructions.path=nowhere": "instructions.path=nowhere: 'nowhere' does not exist",
    "instructions.template=chat model=tiny": (
        "instructions.template=chat: the tokenizer of bytes has no chat template"
    ),
    "benchmark.chat=true model.tokenizer=spoken/plain": (
        "benchmark.chat=true: the tokenizer of spoken/plain has no chat template"
    ),
    "benchmark.path=nowhere": "benchmark.path=nowhere: 'nowhere' does not exist",
}
EVALUATE = {
    "models=[./nowhere]": "models=./nowhere: no such folder",
    "models=[here/short.gguf]": "models=here/short.gguf: is cut short within its header",
    "output=here": "output=here: is a folder; name a file in it, such as output=here/results.json",
    "output=here/pairs.tsv/x.json": "is no folder",
    "models=[./here] output=here/pairs.tsv": "output=here/pairs.tsv: is a file; with models",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lookups, "hub_answers", lambda: False)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/config.json").write_text("{}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.yaml").write_text("name: mine\n")
    for name, template in (("plain", {}), ("chat", {"chat_template": "{{ bos_token }}"})):
        (tmp_path / "spoken" / name).mkdir(parents=True)
        (tmp_path / "spoken" / name / "tokenizer_config.json").write_text(json.dumps(template))
    for name in ("pairs.tsv", "train.en", "train.de"):
        (tmp_path / "here" / name).write_text("")
    (tmp_path / "here/short.gguf").write_bytes(b"GGUF")
    (tmp_path / "here/no.gguf").write_bytes(b"PK")
    return tmp_path


@pytest.mark.parametrize("arguments", RUN)
def test_paths_of_a_run(arguments: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run", *arguments.split()])
    with pytest.raises(ConfigError) as caught:
        check("xalign.run", "config", Config)
    assert [RUN[arguments] in problem for problem in caught.value.problems] == [True]
    assert sorted(path.name for path in (place / "mine").iterdir()) == ["config.yaml"]


def test_the_folder_of_a_sweep_s_runs_may_be_anyones(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run", "-m", "run.dir=mine", "loss.tau=0.1,0.2"])
    check("xalign.run", "config", Config)


@pytest.mark.parametrize("arguments", EVALUATE)
def test_paths_of_a_measurement(arguments: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *arguments.split()])
    with pytest.raises(ConfigError) as caught:
        check("xalign.evaluate", "evaluate", EvaluateConfig)
    assert [EVALUATE[arguments] in problem for problem in caught.value.problems] == [True]


@pytest.mark.parametrize("path", ["here/train", "here", "here/pairs.tsv", '"~"'])
def test_what_is_there_passes(path: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place / "here"))
    monkeypatch.setattr(sys, "argv", ["run", f"data.path={path}", "run.dir=new/run"])
    check("xalign.run", "config", Config)
    assert not (place / "new").exists()


QUOTED = [
    "~/pairs.tsv",
    "a=b.tsv",
    "données/paires.tsv",
    "语料/对.tsv",
    "it's=a.tsv",
    'a"b=.tsv',
    "a[1](2).tsv",
]


@pytest.mark.parametrize("value", QUOTED)
def test_the_quotes_that_a_value_needs_are_told(
    value: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["run", f"data.path={value}"])
    with pytest.raises(ConfigError) as caught:
        check("xalign.run", "config", Config)
    told = str(caught.value).split("for the shell and for Hydra: ")[1].removesuffix(")")
    (quoted,) = shlex.split(told)  # what the shell makes of it
    monkeypatch.setattr(sys, "argv", ["run", quoted])
    with pytest.raises(ConfigError, match="does not exist") as caught:
        check("xalign.run", "config", Config)
    assert value.lstrip("~") in str(caught.value)


def test_before_torch(place: Path) -> None:
    code = (
        "import sys; sys.argv = ['run', 'data.path=nowhere/f.tsv', 'model.path=./nowhere']\n"
        "from xalign.run import main\n"
        "try: main()\n"
        "except SystemExit as error: status = error.code\n"
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "data.path=nowhere/f.tsv" in done.stderr
    assert "model.path=./nowhere" in done.stderr
