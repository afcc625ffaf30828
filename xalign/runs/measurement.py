"""Measuring a model: loading it, finding the text, the cache; all of `python -m xalign.evaluate`."""

import logging
from dataclasses import asdict
from pathlib import Path

import torch

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError
from xalign.config.schema import EvaluateConfig, ModelConfig
from xalign.evaluation.evaluate import evaluate as run_tasks
from xalign.evaluation.results import Evaluation
from xalign.evaluation.texts import setting_of, texts_to_measure
from xalign.models.backbone import Backbone
from xalign.models.context import benchmark_within_context
from xalign.models.form import require_known_form
from xalign.models.gguf import MODELS
from xalign.models.instruct import require_template
from xalign.models.loading import load_model_and_tokenizer
from xalign.models.own_path import model_at
from xalign.models.steering import steer
from xalign.performance.automatic import (
    choose_device,
    choose_layer,
    choose_precision,
    choose_threads,
)
from xalign.reporting.console import print_models, print_results
from xalign.workspace.commits import at_commit, at_commits, commits_of
from xalign.workspace.environment import keep_freed_memory, quiet_libraries, set_up_logging

log = logging.getLogger(__name__)


def load_backbone(model: ModelConfig, device: torch.device, seed: int) -> Backbone:
    """The model and tokenizer of a config, on a device, in evaluation mode.

    Raises:
        ModelError: it cannot be loaded, or is not of a form that the backbone knows.
    """
    backbone = Backbone(*load_model_and_tokenizer(model, seed)).to(device).eval()
    require_known_form(backbone, f"model.path={model.path}" if model.path else f"model={model.name}")
    if model.steering is not None:
        steer(backbone, model.steering)
    return backbone


def load_to_shard(model: ModelConfig, device: torch.device, seed: int) -> Backbone:
    """The same, its weights still in their file, of which each rank takes its part (`training.sharding`).

    Nothing is run with it here: another process has found that it is of a known form.
    """
    backbone = Backbone(*load_model_and_tokenizer(model, seed, as_stored=True)).eval()
    backbone.to_run_on = device
    return backbone


def evaluate(config: EvaluateConfig) -> None:
    """Measure one model or several; print the results and, if asked, write them.

    Raises:
        OSError: they could not be written; all have been printed.
    """
    set_up_logging(None)
    quiet_libraries()
    keep_freed_memory()
    decisions = Decisions()
    choose_threads(config.threads, 1, decisions, "threads")
    device = choose_device(decisions)
    dtype = choose_precision(config.benchmark.precision, device, decisions)
    config = at_commits(config, commits_of(config, {}))
    texts = texts_to_measure(config)
    evaluations: list[Evaluation] = []
    failed: OSError | None = None
    for model in _models(config):
        backbone = load_backbone(at_commit(model), device, config.seed)
        require_template(config.benchmark, backbone)
        setting = setting_of(
            benchmark_within_context(config.benchmark, backbone, decisions),
            texts,
            pivot=config.languages.pivot,
            layer=choose_layer(None, backbone.depth, decisions),
            seed=config.seed,
        )
        measured = run_tasks(backbone, setting, model=model.path or model.name, dtype=dtype)
        evaluations.append(measured.evaluation)
        if config.output:
            path = _output(Path(config.output), model, several=bool(config.models))
            try:
                measured.evaluation.write(path)
                log.info("results: %s", path)
            except OSError as error:
                log.warning("%s could not be written: what was measured is printed", path)
                failed = failed or error
    if len(evaluations) == 1:
        print_results([asdict(r) for r in evaluations[0].results])
    else:
        print_models(evaluations, config.seed)
    if failed is not None:
        raise failed


def _models(config: EvaluateConfig) -> list[ModelConfig]:
    """`models`: folders of models or runs, embedded models by name, hub ids; without any, `model`.

    Raises:
        ConfigError: two have the same name.
    """
    paths = config.models or ([config.model.path] if config.model.path else [])
    embedded = {name: ModelConfig(name=name, artifact=name) for name in MODELS}
    found = [embedded.get(path) or model_at(path, config.model) for path in paths] or [config.model]
    names = [model.name for model in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError([f"models: several are named {', '.join(twice)}; results would be mixed up"])
    return found


def _output(output: Path, model: ModelConfig, several: bool) -> Path:
    return output / f"{model.name}.json" if several else output
