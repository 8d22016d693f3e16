"""The errors that are the user's to mend: shown without a traceback, exit status 2."""

from pathlib import Path


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


class DivergenceError(RuntimeError):
    """Training went astray: exit status 1. The message names the step and its samples."""


class Interrupted(BaseException):
    """The run was told to stop by a signal, and has saved where it stands.

    ``at_once``: by a second signal, which does not wait for that save.
    """

    def __init__(self, number: int, path: object, at_once: bool = False) -> None:
        """Take the signal's number and the path of the last checkpoint."""
        self.number, self.path = number, path
        last = f"the last save is {path}" if Path(str(path)).exists() else "nothing was saved"
        how = f"at once by a second signal {number}; {last}" if at_once else ""
        super().__init__(f"stopped {how or f'by signal {number}; saved {path}'}")

    @property
    def run_dir(self) -> str:
        """The folder of the run: that of its checkpoints' folder."""
        return str(Path(str(self.path)).parent.parent)
