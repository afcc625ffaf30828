"""`python -m xalign.list KIND`: what there is to choose from, such as models, data, benchmarks, languages."""

import sys

from xalign.base.errors import ConfigError, did_you_mean, user_facing


def given(arguments: list[str]) -> str:
    """The kind that is asked for.

    Raises:
        ConfigError: there is none, or more than one.
    """
    from xalign.cli.listing import KINDS

    listed = f"one of {', '.join(KINDS)}"
    if len(arguments) != 1:
        raise ConfigError([f"{' '.join(arguments) or 'nothing'} is asked for: {listed} is wanted"])
    if arguments[0] not in KINDS:
        raise ConfigError([f"{arguments[0]}: {listed} is wanted{did_you_mean(arguments[0], KINDS)}"])
    return arguments[0]


@user_facing
def main() -> None:
    """Entry point of `python -m xalign.list`."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        from xalign.cli.listing import KINDS

        print(f"{__doc__}\n{', '.join(KINDS)}")
        return
    kind = given(sys.argv[1:])
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xalign.cli.listing import KINDS

    head, rows = KINDS[kind]()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(head):
        table.add_column(escape(name), no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
