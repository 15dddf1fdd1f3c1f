"""`python -m repro` is the `repro` command."""

import sys

from repro.lab.cli import main

sys.exit(main())
