"""The errors that are the user's to mend: shown without a traceback, exit status 2."""


class MmtxError(ValueError):
    """What a user did. The message says what is wrong, where, and what to do about it."""

    def __init__(self, *faults: str) -> None:
        """Take every fault found, so that all are shown at once."""
        super().__init__("\n".join(faults))
        self.faults = faults


class ConfigError(MmtxError):
    """A fault of the configuration; the message names the config path."""


class DataError(MmtxError):
    """A fault of the user's data; the message names file:line or the sample id."""


class CheckpointError(MmtxError):
    """A checkpoint or model folder that is absent, damaged or does not fit."""


class RunError(RuntimeError):
    """A run that failed, not by a mistake of the user's: shown without a traceback, status 1."""


class OutputError(RunError):
    """Standard output that cannot be written."""


class DivergenceError(RunError):
    """Training went astray. The message names the step and its samples."""


class Interrupted(BaseException):
    """Work was told to stop by a signal: exit status 128 + ``number``.

    ``run_dir`` is the run folder that ``resume=true`` goes on with, if there is one.
    """

    def __init__(self, number: int, message: str, run_dir: object = None) -> None:
        """Take the signal's number, and what is kept of the work."""
        super().__init__(message)
        self.number, self.run_dir = number, run_dir
