"""One measurement a file, named in configs as its file is; other packages add theirs by the entry point group
`xalign.tasks`."""

from xalign.base.registry import Registry
from xalign.config.choices import TaskProvider
from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.task import Task

TASKS: Registry[type[Task]] = Registry("xalign.evaluation.tasks", "TASK", "xalign.tasks")


def repositories_of(benchmark: BenchmarkConfig) -> list[str]:
    """The datasets of the hub that a benchmark of our own tasks is read from."""
    if benchmark.provider is TaskProvider.lm_eval:
        return []
    tasks = tasks_of(benchmark).values()
    found = [name for task in tasks for name in task.repositories(benchmark)]
    if benchmark.hub and not benchmark.path and benchmark.own_text and any(t.parallel_text for t in tasks):
        found.append(benchmark.hub)
    return list(dict.fromkeys(found))


def tasks_of(benchmark: BenchmarkConfig) -> dict[str, Task]:
    """The benchmark's tasks by name, with their options.

    Raises:
        ConfigError: a package that they need is not installed.
    """
    names = dict.fromkeys(benchmark.tasks)
    if benchmark.provider is TaskProvider.lm_eval:
        from xalign.evaluation.harness.tasks import GuestTask

        return {name: GuestTask(name) for name in names}
    return {name: TASKS.load(name)(name, benchmark.options.get(name)) for name in names}
