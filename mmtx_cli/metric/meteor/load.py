"""Find and read the data of METEOR: that of an installed pycocoevalcap, or of a folder."""

import zipfile
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, check_regular
from mmtx_cli.io.untrusted.zip_file import check_index, check_packing
from mmtx_cli.metric.meteor.data import MeteorData
from mmtx_cli.metric.meteor.parameters import LANGUAGES, OTHER, Language
from mmtx_cli.metric.meteor.paraphrase_file import read_paraphrases
from mmtx_cli.metric.meteor.synonyms import Synonyms

JAR = "meteor-1.5.jar"
_MAX_MEMBER = 2**26


def load_meteor(code: str = "en", folder: Path | None = None) -> MeteorData:
    """Return the data of a language; stages without data are None.

    The function words, WordNet and the paraphrases are those that METEOR 1.5 comes with.

    Args:
        code: ISO 639-1 code; of a longer tag, such as ``pt-BR``, only its first part counts.
        folder: Folder with ``meteor-1.5.jar`` and ``data/paraphrase-LANGUAGE.gz``; None for that of
            an installed pycocoevalcap.

    Raises:
        ConfigError: if the archive is not there, which has the function words.
        DataError: if a file is damaged.
    """
    code = code.replace("_", "-").partition("-")[0].lower()
    language = LANGUAGES.get(code, OTHER)
    weights = language.parameters.weights
    folder = _folder(folder)
    function_words, prefixes, synonyms = _read_jar(folder / JAR, language)
    table = folder / "data" / f"paraphrase-{language.short}.gz"
    has_table = "paraphrase" in weights and table.exists()
    return MeteorData(
        code,
        language,
        function_words,
        prefixes,
        _stemmer(language.name) if "stem" in weights else None,
        synonyms,
        read_paraphrases(table) if has_table else None,
    )


def _folder(folder: Path | None) -> Path:
    """Return the folder with the archive; raise ConfigError if there is none."""
    if folder is not None:
        if not (folder / JAR).exists():
            raise ConfigError(
                f"meteor_data={folder}: has no {JAR}; name the folder of METEOR 1.5, with {JAR} "
                "and data/"
            )
        return folder
    spec = find_spec("pycocoevalcap")
    for path in (spec.submodule_search_locations or []) if spec else []:
        if (found := Path(path) / "meteor").joinpath(JAR).exists():
            return found
    raise ConfigError(
        "metrics: meteor reads its function words, synonyms and paraphrases from the files of "
        "METEOR 1.5, which are not here; install them (pip install 'mmtx[meteor]'), or set "
        f"meteor_data=FOLDER with {JAR} and data/"
    )


def _read_jar(
    path: Path, language: Language
) -> tuple[frozenset[str], dict[str, bool], Synonyms | None]:
    """Return function words, prefixes that keep their period, and synonyms."""
    try:
        check_regular(path)
        check_index(path)
        with zipfile.ZipFile(path) as archive:
            check_packing(archive)
            # METEOR 1.5 has lists for other languages too, but reads the English one for all
            words = _member(archive, "function/english.words").split("\n")
            prefixes: dict[str, bool] = {}
            synonyms = None
            if language.normalized:
                prefixes = _prefixes(_member(archive, f"nonbreaking/{language.name}.prefixes"))
            if "synonym" in language.parameters.weights:
                synonyms = _synonyms(archive, language.name)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error
        raise DataError(f"{path}: cannot be read as METEOR 1.5: {reason}") from error
    return frozenset(word for word in words if word), prefixes, synonyms


def _synonyms(archive: zipfile.ZipFile, language: str) -> Synonyms:
    name = f"synonym/{language}.synsets"
    exceptions = _member(archive, f"synonym/{language}.exceptions")
    try:
        return Synonyms.parsed(_member(archive, name), exceptions)
    except ValueError as error:
        raise ValueError(f"{name}:{error}") from error


def _member(archive: zipfile.ZipFile, name: str) -> str:
    entry = archive.getinfo(name)
    if entry.file_size > _MAX_MEMBER:
        raise RefusedFileError(f"{name} is larger than {_MAX_MEMBER:,} bytes")
    return archive.read(entry).decode("utf-8")


def _prefixes(text: str) -> dict[str, bool]:
    found = {}
    for line in text.split("\n"):
        words = line.split()
        if words and not words[0].startswith("#"):
            found[words[0]] = words[1:2] == ["#NUMERIC_ONLY#"]
    return found


def _stemmer(language: str) -> Callable[[str], str] | None:
    """Return Snowball's stemmer in Python; a faster one that it would prefer may differ."""
    try:
        module = import_module(f"snowballstemmer.{language}_stemmer")
    except ImportError:
        return None
    stem: Callable[[str], str] = getattr(module, f"{language.title()}Stemmer")().stemWord
    return stem
