"""``python -m mockbroker``: the same as the command ``mockbroker``."""

import sys

from mockbroker.cli import main

if __name__ == "__main__":
    sys.exit(main())
