"""One run from start to finish: load, measure, train, export, measure again, report.

Every stage leaves its result in the run's folder and is skipped where the result is there: whatever
interrupted a run, the same command goes on.
"""

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from xalign.choices import LoggerName, StrategyName
from xalign.config import Config
from xalign.data.parallel import Splits, load_corpus, split_corpus
from xalign.errors import ConfigError, Pruned
from xalign.evaluation.contamination import Overlap, contaminated, summary
from xalign.evaluation.evaluate import evaluate
from xalign.evaluation.results import Evaluation
from xalign.evaluation.statistics import compare, write_comparisons
from xalign.extras import require_extras
from xalign.files import write_atomically
from xalign.hardware import peak_flops
from xalign.measurement import load_backbone, setting_of, texts_to_measure
from xalign.models import adapters
from xalign.models.backbone import Backbone
from xalign.models.export import export
from xalign.models.gguf import notices
from xalign.reporting.card import write_card
from xalign.reporting.console import print_comparison
from xalign.reporting.html import write_report
from xalign.reporting.measures import is_shown
from xalign.stopping import requeued, stoppable
from xalign.training.callbacks.evaluate import require_other_items
from xalign.training.checkpoints import restore_chosen
from xalign.training.fit import fit
from xalign.training.followers import Followers
from xalign.training.inputs import training_inputs
from xalign.training.out_of_memory import measuring_in_memory
from xalign.training.ranks import launch
from xalign.workspace.content import default_folder
from xalign.workspace.decisions import (
    Decisions,
    choose_device,
    choose_layer,
    choose_precision,
    choose_threads,
)
from xalign.workspace.environment import (
    describe_environment,
    keep_freed_memory,
    quiet_libraries,
    set_up_logging,
)
from xalign.workspace.folder import RunFolder

log = logging.getLogger(__name__)


def run(config: Config, followers: Followers | None = None) -> None:
    """Carry out a run, or what is left of it, with the other ranks where a launcher has started several.

    Raises:
        XalignError: whatever the user can mend; what was computed so far stays in the folder.
        Stopped: a signal asked for it.
    """
    require_extras(config)
    folder = RunFolder(Path(config.run.dir) if config.run.dir else default_folder(config))
    folder.former()  # nothing is written into a folder that is somebody's, not even a lock
    with requeued(), stoppable(), folder.locked():
        folder.prepare(config)
        if folder.finished:
            print_comparison(folder.path)
            print(f"{folder.path} is complete: see {folder.report}; run.rerun=true starts it over")
            return
        set_up_logging(folder.log)
        quiet_libraries()
        keep_freed_memory()
        _Run(config, folder, followers).carry_out()


@dataclass
class _Run:
    config: Config
    folder: RunFolder
    followers: Followers | None

    def carry_out(self) -> None:
        config, folder = self.config, self.folder
        self.decisions = Decisions()
        self.seconds: dict[str, float] = {}
        folder.begin_session(describe_environment())
        if config.logger.name is LoggerName.wandb:
            # W&B's id of the run, kept so that it is the same one when the run goes on.
            folder.update_environment(wandb_id=folder.known().get("wandb_id") or secrets.token_hex(4))
        choose_threads(config.trainer.threads, config.trainer.devices, self.decisions)
        device = choose_device(self.decisions)

        with self._phase("load"):
            splits = self._load_data()
            backbone = load_backbone(config.model, device, config.seed)
        layer = choose_layer(config.loss.aligned_layer, backbone.depth, self.decisions)
        if layer > backbone.depth:
            raise ConfigError([f"loss.layer={layer}: {config.model.name} has layers 0 to {backbone.depth}"])
        training_dtype = choose_precision(config.trainer.precision, device, self.decisions)
        evaluation_dtype = choose_precision(
            config.benchmark.precision, device, self.decisions, "benchmark.precision"
        )
        folder.update_environment(decisions=self.decisions.made, layer=layer, depth=backbone.depth)

        self.setting = setting_of(
            config.benchmark,
            texts_to_measure(config, splits),
            pivot=config.languages.pivot,
            layer=layer,
            seed=config.seed,
        )
        with self._phase("measure before"):
            before = self._measure("before", backbone, splits, evaluation_dtype)
        if not folder.exported:
            with self._phase("train"):
                inputs = training_inputs(
                    config,
                    backbone,
                    splits,
                    layer,
                    training_dtype,
                    self.decisions,
                    micro_batch=folder.known().get("micro_batch"),
                )
                folder.update_environment(
                    decisions=self.decisions.made,
                    micro_batch=inputs.arrangement.micro_batch,
                    peak_flops=peak_flops(device, training_dtype),
                )
                if inputs.validation is not None and config.trainer.select is not None:
                    require_other_items(inputs.validation, self.setting)
                adapter = inputs.adapter
                if config.strategy.name is StrategyName.single:
                    fit(config, folder, inputs)
                elif self.followers is not None:
                    self.followers.fit(config, folder, inputs)
                    if config.strategy.name is not StrategyName.ddp:
                        # What was trained is spread over the ranks: taken up from the files.
                        backbone = load_backbone(config.model, device, config.seed)
                        adapter = adapters.attach(backbone, config.adapter, config.seed)
                        restore_chosen(backbone, folder.checkpoints)
                else:
                    launch(config, folder)
                    if config.sweep.trial is not None and folder.pruned.exists():
                        raise Pruned(folder.pruned.read_text(encoding="utf-8"))
                    restore_chosen(backbone, folder.checkpoints)
            backbone.model.float()  # of `adamw_bf16`: a model is measured and exported like any other
            with self._phase("export"):
                export(adapter, folder.model, notices(config.model.artifact))
        else:
            backbone = load_backbone(
                replace(config.model, path=str(folder.model), artifact=None, pretrained=True, tokenizer=None),
                device,
                config.seed,
            )
        with self._phase("measure after"):
            after = self._measure("after", backbone, splits, evaluation_dtype)
        with self._phase("report"):
            comparisons = compare(before, after, aligned_layer=layer, seed=config.seed, shown=is_shown)
            write_comparisons(comparisons, folder.evaluation / "comparison.json")
            folder.update_environment(seconds=self.seconds)
            write_card(folder.path)
            write_report(folder.path)
        write_atomically(folder.done, "")
        print_comparison(folder.path)
        print(f"model:  {folder.model}\nreport: {folder.report}")

    def _load_data(self) -> Splits:
        config = self.config
        corpus, cleaning = load_corpus(
            config.data, config.languages.pivot, [*config.languages.targets, *config.languages.unseen]
        )
        splits = split_corpus(
            corpus, config.languages.pivot, config.data.validation_fraction, config.data.test_fraction
        )
        log.info("corpus %s: %s", corpus.name, cleaning.summary())
        counts = {
            language: len(splits.train.rows_with(config.languages.pivot, language))
            for language in config.languages.targets
        }
        self.folder.update_environment(
            corpus=counts, cleaning={"kept": cleaning.kept, **cleaning.dropped}, corpus_name=corpus.name
        )
        return splits

    def _measure(self, when: str, backbone: Backbone, splits: Splits, dtype: torch.dtype) -> Evaluation:
        config = self.config
        path = self.folder.evaluation / f"{when}.json"
        if path.exists():
            return Evaluation.read(path)
        log.info("measuring %s training: %s", when, ", ".join(config.benchmark.tasks))
        model = config.model.name if when == "before" else str(self.folder.model)
        with measuring_in_memory():
            measured = evaluate(backbone, self.setting, model=model, dtype=dtype)
        if measured.picture is not None:
            measured.picture.write(self.folder.evaluation / f"{when}.representations.npz")
        if when == "before":
            self._check_contamination(measured.texts, splits)
        measured.evaluation.write(path)
        return measured.evaluation

    def _check_contamination(self, texts: dict[str, dict[str, list[str]]], splits: Splits) -> None:
        training = {code: splits.train.texts(code) for code in splits.train.languages}
        found: dict[str, dict[str, Overlap]] = {}
        for task, own in texts.items():
            # Retrieval and MEXA, for one, are on the same sentences.
            same = next((other for other in found if texts[other] == own), None)
            if own:
                found[task] = contaminated(own, training) if same is None else found[same]
        for task, overlaps in found.items():
            if any(o.exact or o.partial for o in overlaps.values()):
                log.warning(summary(task, overlaps))
        self.folder.update_environment(
            contamination={
                task: {code: o.counts for code, o in overlaps.items()} for task, overlaps in found.items()
            }
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 1)
