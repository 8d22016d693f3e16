"""The corpora of a run: read them, and collect the settings that differ between them."""

from collections.abc import Iterable

from mmtx_cli.config.schema import CorpusSettings, DataSettings
from mmtx_cli.data.manifest.concat import joined
from mmtx_cli.data.manifest.read import Manifest, read_manifest
from mmtx_cli.data.sampling.mixture_spec import Mixing
from mmtx_cli.errors import ConfigError, DataError


def read_corpora(settings: DataSettings, seed: int) -> Manifest:
    """Read the manifest, or concatenate those of a mixture; raise DataError with all faults."""
    if settings.mixture:
        parts: dict[str, Manifest] = {}
        faults: list[str] = []
        for own in settings.mixture:
            try:
                parts[str(own.name)] = read_one(own, seed)
            except DataError as error:
                faults += error.faults
        if faults:
            raise DataError(*faults)
        return joined(parts)
    if settings.path is None:
        raise ConfigError("data.path: no data set; set data.path=MANIFEST.jsonl or data=scenes")
    return read_one(settings, seed)


def read_one(settings: DataSettings | CorpusSettings, seed: int) -> Manifest:
    """Read the manifest of one corpus."""
    return read_manifest(
        str(settings.path),
        root=settings.root,
        split=settings.split,
        seed=seed,
        allow_outside_root=settings.allow_outside_root,
    )


def mixing_of(settings: DataSettings, heads: Iterable[str]) -> Mixing | None:
    """Return the settings that differ between corpora; None without a mixture."""
    if not settings.mixture:
        return None
    corpora = {str(own.name): own for own in settings.mixture}
    learners = {
        head: frozenset(n for n, own in corpora.items() if own.heads is None or head in own.heads)
        for head in heads
    }
    weights = [own.weight for own in corpora.values() if own.weight is not None]
    return Mixing(
        [*corpora],
        {name: own.text for name, own in corpora.items() if own.text is not None},
        weights or None,
        {head: learns for head, learns in learners.items() if len(learns) < len(corpora)},
    )
