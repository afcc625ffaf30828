"""Models in GGUF files, embedded ones and the user's own, converted once to Hugging Face folders."""

from xalign.models.gguf.embedded import MODELS, model_from_artifact, notices

__all__ = ["MODELS", "model_from_artifact", "notices"]
