"""Unknown keys that come from an experiment, not from the command line."""


def experiment_hint(path: str) -> str:
    """Return how to remove an unknown key that the selected experiment sets, else an empty text.

    Such keys are left over if another choice of a group is selected than that of the experiment,
    for example ``experiment=events_caption decoder=huggingface``.
    """
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return ""
    hydra = HydraConfig.get()
    experiment = hydra.runtime.choices.get("experiment")
    given = {text.partition("=")[0].lstrip("+~") for text in hydra.overrides.task}
    if not experiment or path in given:
        return ""
    return f" (set by experiment={experiment}; to remove it, add ~{path})"
