"""Entry point of ``mmtx`` and of ``python -m mmtx_cli``."""

import sys

from mmtx_cli.io.early_interrupt import end_on_interrupt


def main() -> int:
    """Run the command line; from the first moment on, Ctrl-C ends it without a traceback."""
    end_on_interrupt()
    from mmtx_cli.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
