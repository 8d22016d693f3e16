"""How OpenMP's threads wait for work; imports nothing heavy, since it counts before torch loads."""

import os

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


def set_waiting() -> None:
    """Let threads spin for microseconds before they sleep, unless the environment says otherwise.

    Threads that spin for long take the cores from the processes that decode, those that sleep at
    once wake late. ``GOMP_SPINCOUNT`` is GNU's; other runtimes know the policy alone.
    """
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)
