"""One run from start to finish: load, measure, train, export, measure again, report.

Every stage leaves its result in the run's folder and is skipped where the result is there: whatever
interrupted a run, the same command goes on.
"""

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError, Pruned
from xalign.base.files import write_atomically
from xalign.base.hardware import peak_flops
from xalign.base.stopping import requeued, stoppable
from xalign.cli.extras import require_extras
from xalign.config.choices import LoggerName, StrategyName
from xalign.config.parts import AdaptedLayers
from xalign.config.schema import Config, ModelConfig
from xalign.data.parallel import Splits
from xalign.data.provenance import text_sources
from xalign.evaluation.analyse import analyse, require_possible
from xalign.evaluation.analyses import analyses_of
from xalign.evaluation.contamination import contamination
from xalign.evaluation.engine.session import Session
from xalign.evaluation.evaluate import evaluate, session_of
from xalign.evaluation.figures import metrics_of
from xalign.evaluation.findings import AnalysedModel, file_of
from xalign.evaluation.metrics import by_benchmark
from xalign.evaluation.results import Evaluation
from xalign.evaluation.sets.translations import pairs_of
from xalign.evaluation.statistics import compare, write_comparisons
from xalign.evaluation.task import Setting
from xalign.evaluation.texts import setting_of, texts_to_measure
from xalign.models import adapters
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone
from xalign.models.context import within_context
from xalign.models.export import export, require_exportable
from xalign.models.gguf import notices
from xalign.models.instruct import with_settled_template
from xalign.models.kinds import processor_files
from xalign.models.tokenizer_check import require_written
from xalign.performance.automatic import (
    choose_device,
    choose_layer,
    choose_precision,
    choose_threads,
)
from xalign.reporting.card import write_card
from xalign.reporting.console import print_comparison
from xalign.reporting.html import write_report
from xalign.runs.blending import blend, choose_blend
from xalign.runs.launch import launch
from xalign.runs.measurement import load_backbone
from xalign.runs.tracking import show_comparison, show_measured, show_results, tracked
from xalign.runs.workers import Workers
from xalign.tracking.base import Tracking
from xalign.tracking.wandb_run import run_id
from xalign.training.beginnings import write_vectors
from xalign.training.checkpoints import chosen_own, restore_chosen
from xalign.training.fit import fit
from xalign.training.inputs import TrainingInputs, training_inputs
from xalign.training.out_of_memory import measuring_in_memory
from xalign.training.prepare import Prepared, prepare
from xalign.training.splits import load_splits
from xalign.workspace.commits import at_commits, commits_of
from xalign.workspace.content import default_folder
from xalign.workspace.environment import (
    describe_environment,
    keep_freed_memory,
    quiet_libraries,
    set_up_logging,
)
from xalign.workspace.folder import RunFolder

log = logging.getLogger(__name__)


def run(config: Config, workers: Workers | None = None) -> None:
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
        _Run(config, folder, workers).carry_out()


@dataclass
class _Run:
    config: Config
    folder: RunFolder
    workers: Workers | None
    tracking: Tracking = field(default_factory=Tracking)

    def carry_out(self) -> None:
        config, folder = self.config, self.folder
        self.decisions = Decisions()
        self.seconds: dict[str, float] = {}
        folder.begin_session(describe_environment())
        commits = commits_of(config, folder.known().get("hub") or {})
        folder.update_environment(hub=commits)
        config = self.config = at_commits(config, commits)
        if config.logger.name is LoggerName.wandb:
            # W&B's id of the run, kept so that it is the same one when the run goes on.
            own_id = run_id(folder.known().get("wandb_id"), secrets.token_hex(4))
            folder.update_environment(wandb_id=own_id)
        with tracked(config, folder) as self.tracking:
            self._carry_out()

    def _carry_out(self) -> None:
        config, folder = self.config, self.folder
        choose_threads(config.trainer.threads, config.trainer.devices, self.decisions)
        self.device = choose_device(self.decisions)

        with self._phase("load"):
            splits = self._load_data()
            backbone = self._load_model()
            self._require_written(backbone, splits)
            if not folder.exported:
                require_exportable(backbone)
            config = within_context(config, backbone, self.decisions)
            config = self.config = with_settled_template(config, backbone, self.decisions)
            layer = choose_layer(config.loss.aligned_layer, backbone.depth, self.decisions)
            if layer > backbone.depth:
                depth = f"{config.model.name} has layers 0 to {backbone.depth}"
                raise ConfigError([f"loss.layer={layer}: {depth}"])
            if backbone.leaves_out_first:
                why = "the tokenizer begins no text with a special token, so that it draws most attention"
                self.decisions.add("pooling", "without a text's first token", why)
            self.training_dtype = choose_precision(config.trainer.precision, self.device, self.decisions)
            evaluation_dtype = choose_precision(
                config.benchmark.precision, self.device, self.decisions, "benchmark.precision"
            )
            folder.update_environment(decisions=self.decisions.made, layer=layer, depth=backbone.depth)
            texts = texts_to_measure(config, splits)
            self.setting = setting_of(
                config.benchmark,
                texts,
                pivot=config.languages.pivot,
                layer=layer,
                seed=config.seed,
            )
            self.analyses = analyses_of(config.analyses)
            self.pairs = pairs_of(
                splits.test if texts.test is None else texts.test,
                config.languages.pivot,
                self.setting.languages,
            )
            require_possible(self.analyses, backbone.depth, list(self.pairs))
            # Whatever training will ask for is asked for now, not when all has been measured.
            prepared = None if folder.exported else prepare(config, backbone, splits, layer, self.setting)
            if prepared is not None and prepared.validation is not None:
                folder.update_environment(validation=_metrics_of(prepared.validation))
        begun = adapters.as_begun(backbone, config.adapter, config.seed, layer=layer)
        with self._phase("measure before"), begun:
            before = self._measure("before", backbone, evaluation_dtype, prepared)
            show_measured(self.tracking, "before", before)
        if prepared is not None:
            with self._phase("train"):
                inputs = training_inputs(
                    config,
                    backbone,
                    prepared,
                    self.training_dtype,
                    self.decisions,
                    micro_batch=folder.known().get("micro_batch"),
                )
                validation = prepared.validation
                # Whoever trains holds the model; where that is others, nobody does here.
                del backbone, prepared
                backbone, adapter = self._trained(inputs)
                del inputs
            backbone.model.float()  # of `adamw_bf16`: a model is measured and exported like any other
            with self._phase("export"):
                self._blend(adapter, validation)
                own = chosen_own(folder.checkpoints)
                beside = [*notices(config.model.artifact), *processor_files(config.model)]
                export(self._on_whole_weights(adapter), folder.model, beside, own)
        else:
            backbone = self._load_exported()
        with self._phase("measure after"):
            after = self._measure("after", backbone, evaluation_dtype, None)
            show_measured(self.tracking, "after", after)
        with self._phase("report"):
            comparisons = compare(before, after, aligned_layer=layer, seed=config.seed)
            write_comparisons(comparisons, folder.evaluation / "comparison.json")
            folder.update_environment(seconds=self.seconds)
            write_card(folder.path)
            write_report(folder.path)
            show_comparison(self.tracking, comparisons, layer)
            data = {"name": config.data.name, "sources": folder.known().get("text_sources")}
            show_results(self.tracking, config, folder, data)
        write_atomically(folder.done, "")
        print_comparison(folder.path)
        print(f"model:  {folder.model}\nreport: {folder.report}")

    def _blend(self, adapter: Adapter, validation: Setting | None) -> None:
        """What was trained is exported as far as configured, or as validation says."""
        folder, export = self.folder, self.config.export
        if export.blends:
            assert validation is not None  # xalign.evaluation.rules
            export = choose_blend(
                adapter,
                export,
                validation,
                dtype=choose_precision(validation.benchmark.precision, self.device, Decisions(quiet=True)),
                load_before=self._load_model,
                restore=lambda: restore_chosen(adapter.backbone, folder.checkpoints),
                folder=folder.evaluation,
                decisions=self.decisions,
            )
            folder.update_environment(decisions=self.decisions.made)
        blend(adapter, export, self._load_model)

    def _on_whole_weights(self, adapter: Adapter) -> Adapter:
        """What is exported: of a model in few bits the adapter on the weights as they were."""
        config = self.config
        if config.model.quantization is None:
            return adapter
        log.info(
            "exported: the adapter merged into the weights as they were before %s", config.model.quantization
        )
        whole = load_backbone(replace(config.model, quantization=None), torch.device("cpu"), config.seed)
        layer = self.setting.aligned_layer
        return adapters.on_other_weights(adapter, whole, config.adapter, config.seed, layer=layer)

    def _load_exported(self) -> Backbone:
        """The model as it is measured after training, from the run's folder."""
        config, folder = self.config, self.folder
        if config.model.quantization is None:
            trusted = config.model.trust_remote_code
            exported = ModelConfig(name=config.model.name, path=str(folder.model), trust_remote_code=trusted)
            return load_backbone(exported, self.device, config.seed)
        # Measured in few bits before training, and so afterwards.
        backbone = self._load_model()
        given: Any = {"path": str(folder.model / "adapter"), "layers": AdaptedLayers.all}
        adapters.attach(backbone, replace(config.adapter, **given), config.seed)
        return backbone.eval()

    def _load_model(self) -> Backbone:
        return load_backbone(self.config.model, self.device, self.config.seed)

    def _require_written(self, backbone: Backbone, splits: Splits) -> None:
        languages = self.config.languages
        for code in (languages.pivot, *languages.targets):
            texts = (text for text in splits.train.texts(code) if text)
            require_written(backbone.tokenizer, code, texts)

    def _load_data(self) -> Splits:
        languages = self.config.languages
        splits, cleaning = load_splits(self.config)
        train = splits.train
        log.info("corpus %s: %s", train.name, cleaning.summary())
        counts = {code: len(train.rows_with(languages.pivot, code)) for code in languages.targets}
        self.folder.update_environment(
            corpus=counts,
            cleaning={"kept": cleaning.kept, **cleaning.dropped},
            corpus_name=train.name,
            corpus_revision=train.revision,
            text_sources=[asdict(source) for source in text_sources(self.config.data, train)],
        )
        return splits

    def _trained(self, inputs: TrainingInputs) -> tuple[Backbone, Adapter]:
        """Train, here or in other processes: the model with what was trained, and its adapter."""
        config, folder = self.config, self.folder
        if config.strategy.name is not StrategyName.single:
            folder.write_own_texts(inputs.own_texts)
            write_vectors(folder.path, inputs.vectors)
        folder.update_environment(
            decisions=self.decisions.made,
            micro_batch=inputs.arrangement.micro_batch,
            packed=inputs.arrangement.packed,
            peak_flops=peak_flops(self.device, self.training_dtype),
        )
        if config.strategy.name is StrategyName.single:
            fit(config, folder, inputs)
            return inputs.backbone, inputs.adapter
        if self.workers is not None:
            with self.tracking.lent():
                self.workers.fit(config, folder, inputs)
            if config.strategy.name is StrategyName.ddp:
                return inputs.backbone, inputs.adapter
            # What was trained is spread over the ranks: taken up from the files.
        else:
            inputs.release()
            with self.tracking.lent():
                launch(config, folder)
            if config.sweep.trial is not None and folder.pruned.exists():
                raise Pruned(folder.pruned.read_text(encoding="utf-8"))
        backbone = self._load_model()
        layer = self.setting.aligned_layer
        adapter = adapters.attach(backbone, config.adapter, config.seed, layer=layer)
        restore_chosen(backbone, folder.checkpoints)
        return backbone, adapter

    def _measure(
        self, when: str, backbone: Backbone, dtype: torch.dtype, prepared: Prepared | None
    ) -> Evaluation:
        config = self.config
        vectors = (analysis.needs.vectors for analysis in self.analyses.values())
        session = session_of(backbone, config.benchmark, vectors)
        evaluation = self._evaluate(when, session, dtype, prepared)
        self._analyse(when, session, dtype)
        return evaluation

    def _evaluate(
        self, when: str, session: Session, dtype: torch.dtype, prepared: Prepared | None
    ) -> Evaluation:
        path = self.folder.evaluation / f"{when}.json"
        if path.exists():
            return Evaluation.read(path)
        log.info("measuring %s training: %s", when, ", ".join(self.config.benchmark.tasks))
        with measuring_in_memory():
            measured = evaluate(
                session.backbone, self.setting, model=self._model(when), dtype=dtype, session=session
            )
        if measured.picture is not None:
            measured.picture.write(self.folder.evaluation / f"{when}.representations.npz")
        if prepared is not None:
            found = contamination(measured.texts, prepared.training_texts)
            self.folder.update_environment(contamination=found)
        measured.evaluation.write(path)
        return measured.evaluation

    def _analyse(self, when: str, session: Session, dtype: torch.dtype) -> None:
        """What was asked for of analyses and is not there yet; what is there stays."""
        config, path = self.config, file_of(self.folder.evaluation, when)
        known = AnalysedModel.read(path).answers(self.analyses) if path.exists() else {}
        missing = {name: analysis for name, analysis in self.analyses.items() if name not in known}
        if not missing:
            return
        log.info("analyses %s training: %s", when, ", ".join(missing))
        with measuring_in_memory():
            pivot = config.languages.pivot
            known |= analyse(session, missing, self.pairs, pivot=pivot, dtype=dtype, seed=config.seed)
        found = {name: known[name] for name in self.analyses if name in known}
        AnalysedModel(model=self._model(when), text=config.benchmark.name, analyses=found).write(path)

    def _model(self, when: str) -> str:
        model = self.config.model
        few = f" in {model.quantization}" if model.quantization else ""
        return model.name + few if when == "before" else str(self.folder.model) + few

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 1)


def _metrics_of(setting: Setting) -> dict[str, list[dict[str, Any]]]:
    """What is measured during training, for whoever reads the log: benchmark -> its metrics."""
    found = by_benchmark(metrics_of(setting.benchmark))
    return {benchmark: [asdict(metric) for metric in own] for benchmark, own in found.items()}
