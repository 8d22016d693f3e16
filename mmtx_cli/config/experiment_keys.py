"""Unknown keys that come from an experiment, not from the command line."""

from collections.abc import Iterable, Iterator

UNKNOWN = ": unknown key; "


def with_origin(faults: Iterable[str]) -> Iterator[str]:
    """Yield the faults; with an unknown key of a component that the experiment sets, how to remove
    it.

    Such keys are left over if another choice of a group is selected than that of the experiment,
    for example ``experiment=events_caption decoder=huggingface``.
    """
    experiment, given = selected_experiment()
    for fault in faults:
        path, found, _ = fault.partition(UNKNOWN)
        if experiment and found and path not in given:
            fault += f" (set by experiment={experiment}; to remove it, add ~{path})"
        yield fault


def selected_experiment() -> tuple[str | None, set[str]]:
    """Return the name of the selected experiment, and the keys given on the command line."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return None, set()
    hydra = HydraConfig.get()
    keys = {text.partition("=")[0].lstrip("+~") for text in hydra.overrides.task}
    return hydra.runtime.choices.get("experiment"), keys
