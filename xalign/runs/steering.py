"""Vectors of languages fitted on parallel text: `python -m xalign.steer`."""

import logging
from pathlib import Path

import torch

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError
from xalign.base.progress import progress_bar
from xalign.base.spacing import evenly_spaced
from xalign.config.choices import Pooling
from xalign.config.schema import SteerConfig
from xalign.data.parallel import load_corpus, split_corpus, wanted_languages
from xalign.evaluation.engine.representations import represent
from xalign.models.context import lowered_to_context
from xalign.models.steering import crossing, first_share, language_vectors, write_vectors
from xalign.performance.automatic import choose_device, choose_threads
from xalign.runs.measurement import load_backbone
from xalign.workspace.environment import quiet_libraries, set_up_logging

log = logging.getLogger(__name__)


def fit(config: SteerConfig) -> None:
    """Write each language's vectors, of sentences of the training text, and say where they lead.

    Raises:
        ConfigError: a language has no pairs, or `output` is missing.
    """
    quiet_libraries()
    set_up_logging(None)
    decisions = Decisions()
    choose_threads(None, 1, decisions, "threads")
    pivot, data = config.languages.pivot, config.data
    corpus, _ = load_corpus(data, pivot, wanted_languages(config.languages))
    train = split_corpus(corpus, pivot, data.validation_fraction, data.test_fraction).train
    texts: dict[str, list[str]] = {}
    for code in (pivot, *config.languages.targets):
        own = [text for text in train.texts(code) if text]
        if not own:
            raise ConfigError([f"languages.targets={code}: no text to fit on"])
        texts[code] = evenly_spaced(own, config.sentences)
    backbone = load_backbone(config.model, choose_device(decisions), seed=0)
    length = lowered_to_context("max_length", config.max_length, backbone, decisions)
    means: dict[str, torch.Tensor] = {}
    with progress_bar("sentences", sum(map(len, texts.values()))) as advance:
        for code, own in texts.items():
            vectors_NLD = represent(
                backbone,
                own,
                Pooling.mean,
                max_length=length,
                batch_tokens=config.batch_tokens,
                advance=advance,
            )
            means[code] = vectors_NLD.double().mean(0).float()
    vectors = language_vectors(means)
    shares = first_share(vectors)
    layer = crossing(shares)
    about = {"pivot": pivot, "layer": layer, "sentences": {code: len(own) for code, own in texts.items()}}
    output = Path(str(config.output))
    write_vectors(output, vectors, backbone, {**about, "first_share": [round(s, 4) for s in shares.tolist()]})
    listed = " ".join(f"{share:.2f}" for share in shares.tolist())
    print(f"share of the first component by layer: {listed}")
    print(f"layer {layer}, unless model.steering.layers says others")
    print(f"written: {output}")
