"""The command line: overrides and their messages, paths that are looked up, rules, the reference."""
