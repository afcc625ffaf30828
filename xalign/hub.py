"""Whether the Hugging Face hub can be asked, and what its local cache holds. Imports no torch."""

import logging
from functools import cache
from pathlib import Path

from huggingface_hub import constants

_log = logging.getLogger(__name__)


@cache
def hub_answers() -> bool:
    """Ask once, briefly: without a network, transformers retries for half a minute for each file."""
    if constants.HF_HUB_OFFLINE:
        return False
    from huggingface_hub import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception as error:
        # Whatever the HTTP library in use calls it, no answer came.
        _log.debug("no answer from %s: %s", constants.ENDPOINT, error)
        return False
    return True


def in_cache(repository: str) -> bool:
    """Whether the local cache holds anything of a model's repository."""
    return (Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}").is_dir()
