"""Every YAML composes and validates; every kind of mistake gets its message, all of them at once."""

import subprocess
import sys

import pytest

from xalign.base.errors import ConfigError
from xalign.cli import reference
from xalign.cli.command_line import check, compose_config
from xalign.cli.validation import resolve
from xalign.config.presets import config_folder
from xalign.config.schema import Config, EvaluateConfig

CONF = config_folder()
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml") if path.parent.name != "experiment"
)
EXPERIMENTS = sorted(path.stem for path in CONF.glob("experiment/*.yaml"))
# What an option leaves to the user to say.
REQUIRED = {
    "transforms=entity_switch": [f"data.transforms.entity_switch.names={CONF.parent / 'README.md'}"],
    "languages=any": ["languages.targets=[de]"],
    "data=files": ["data.path=x"],
    "instructions=records": ["instructions.path=x"],
    "instructions=xquad": ["instructions.path=x"],
    "benchmark=tatoeba": ["benchmark.path=x"],
    "benchmark=lm_eval": ["benchmark.tasks=[hellaswag]"],
    "optimizer=adamw_bf16": ["adapter=full", "trainer.precision=bf16"],
    "experiment=afp_xglm_5lang": ["data.path=x"],
    "instructions=mix": ["instructions.mix={parallel: 1}"],
    "loss=nli_triplets": [f"loss.objectives.nli_triplets.path={CONF}"],
    "callbacks=early_stopping": ["benchmark@validation=heldout", "trainer.evaluate_every=2"],
}


def config(*overrides: str) -> Config:
    return resolve(compose_config("config", overrides), Config)


@pytest.mark.parametrize("option", [*OPTIONS, *(f"experiment={name}" for name in EXPERIMENTS)])
def test_every_option_composes(option: str) -> None:
    config(option, *REQUIRED.get(option, []))


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.split("=")[0] in ("model", "data", "benchmark")])
def test_every_option_of_evaluate_composes(option: str) -> None:
    resolve(compose_config("evaluate", [option, *REQUIRED.get(option, [])]), EvaluateConfig)


def test_models_can_be_built_without_weights() -> None:
    for path in CONF.glob("model/*.yaml"):
        made = config(f"model={path.stem}", "model.pretrained=false", "model.tokenizer=bytes")
        assert made.model.architecture["model_type"]


def test_own_model_and_data_win_over_the_presets() -> None:
    made = config("model.path=some/folder", "data.path=some/corpus", "loss.layer=30")
    assert made.model.artifact is None
    assert made.model.name == "folder"
    assert made.data.packages == []
    assert made.data.format == "auto"


def test_transforms_are_applied_in_the_order_in_which_they_are_given() -> None:
    made = config("transforms=[word_dropout,code_switch]", "+data.transforms.more.kind=word_dropout")
    assert list(made.data.transforms) == ["word_dropout", "code_switch", "more"]
    swapped = config("transforms=[code_switch,word_dropout]", "data.transforms.code_switch.share=0.5")
    assert list(swapped.data.transforms) == ["code_switch", "word_dropout"]
    assert swapped.data.transforms["code_switch"].share == 0.5


def test_pairs_of_a_language_are_counted_over_all_ranks() -> None:
    small = ("trainer.batch_size=4", "trainer.languages_per_batch=2", "languages.targets=[fr,de]")
    with pytest.raises(ConfigError, match="needs at least 4 pairs of each language"):
        config(*small)
    assert config(*small, "strategy=ddp", "trainer.devices=2").trainer.batch_size == 4


def test_evaluating_refuses_transforms() -> None:
    keys = ["model=tiny", "data.transforms.word_dropout.share=1"]
    with pytest.raises(ConfigError, match=r"data\.transforms\.word_dropout: of training; what is measured"):
        resolve(compose_config("evaluate", keys), EvaluateConfig)


def test_languages_are_canonical() -> None:
    made = config("languages.targets=[zho_Hans,swh,deu]", "languages.unseen=[spa]")
    assert made.languages.targets == ["zh", "sw", "de"]
    assert made.languages.unseen == ["es"]


MISTAKES = {
    ("loss.tua=1",): ["loss.tua: unknown key; did you mean 'tau'?"],
    ("+loss.tua=1",): ["loss.tua: unknown key; did you mean 'tau'?"],
    ("+extra=1",): ["extra: unknown key"],
    ("lss.tau=1",): ["lss: unknown key; did you mean 'loss'?"],
    ("model.tokenizer_revision=v1",): ["model.tokenizer_revision=v1: of model.tokenizer on the hub"],
    ("data.hub_revision=v1",): ["data.hub_revision=v1: of data.hub, which is not given"],
    ("preset.model.depth=3",): ["preset: unknown key"],
    ("modle=xglm",): ["modle: unknown key; did you mean 'model'?"],
    ("model=xlgm",): ["model=xlgm: no such option; did you mean 'xglm'?"],
    ("experiment=demmo",): ["experiment=demmo: no such option; did you mean 'demo'?"],
    ("loss.tau=-1",): ["loss.tau=-1: input should be greater than 0"],
    ("loss.tau=warm",): ["loss.tau=warm: "],
    ("loss.pooling=meen",): ["loss.pooling=meen: must be one of mean, weighted_mean, last; did you"],
    ("loss.layer=19",): ["loss.layer=19: gemma3_270m has layers 0 to 18"],
    ("languages.targets=[fr,en]",): ["languages.targets: en is the pivot"],
    ("languages.targets=[fr,fra]",): ["languages.targets: fr is given twice"],
    ("languages.targets=[klingon]",): ["languages.targets=klingon: unknown language"],
    ("languages.targets=[]",): ["languages.targets=[]: at least one language", "languages_per_batch"],
    ("languages.unseen=[fr]",): ["languages.unseen: fr is also trained on"],
    ("trainer.batch_size=1",): ["trainer.batch_size=1: input should be greater than or equal to 2"],
    ("trainer.languages_per_batch=5",): ["trainer.languages_per_batch=5: must divide trainer.batch_size=64"],
    ("trainer.micro_batch=outo",): ["trainer.micro_batch=outo: must be auto or a number"],
    ("trainer.micro_batch=0",): ["trainer.micro_batch=0: must be auto or a number of tokens, at least 1"],
    ("trainer.micro_batch=1.5",): ["trainer.micro_batch=1.5: must be auto or a number"],
    ("trainer.devices=2",): ["trainer.devices=2: needs strategy=ddp"],
    ("strategy=fdsp",): ["strategy=fdsp: no such option; did you mean 'fsdp'?"],
    ("strategy=fsdp", "trainer.compile=true"): ["trainer.compile=true: not with strategy=fsdp"],
    ("strategy=fsdp", "adapter=full", "optimizer=adafactor"): [
        "optimizer.kind=adafactor: with strategy=fsdp and adapter=full only adamw"
    ],
    ("optimizer=adamw_bf16", "trainer.precision=fp32", "strategy=ddp"): [
        "optimizer.kind=adamw_bf16: saves nothing with adapter.method=lora; adapter=full?",
        "optimizer.kind=adamw_bf16: needs trainer.precision=bf16 (trainer.precision=fp32)",
        "optimizer.kind=adamw_bf16: needs strategy=single (strategy=ddp)",
    ],
    ("strategy.cpu_offload=true", "strategy.reshard_after_forward=false", "strategy.replicate=2"): [
        "strategy.cpu_offload=true: needs strategy=fsdp",
        "strategy.reshard_after_forward=false: needs strategy=fsdp",
        "strategy.replicate=2: needs strategy=fsdp",
    ],
    ("strategy=fsdp", "trainer.devices=4", "strategy.replicate=3"): [
        "strategy.replicate=3: must divide the number of ranks, 4"
    ],
    ("adapter=full", "adapter.r=8"): ["adapter.r: unknown key (allowed: method, layers)"],
    ("adapter.rr=8",): ["adapter.rr: unknown key; did you mean 'r'?"],
    ("adapter.method=lorra",): ["adapter.method=lorra: must be one of", "did you mean 'lora'?"],
    ("loss.objectives.contrastiv.weight=1",): ["contrastiv: no such objective; did you mean 'contrastive'?"],
    ("loss.objectives.more.kind=retentoin",): ["loss.objectives.more.kind=retentoin: no such objective; did"],
    ("loss.objectives.contrastive.tua=1",): [
        "loss.objectives.contrastive.tua: unknown key; did you mean 'tau'?"
    ],
    ("loss.objectives.state_retention.layer=40",): [
        "loss.objectives.state_retention.layer=40: gemma3_270m has layers 0 to 18"
    ],
    ("loss.objectives.retention.schedule.evry=1",): [
        "retention.schedule.evry: unknown key; did you mean 'every'?"
    ],
    ("transforms=word_drop",): ["transforms=word_drop: no such option; did you mean 'word_dropout'?"],
    ("data.transforms.code_swich.share=1",): ["code_swich: no such transform; did you mean 'code_switch'?"],
    ("data.transforms.more.kind=word_drop",): ["data.transforms.more.kind=word_drop: no such transform; did"],
    ("transforms=word_dropout", "data.transforms.word_dropout.probabilty=1"): [
        "data.transforms.word_dropout.probabilty: unknown key; did you mean 'probability'?"
    ],
    ("data.transforms.word_dropout.share=1.5",): [
        "word_dropout.share=1.5: input should be less than or equal"
    ],
    ("data.transforms.word_dropout=0.2",): ["word_dropout=0.2: takes options, as in data.transforms.word_d"],
    ("data.transforms=word_dropout",): ["write data.transforms.word_dropout.<option>=..."],
    ("transforms=word_dropout", "data.transforms.word_dropout.samples=instructions"): [
        "data.transforms.word_dropout.samples=instructions: word_dropout changes pairs only"
    ],
    (
        "transforms=[word_dropout,code_switch]",
        "languages.targets=[th,zh]",
        "data.transforms.word_dropout.side=target",
    ): [
        "word_dropout.side=target: nothing to leave out, th, zh: written without spaces",
        "code_switch.kind=code_switch: needs a pivot and at least one target that are written with spaces",
    ],
    ("loss.contrastive_weight=0", "loss.instruction_weight=0", "loss.retention_weight=0"): [
        "nothing would be trained"
    ],
    ("trainer.batch_size=4", "trainer.languages_per_batch=2"): [
        "centering=language: needs at least 4 pairs of each"
    ],
    ("combine=sum",): ["combine=sum: no such option", "weighted_sum"],
    ("loss.combine=pcgra",): ["loss.combine=pcgra: must be one of", "did you mean 'pcgrad'?"],
    ("trainer.clip=al",): ["trainer.clip=al: must be one of per_objective, total"],
    ("model=xglm", "model.pretrained=false"): ["model.tokenizer: model.pretrained=false needs a tokenizer"],
    ("data=files",): ["data.path: required"],
    ("benchmark=tatoeba",): ["benchmark.path: required"],
    ("benchmark.tasks=[xcop]",): ["benchmark.tasks=xcop: must be one of", "xcopa"],
    ("instructions=xquad",): ["instructions.path: required"],
    ("instructions=xquad", "instructions.hub=google/xquad"): [
        "instructions.hub=google/xquad: instructions.source=xquad is read from a folder"
    ],
    ("instructions.source=bactrain",): [
        "instructions.source=bactrain: must be one of bactrian, mix, parallel, records, xquad; "
        "did you mean 'bactrian'?"
    ],
    ("trainer.accumulate_grad_batches=4",): [
        "accumulate_grad_batches: unknown key (here: none: it would add no negatives"
    ],
    ("+trainer.max_steps=9",): ["trainer.max_steps: unknown key (here: trainer.steps)"],
    ("accelerator=gpu",): ["accelerator: unknown key (here: none: a GPU is taken where there is one"],
    ("trainer.gradient_clip_val=1",): ["unknown key (here: trainer.clip_norm)"],
    ("trainer.fast_dev_run=true",): ["unknown key (here: experiment=quick)"],
    ("trainer.precision=bf16-mixed",): ["must be one of auto, fp32, bf16", "; here: bf16"],
    ("trainer.precision=16-mixed",): ["; here: bf16; fp16 is not offered"],
    ("strategy=ddp_find_unused_parameters_true",): ["no such option; here: ddp (allowed: ddp, fsdp, single)"],
    ("strategy.name=deepspeed",): ["strategy.name=deepspeed: must be one of single, ddp, fsdp; here: fsdp"],
    ("trainer.strategy=ddp",): ["trainer.strategy: unknown key (here: strategy, as in strategy=ddp)"],
    ("hydra.run.dir=mine",): ["hydra.run.dir=mine: not used here; the folder of a run is run.dir"],
    ("hydra.job.chdir=true",): ["hydra.job.chdir=true: not used here; paths are relative"],
    ("-m", "seed=0,1", "hydra.sweep.subdir=x"): ["hydra.sweep.subdir=x: not used here"],
    ("loss.tau=0", "lss=1", "languages.pivot=fr"): [
        "loss.tau=0",
        "lss: unknown",
        "languages.targets: fr is the pivot",
    ],
    ("-m", "loss.tau=0.02,-3", "loss.layer=1,99"): ["loss.tau=-3", "loss.layer=99"],
    ("loss.tau",): ["loss.tau: cannot be read as key=value"],
    ("-m", "loss.tau=0.02,0.05", "model=gemma3_270m,tiny", "loss.layer=1,9"): [
        "loss.layer=9: tiny has layers"
    ],
    ("loss.tau=0.02,0.05",): ["loss.tau=0.02,0.05: several values; add -m"],
    ("-m", "loss.tau=interval(0.01,0.1)"): ["loss.tau=interval(0.01,0.1): a grid has no distributions"],
    ("sweep.metric=eval/heldout/retrieval@1/mean",): ["sweep.metric=", "add benchmark@validation"],
    (
        "-m",
        "hydra/sweeper=optuna",
        "loss.tau=interval(-1,0.1)",
        "loss.layer=interval(1,3)",
        "seed=choice(0,x)",
    ): ["loss.tau=-1.0", "loss.layer=1.0", "loss.layer=3.0", "seed=x", "sweep.metric: required"],
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistakes(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run", *arguments])
    with pytest.raises(ConfigError) as caught:
        check("xalign.run", "config", Config, paths=False)
    for expected in MISTAKES[arguments]:
        assert expected in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert len(caught.value.problems) <= len(MISTAKES[arguments])


def test_a_sweep_without_mistakes_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["run", "-m", "loss.tau=0.02,0.05", "loss.layer=1,6,12", "seed=range(0,3)"]
    )
    check("xalign.run", "config", Config)


def test_a_mistake_ends_with_exit_code_2_before_torch_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['run', 'loss.tua=1']\n"
        "from xalign.run import main\n"
        "try: main()\n"
        "except SystemExit as end:\n"
        "    assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "    sys.exit(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("xalign: 1 mistake in the configuration:\n  - loss.tua: unknown key")
    assert "Traceback" not in done.stderr


def test_the_reference_is_up_to_date() -> None:
    written = CONF.parent / "docs" / "config.md"
    assert written.read_text(encoding="utf-8") == reference.reference(), "run `make docs`"
