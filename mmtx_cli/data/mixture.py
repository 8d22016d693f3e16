"""The corpora of a run: read them, and collect the settings that differ between them."""

from collections.abc import Iterable

from mmtx_cli.config.data_settings import CorpusSettings, DataSettings
from mmtx_cli.data.manifest.concat import joined
from mmtx_cli.data.manifest.read import Manifest, read_manifest
from mmtx_cli.data.sampling.mixture_spec import Mixing
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.media.shard.remote import attach, is_url


def read_corpora(settings: DataSettings, seed: int) -> Manifest:
    """Read the manifest, or concatenate those of a mixture; raise DataError with all faults."""
    if settings.mixture:
        parts: dict[str, Manifest] = {}
        faults: list[str] = []
        for corpus in settings.mixture:
            try:
                parts[str(corpus.name)] = read_one(corpus, seed, settings)
            except DataError as error:
                faults += error.faults
        if faults:
            raise DataError(*faults)
        return joined(parts)
    if settings.path is None:
        raise ConfigError("data.path: no data set; set data.path=MANIFEST.jsonl or data=scenes")
    return read_one(settings, seed, settings)


def read_one(corpus: DataSettings | CorpusSettings, seed: int, settings: DataSettings) -> Manifest:
    """Read the manifest of one corpus."""
    return read_manifest(
        str(corpus.path),
        root=local_root(corpus.root, settings),
        split=corpus.split,
        seed=seed,
        allow_outside_root=corpus.allow_outside_root,
    )


def local_root(root: str | None, settings: DataSettings) -> str | None:
    """Return the root of a corpus; of a URL, the local folder that stands for it."""
    if root is None or not is_url(root):
        return root
    return attach(root, settings.shard_cache, settings.shard_cache_size)


def mixing_of(settings: DataSettings, heads: Iterable[str]) -> Mixing | None:
    """Return the settings that differ between corpora; None without a mixture."""
    if not settings.mixture:
        return None
    corpora = {str(corpus.name): corpus for corpus in settings.mixture}
    head_corpora = {
        head: frozenset(
            n for n, corpus in corpora.items() if corpus.heads is None or head in corpus.heads
        )
        for head in heads
    }
    weights = [corpus.weight for corpus in corpora.values() if corpus.weight is not None]
    return Mixing(
        [*corpora],
        {name: corpus.text for name, corpus in corpora.items() if corpus.text is not None},
        weights or None,
        {head: names for head, names in head_corpora.items() if len(names) < len(corpora)},
    )
