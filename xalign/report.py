"""`python -m xalign.report RUN [RUN ...] [output=FILE]`: write a run's report anew, or compare runs.

The folder of a sweep instead of a run's sums the sweep up anew.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xalign.base.errors import ConfigError, did_you_mean, user_facing

DEFAULT_COMPARISON = Path("comparison.html")


def parse(arguments: Sequence[str]) -> tuple[list[Path], Path | None]:
    """The runs' folders and the file to write.

    Raises:
        ConfigError: a `key=value` other than `output=FILE`, or `output` twice or empty.
    """
    parser = argparse.ArgumentParser(
        prog="python -m xalign.report",
        usage="%(prog)s RUN [RUN ...] [output=FILE]",
        description="One run: write its report anew. Several: write a page that compares them.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run, or output=FILE for the page")
    runs: list[Path] = []
    outputs: list[str] = []
    problems: list[str] = []
    for argument in parser.parse_args(arguments).runs:
        key, equals, value = argument.partition("=")
        if not equals or Path(argument).is_dir():
            runs.append(Path(argument))
        elif key == "output" and value:
            outputs.append(value)
        elif key == "output":
            problems.append("output: no file given; write output=FILE")
        else:
            problems.append(f"{key}: unknown key (allowed: output){did_you_mean(key, ['output'])}")
    if len(outputs) > 1:
        problems.append(f"output: given {len(outputs)} times ({', '.join(outputs)}); give it once")
    if not runs and not problems:
        problems.append("no run given; write the folder of at least one")
    if problems:
        raise ConfigError(problems)
    return runs, Path(outputs[0]) if outputs else None


@user_facing
def main() -> None:
    """Entry point."""
    runs, output = parse(sys.argv[1:])
    # matplotlib and sklearn take a second to import: mistakes on the command line should not wait for them.
    from xalign.reporting.console import print_comparison, print_runs
    from xalign.reporting.html import titled, write_comparison, write_report
    from xalign.reporting.run_folder import load_run

    if len(runs) == 1 and (runs[0] / "sweep.json").is_file():
        from xalign.sweeps.folder import SweepFolder
        from xalign.sweeps.summary import show

        show(SweepFolder(runs[0]))
        return
    if len(runs) == 1:
        page = write_report(runs[0], output)
        print_comparison(runs[0])
    else:
        page = write_comparison(runs, output or DEFAULT_COMPARISON)
        print_runs(titled([load_run(path) for path in runs]))
    print(page)


if __name__ == "__main__":
    main()
