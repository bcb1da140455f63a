"""`python -m playground` is the command line, `playground`."""

import sys

from playground.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
