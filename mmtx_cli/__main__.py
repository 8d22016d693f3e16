"""Entry point of ``python -m mmtx_cli``, the same as ``mmtx``."""

import sys

from mmtx_cli.cli import main

sys.exit(main())
