"""The `repro` command: one file per command, each with its help, its arguments and its work."""
