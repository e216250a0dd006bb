"""``python -m interruption``: see ``python -m interruption --help``."""

import sys

from ._cli.command import main

# Nothing follows: what is here is the program's by now, if one was run.
main(sys.argv[1:])
