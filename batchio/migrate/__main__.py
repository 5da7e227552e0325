"""``python -m batchio.migrate``: the same as ``batchio migrate``."""

from __future__ import annotations

import sys

from batchio.migrate._cli import migrate

if __name__ == "__main__":
    sys.exit(migrate(sys.argv[1:]))
