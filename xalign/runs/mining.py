"""Parallel sentences out of two texts that are not aligned: `python -m xalign.data mine`."""

import logging
from pathlib import Path

import torch

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError, DataError
from xalign.base.progress import progress_bar
from xalign.config.schema import MineConfig
from xalign.data.cleaning import normal_form, plain
from xalign.data.readers.files import read_lines
from xalign.data.rows import Row
from xalign.data.writing import ending_of, write_rows
from xalign.evaluation.engine.margin import matches
from xalign.evaluation.engine.representations import represent_layer
from xalign.models.backbone import Backbone
from xalign.models.context import lowered_to_context
from xalign.performance.automatic import choose_device, choose_layer, choose_threads
from xalign.runs.measurement import load_backbone
from xalign.workspace.environment import quiet_libraries, set_up_logging

log = logging.getLogger(__name__)

SHOWN = 3
"""Pairs that are printed from the top, the middle and the end of what was kept."""


def mine(config: MineConfig) -> None:
    """Find pairs by the margin score and write them, the highest score first.

    Raises:
        ConfigError: there is more than one target language, or the model has not so many layers.
        DataError: a text cannot be read, or holds no sentence.
    """
    quiet_libraries()
    set_up_logging(None)
    ending_of(config.output)
    decisions = Decisions()
    choose_threads(None, 1, decisions, "threads")
    texts = [_sentences(Path(path)) for path in (config.source, config.target)]
    backbone = load_backbone(config.model, choose_device(decisions), seed=0)
    layer = choose_layer(config.layer, backbone.depth, decisions)
    if layer > backbone.depth:
        raise ConfigError([f"layer={layer}: {config.model.name} has layers 0 to {backbone.depth}"])
    length = lowered_to_context("max_length", config.max_length, backbone, decisions)
    source_ND, target_MD = (_vectors(backbone, own, layer, length, config) for own in texts)
    found = matches(source_ND, target_MD, neighbours=config.neighbours, centred=config.centred)
    pivot, (target,) = config.languages.pivot, config.languages.targets
    kept = [match for match in found if match.score >= config.threshold]
    rows = [
        Row(Path(config.source).name, {pivot: texts[0][own.source], target: texts[1][own.target]})
        for own in kept
    ]
    same = sum(normal_form(row.texts[pivot]) == normal_form(row.texts[target]) for row in rows)
    write_rows(Path(config.output), rows, [pivot, target])
    print(
        f"{len(texts[0]):,} and {len(texts[1]):,} sentences: {len(found):,} candidates, {len(kept):,} with a "
        f"margin of {config.threshold:g} or more"
    )
    if same:
        print(f"{same:,} of them are the same on both sides")
    places = [
        range(SHOWN),
        range(len(kept) // 2, len(kept) // 2 + SHOWN),
        range(len(kept) - SHOWN, len(kept)),
    ]
    for number in sorted({n for place in places for n in place if 0 <= n < len(kept)}):
        row = rows[number]
        print(f"  {kept[number].score:.3f}  {row.texts[pivot]}  |||  {row.texts[target]}")
    print(f"written: {config.output}")


def _sentences(path: Path) -> list[str]:
    """The different sentences of a file, in order."""
    found = list(dict.fromkeys(own for line in read_lines(path) if (own := plain(line))))
    if not found:
        raise DataError(f"'{path}' holds no sentence")
    return found


def _vectors(
    backbone: Backbone, texts: list[str], layer: int, length: int, config: MineConfig
) -> torch.Tensor:
    with progress_bar("sentences", len(texts)) as advance:
        return represent_layer(
            backbone,
            texts,
            layer,
            config.pooling,
            max_length=length,
            batch_tokens=config.batch_tokens,
            advance=advance,
        )
