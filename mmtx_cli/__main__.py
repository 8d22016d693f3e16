"""``python -m mmtx_cli`` is ``mmtx``."""

import sys

from mmtx_cli.cli import main

sys.exit(main())
