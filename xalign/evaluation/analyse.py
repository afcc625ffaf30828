"""All analyses of one model on parallel text, each from the cache where the same was measured before."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from xalign.base.cache import cached_by_key
from xalign.base.errors import ConfigError, DataError
from xalign.base.files import digest
from xalign.base.progress import progress_bar
from xalign.evaluation.analyses import problems_of
from xalign.evaluation.analyses.base import Analysis, Findings
from xalign.evaluation.engine.session import Session
from xalign.evaluation.findings import Analysed, options_of
from xalign.evaluation.sets.sentences import Pairs
from xalign.evaluation.sets.translations import represented, wanted_pairs
from xalign.models.backbone import computing_in

log = logging.getLogger(__name__)

SPACE = 10_000_000
"""Bytes that must be free on the disk: findings are small."""


def require_possible(analyses: Mapping[str, Analysis], depth: int, languages: Sequence[str]) -> None:
    """Check that a model of this depth, and a text in these languages, have what analyses ask for.

    Raises:
        ConfigError: they have not.
    """
    if problems := list(problems_of(analyses, depth=depth, languages=languages)):
        raise ConfigError(problems)


def analyse(
    session: Session,
    analyses: Mapping[str, Analysis],
    pairs: Mapping[str, Pairs],
    *,
    pivot: str,
    dtype: torch.dtype,
    seed: int,
) -> dict[str, Analysed]:
    """What the analyses find, by name. One for which there is too little text is left out, with a warning.

    Args:
        session: the model; vectors that it has already are not computed again.
        analyses: by name.
        pairs: (pivot text, text) by language.
        pivot: the language that every pair shares.
        dtype: arithmetic of the measurement.
        seed: source of every random choice.
    """
    found = {}
    for name, analysis in analyses.items():
        own = wanted_pairs(pairs, analysis.needs)
        key = {
            "parameters": session.fingerprint,
            "dtype": str(dtype),
            "analysis": [type(analysis).__module__, name, analysis.version],
            "options": options_of(analysis),
            "pivot": pivot,
            "pairs": digest(own),
            "seed": seed,
        }
        try:
            findings = _cached(key, session, analysis, own, pivot, dtype, seed)
        except DataError as error:
            log.warning("%s; left out", error)
            continue
        found[name] = Analysed(version=analysis.version, options=options_of(analysis), findings=findings)
    return found


def _cached(
    key: Mapping[str, object],
    session: Session,
    analysis: Analysis,
    pairs: Mapping[str, Pairs],
    pivot: str,
    dtype: torch.dtype,
    seed: int,
) -> Findings:
    def build(folder: Path) -> None:
        needs = analysis.needs
        texts = {text for own in pairs.values() for pair in own for text in pair}
        layers = len(needs.layers) or session.backbone.depth + 1
        with progress_bar(f"analysis {analysis.name}", len(texts) + layers) as advance:
            with computing_in(session.backbone, dtype):
                sentences = represented(session, pivot, pairs, needs, advance)
            findings = analysis.measure(sentences, seed, advance)
        # NaN is no JSON: what is undefined is null.
        (folder / "findings.json").write_text(json.dumps(findings, allow_nan=False), encoding="utf-8")

    folder = cached_by_key("analyses", key, build, f"the analysis {analysis.name}", SPACE)
    whole: Findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
    return whole
