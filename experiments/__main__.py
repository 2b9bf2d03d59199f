"""``python -m experiments``: the same as ``atelier``."""

import sys

from experiments.cli import main

sys.exit(main())
