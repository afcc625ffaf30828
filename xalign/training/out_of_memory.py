"""When memory runs out: what is kept, and what to do with less of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from xalign.base.errors import RunError
from xalign.base.hardware import is_out_of_memory
from xalign.workspace.folder import RunFolder


class OutOfMemory(RunError):
    """The GPU's or the machine's memory was not enough."""


@contextmanager
def less_next_time(folder: RunFolder, micro_batch: int | None) -> Iterator[None]:
    """In training: say that the last checkpoint stands, and let the run go on from it in smaller parts.

    The step that failed is not saved: memory may have run out halfway through the update.

    Raises:
        OutOfMemory: memory ran out inside.
    """

    def message(error: str) -> str:
        advice = "lower trainer.micro_batch"
        if micro_batch is not None and micro_batch > 1:
            folder.update_environment(micro_batch=micro_batch // 2)
            advice = f"the same command goes on from there with trainer.micro_batch={micro_batch // 2}"
        return (
            f"out of memory in training ({error}), with trainer.micro_batch={micro_batch}. "
            f"The last checkpoint is kept; {advice}. trainer.activation_checkpointing=true needs less, too"
        )

    with _telling(message):
        yield


@contextmanager
def measuring_in_memory() -> Iterator[None]:
    """In measuring: say which key to lower.

    Raises:
        OutOfMemory: memory ran out inside.
    """
    with _telling(
        lambda error: (
            f"out of memory in measuring ({error}): lower benchmark.batch_tokens, which changes "
            "no result. What was measured so far is kept"
        )
    ):
        yield


@contextmanager
def _telling(message: Callable[[str], str]) -> Iterator[None]:
    """Where memory runs out inside, raise OutOfMemory with what `message` makes of the error's first line."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(message(_first_line(error))) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
