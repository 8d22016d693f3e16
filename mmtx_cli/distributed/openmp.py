"""Wait policy of OpenMP threads; imports nothing heavy, since it must be set before torch loads."""

import os

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


def set_waiting() -> None:
    """Let threads spin for microseconds before they sleep, unless the environment sets a policy.

    Threads that spin longer take CPU time from decoding processes; those that sleep immediately
    wake up late. ``GOMP_SPINCOUNT`` is specific to GNU; other runtimes only read the policy.
    """
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)
