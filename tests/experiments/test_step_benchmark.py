"""experiments/step_benchmark: that its systems do the same work, and that its numbers mean what they say."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "step_benchmark"
sys.path.insert(0, str(EXPERIMENT))

from cases import CASES, PLANS, PUBLISHED, XALIGN, Target, overrides_of  # noqa: E402
from published_step import PublishedStep, ids_of  # noqa: E402
from results import Measured, Results  # noqa: E402
from system import OperationCounter, Setup, Step  # noqa: E402
from texts import Texts, joined, trained_tokenizer  # noqa: E402

from xalign.cli.command_line import compose_config  # noqa: E402
from xalign.cli.validation import resolve  # noqa: E402
from xalign.config.choices import Centering, Pooling  # noqa: E402
from xalign.config.schema import Config  # noqa: E402
from xalign.data.collate import tokenize  # noqa: E402
from xalign.objectives.kernels.info_nce import info_nce  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little Multi30k."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "multi30k").mkdir()
    for code, word in (("en", "a dog"), ("de", "ein Hund")):
        text = "".join(f"{word} {i} runs {'on ' * (i % 5)}and on.\n" for i in range(400))
        (folder / "multi30k" / f"train.{code}.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def config_of(case: str, system: str, *more: str, model: str = "tiny", precision: str = "fp32") -> Config:
    overrides = overrides_of(model, case, system, precision, 1)
    return resolve(compose_config("config", [*overrides, *more]), Config)


def test_every_case_composes() -> None:
    for plan in PLANS.values():
        for model, case in plan:
            for system in CASES[case].systems[-1:] if case != "recipe" else CASES[case].systems:
                config = config_of(case, system, model=model, precision="bf16")
                weights = {name: own.weight for name, own in config.loss.objectives.items()}
                assert weights.get("retention", 0) == (1.2 if "retention" in system else 0)


def test_the_published_step_has_the_losses_of_xalign(data: Path) -> None:
    """Layer 1, last token, raw cosine, one direction; cross-entropy of the answers."""
    config = config_of("whole_1", PUBLISHED, "trainer.batch_size=6", "trainer.instruction_batch_size=3")
    backbone = tiny_backbone("llama", max_position_embeddings=512)
    tokenizer = backbone.tokenizer
    texts = Texts(config, data, 5, 6)
    setup = Setup(config, backbone.model, tokenizer, texts, 1, torch.device("cpu"), torch.float32)
    pairs, samples = ids_of(setup, 0)
    found = PublishedStep(setup).losses(pairs, samples)

    sides = [
        backbone.represent(tokenize(tokenizer, side, config.trainer.max_length), 1, Pooling.last)
        for side in texts.pairs(0) or ()
    ]
    keys = torch.arange(6)
    summed, _ = info_nce(
        *sides,
        groups_N=torch.zeros(6),
        source_keys_N=keys,
        target_keys_N=keys,
        tau=config.loss.objectives["contrastive"].tau,
        symmetric=False,
        centering=Centering.none,
    )
    assert float(found["contrastive"].detach()) == pytest.approx(float(summed.detach()) / 6, rel=1e-5)

    total = count = 0.0
    for sample in texts.samples(0) or ():
        prompt = tokenizer(sample.prompt)["input_ids"]
        answer = [*tokenizer(sample.answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            scores = backbone.model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        total -= float(scores[range(len(prompt) - 1, len(prompt) + len(answer) - 1), answer].sum())
        count += len(answer)
    assert float(found["instruction"].detach()) == pytest.approx(total / count, rel=1e-5)


def test_the_published_step_trains_everything(data: Path) -> None:
    config = config_of("whole_1", PUBLISHED, "trainer.batch_size=4", "trainer.instruction_batch_size=2")
    model = tiny_backbone("xglm").model
    setup = Setup(
        config,
        model,
        trained_tokenizer(data, size=260),
        Texts(config, data, 5, 6),
        1,
        torch.device("cpu"),
        torch.float32,
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    PublishedStep(setup).step(*ids_of(setup, 0))
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_lines_are_joined_to_a_length() -> None:
    lines = [("a b c", "x"), ("d e", "y"), ("f g h i j", "z"), ("k", "w")]
    assert list(joined(lines, 4)) == [("a b c d e", "x y"), ("f g h i j", "z")]


def test_operations_of_a_product_forward_and_backward() -> None:
    weight = torch.randn(5, 3, requires_grad=True)
    with OperationCounter() as counter:
        (torch.randn(7, 3, requires_grad=True) @ weight.T).sum().backward()
    assert counter.total == 3 * 2 * 7 * 3 * 5


def test_operations_of_attention_on_a_cpu() -> None:
    q, k, v = (torch.randn(1, 2, 6, 8, requires_grad=True) for _ in range(3))
    with OperationCounter() as counter:
        torch.nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    product = 2 * 2 * 6 * 6 * 8
    assert counter.total == (2 + 5) * product


def results(tmp_path: Path) -> Results:
    found = Results(tmp_path / "results.json", {}, {"cpu, bf16, 2": {"matmul_peak": 1e11}})
    for system, seconds, peak in ((PUBLISHED, (9.0, 8.0, 30.0), 900.0), (XALIGN, (1.0, 3.0, 2.0), 301.0)):
        m = Measured("tiny", "whole_1", system, "cpu", "bf16", 2)
        m.take(Step(99.0, 1.0, peak, {"contrastive": 1.0}, 1e11), timed=False)
        for value in seconds:
            m.take(Step(value, 2.0, 5.0, {"contrastive": 0.5}, None), timed=True)
        found.add(m)
    return found


def test_medians_ratios_and_floors(tmp_path: Path) -> None:
    found = results(tmp_path)
    found.write()
    again = Results.read(tmp_path / "results.json")
    assert again.measured == found.measured
    line = again.table().splitlines()[3]
    cells = [cell.strip() for cell in line.split("|")][1:-1]
    # Median 2 of 1, 2, 3 against 9; 10^11 operations at 10^11 a second take one second.
    assert cells[3:] == ["2.00 (1.00–3.00)", "4.50", "301", "0.33", "0.10", "1.00", "2.0"]
    assert again.measured["tiny", "whole_1", XALIGN, "cpu", "bf16", "2"].losses == {"contrastive": 1.0}


def test_targets_are_judged(tmp_path: Path) -> None:
    (group,) = results(tmp_path).groups()
    judge = results(tmp_path).judged

    def reached(target: Target) -> bool:
        judged = judge(target, group)
        assert judged is not None
        return judged[2]

    assert reached(Target(than=PUBLISHED, speed=4.5))
    assert not reached(Target(than=PUBLISHED, speed=4.6))
    assert reached(Target(than=PUBLISHED, memory=0.34))
    assert not reached(Target(than=PUBLISHED, memory=1 / 3))
    assert reached(Target(mfu=0.5))
    assert not reached(Target(mfu=0.51))
    assert judge(Target(than="libraries", speed=1), group) is None


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    results(tmp_path).report(tmp_path)
    assert (tmp_path / "steps.png").stat().st_size > 10_000
    assert "**no**" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_a_measurement(data: Path, tmp_path: Path) -> None:
    """Processes, gates, rounds; both systems begin from the same loss."""
    command = [
        *(sys.executable, str(EXPERIMENT / "run.py"), "--models", "tiny", "--cases", "contrastive_1"),
        *("--systems", PUBLISHED, XALIGN, "--rounds", "1", "--precision", "fp32", "--threads", "1"),
        *("--data", str(data), "--output", str(tmp_path)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    measured = Results.read(tmp_path / "results.json").measured.values()
    assert [m.system for m in measured] == [PUBLISHED, XALIGN]
    assert all(len(m.seconds) == 3 and m.operations > 0 and m.peak_mib > 100 for m in measured)
    published, own = (m.losses["contrastive"] for m in measured)
    assert own == pytest.approx(published, rel=1e-4)


def test_a_commit_that_git_does_not_know_is_named() -> None:
    done = subprocess.run(
        [sys.executable, EXPERIMENT / "revisions.py", "no-such-commit"],
        cwd=EXPERIMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no-such-commit" in done.stderr
    assert "Traceback" not in done.stderr
