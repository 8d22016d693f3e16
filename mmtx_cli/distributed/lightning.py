"""Single import point of Lightning, which speeds up its import.

Lightning imports torchmetrics, which imports every optional package that any of its metrics could
need: torchvision, scipy, matplotlib, transformers. That takes half of the time to the first
training step, for metrics that are never used here. These packages are reported as not installed
while torchmetrics is imported, and only there.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_utilities.core import imports
from packaging.requirements import Requirement

UNUSED = frozenset({"matplotlib", "scipy", "torchaudio", "torchvision", "transformers"})


@contextmanager
def reported_absent(packages: frozenset[str]) -> Iterator[None]:
    """Make lightning_utilities report that these packages are not installed."""
    has_package, meets = imports.package_available, imports.RequirementCache.__bool__

    def meets_requirement(cache: imports.RequirementCache) -> bool:
        name = Requirement(cache.requirement).name if cache.requirement else cache.module
        return name not in packages and meets(cache)

    def is_available(name: str) -> bool:
        return name not in packages and has_package(name)

    imports.RequirementCache.__bool__ = meets_requirement  # type: ignore[method-assign, assignment]
    imports.package_available = is_available  # type: ignore[assignment]
    try:
        yield
    finally:
        imports.RequirementCache.__bool__ = meets  # type: ignore[method-assign]
        imports.package_available = has_package


if "torchmetrics" not in sys.modules:
    with reported_absent(UNUSED):
        import torchmetrics  # noqa: F401

import pytorch_lightning as pl  # noqa: E402
from lightning_fabric import Fabric  # noqa: E402
from lightning_fabric.plugins.environments import (  # noqa: E402
    LightningEnvironment,
    SLURMEnvironment,
)
from lightning_fabric.strategies.launchers.subprocess_script import (  # noqa: E402
    _SubprocessScriptLauncher as FabricScriptLauncher,
)
from lightning_fabric.utilities.distributed import (  # noqa: E402
    _set_num_threads_if_needed as set_num_threads_if_needed,
)
from pytorch_lightning.strategies.launchers.subprocess_script import (  # noqa: E402
    _SubprocessScriptLauncher as ScriptLauncher,
)

__all__ = [
    "Fabric",
    "FabricScriptLauncher",
    "LightningEnvironment",
    "SLURMEnvironment",
    "ScriptLauncher",
    "pl",
    "set_num_threads_if_needed",
]
