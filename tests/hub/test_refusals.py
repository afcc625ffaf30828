"""What is wrong with names, rights, connections and files of the hub is one message, before anything long."""

import time
from pathlib import Path

import pytest
from hub_commands import Commands, Done, stand_in_only
from models_there import BLOOM, BROKEN, GATED_MODEL, GGUF, SENTENCEPIECE, SHARDED, XGLM_BIN
from sets_there import BACTRIAN, FLORES, OPUS, XNLI
from stand_in import Fault, Hub

MEASURE = ["benchmark=xcopa", "benchmark.languages=[et]", "benchmark.limit=2"]


MANY = (SHARDED, XGLM_BIN, BLOOM)


def message(done: Done) -> str:
    """The one message of a command that was refused before anything was read."""
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert "corpus" not in done.err
    return done.err


def test_wrong_names(command: Commands) -> None:
    said = message(command("evaluate", "model.path=facebook/xglm-564X", *MEASURE))
    assert (
        "model.path=facebook/xglm-564X: neither a folder here nor a repository on the Hugging Face hub"
        in said
    )
    said = message(command("run", "model=xglm", "model.revision=v9", "data=opus100", "languages=en_zh"))
    assert "model.path=facebook/xglm-564M: no branch, tag or commit 'v9' on the Hugging Face hub" in said
    said = message(command("run", "experiment=afp_xglm_en_zh", "instructions.hub=MBZUAI/no-such"))
    assert "instructions.hub=MBZUAI/no-such: neither a folder here nor" in said
    assert "model.path" not in said


def test_gates(command: Commands, member: dict[str, str]) -> None:
    said = message(command("run", "model=llama", "languages=en_zh", "data=opus100", HF_TOKEN=""))
    assert f"model.path={GATED_MODEL}: model '{GATED_MODEL}' is gated: accept its conditions on" in said
    said = message(command("evaluate", "model=xglm", "benchmark=flores", HF_TOKEN=""))
    assert f"benchmark={FLORES}: dataset '{FLORES}' is gated: accept its conditions on" in said
    assert f"https://huggingface.co/datasets/{FLORES} and log in with `hf auth login`" in said
    done = command("evaluate", "model=llama", *MEASURE, **member)
    assert done.code == 0, done.err
    assert f"model {GATED_MODEL}: commit " in done.err
    assert ", licence llama3.2, gated (whoever reads it has accepted its conditions)" in done.err


def test_pairs_that_the_set_lacks_are_named_first(command: Commands) -> None:
    said = message(
        command("run", "model=xglm", "data=opus100", "languages.targets=[zh,sw,et]", "languages.unseen=[]")
    )
    assert f"data.hub: dataset '{OPUS}' has no configuration en-sw, en-et: leave sw, et out of" in said
    assert "(of those asked for, it has: zh)" in said


@stand_in_only
def test_a_repository_of_gguf_files_is_told_apart_before_anything_is_downloaded(command: Commands) -> None:
    done = command("evaluate", f"model.path={GGUF}", *MEASURE)
    assert "no config.json in this repository, so it is no model in Hugging Face format" in message(done)
    assert "such as model-Q4_K_M.gguf" in done.err
    assert done.fetched == []


def test_shards_and_bins_side_by_side(command: Commands) -> None:
    done = command("evaluate", f"models=[{SHARDED},{XGLM_BIN},{BLOOM}]", *MEASURE)
    assert done.code == 0, done.err
    if command.hub is not None:
        of = {name: [line for line in done.asked if f"GET /storage/models/{name}/" in line] for name in MANY}
        assert len(of[SHARDED]) > 2
        assert all("/main/model-0" in line for line in of[SHARDED])
        assert [line.rpartition("/")[2] for line in of[XGLM_BIN]] == [
            "sentencepiece.bpe.model",
            "pytorch_model.bin",
        ]
        assert [line.rpartition("/")[2] for line in of[BLOOM]] == ["model.safetensors"]


@stand_in_only
def test_a_download_that_breaks_off_goes_on(command: Commands, hub: Hub) -> None:
    hub.faults.append(Fault("GET /storage/models/some/broken/main/model.safetensors", times=1, half=True))
    done = command("evaluate", f"model.path={BROKEN}", *MEASURE)
    assert done.code == 0, done.err
    assert [line for line in done.asked if "storage/models/some/broken/main/model.safetensors" in line][1:]


@stand_in_only
@pytest.mark.parametrize(
    ("closed", "what"),
    [
        ("GET /api/models/some/moving", "model 'some/moving'"),
        ("HEAD /some/moving/resolve", "'config.json' of model 'some/moving'"),
    ],
)
def test_a_closed_connection_is_one_message(command: Commands, hub: Hub, closed: str, what: str) -> None:
    hub.faults.append(Fault(closed))
    started = time.monotonic()
    done = command("evaluate", "model.path=some/moving", *MEASURE)
    assert done.code == 1
    assert f"model.path=some/moving: could not get {what} from the Hugging Face hub: " in done.err
    assert "disconnected without sending a response" in done.err
    assert "Traceback" not in done.err
    assert time.monotonic() - started < 30


@stand_in_only
def test_a_closed_connection_to_a_set(command: Commands, hub: Hub) -> None:
    hub.faults.append(Fault(f"HEAD /datasets/{XNLI}/resolve/", times=10**9))
    arguments = ["benchmark=xnli", "benchmark.languages=[bg]", "benchmark.shots=1", "benchmark.limit=1"]
    done = command("evaluate", "model=tiny", *arguments, "benchmark.split=test")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert f"of dataset '{XNLI}' from the Hugging Face hub: " in done.err


@stand_in_only
def test_a_tokenizer_that_cannot_write_text_is_refused(command: Commands) -> None:
    done = command("evaluate", f"model.path={SENTENCEPIECE}", *MEASURE)
    said = f"model.path={SENTENCEPIECE}: its tokenizer is in sentencepiece.bpe.model alone, of which"
    assert said in message(done)
    assert "tokenizer.json is needed beside it, or model.tokenizer=" in done.err
    assert done.fetched == []


def test_what_is_named_is_on_the_hub() -> None:
    """The names that these tests ask for are those of the presets."""
    conf = Path(__file__).parents[2] / "conf"
    said = "\n".join(path.read_text() for path in sorted(conf.rglob("*.yaml")))
    for name in (XGLM_BIN, BLOOM, SHARDED, GATED_MODEL, OPUS, BACTRIAN, FLORES):
        assert name in said
