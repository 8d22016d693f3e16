"""What METEOR needs for a language: parameters, function words, and the data of its stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mmtx_cli.metric.meteor.normalize import lower_words, normalized
from mmtx_cli.metric.meteor.parameters import Language, Parameters
from mmtx_cli.metric.meteor.paraphrases import ParaphraseTable
from mmtx_cli.metric.meteor.synonyms import Synonyms


@dataclass(frozen=True)
class MeteorData:
    """A language of METEOR with the data of its stages; a stage without data is None.

    Args:
        code: ISO 639-1 code of the language.
        language: The language as METEOR knows it.
        function_words: Words that count less: those of English, in any language.
        prefixes: Abbreviations that keep their period, to whether only before a number.
        stem: Gives the stem of a word.
        synonyms: WordNet.
        paraphrases: METEOR's table of paraphrases.
    """

    code: str
    language: Language
    function_words: frozenset[str]
    prefixes: Mapping[str, bool]
    stem: Callable[[str], str] | None
    synonyms: Synonyms | None
    paraphrases: ParaphraseTable | None

    @property
    def parameters(self) -> Parameters:
        """The published parameters of the language."""
        return self.language.parameters

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """The stages that run, in their order."""
        data = {"stem": self.stem, "synonym": self.synonyms, "paraphrase": self.paraphrases}
        return tuple(
            name for name in self.parameters.weights if name == "exact" or data[name] is not None
        )

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """The stages of METEOR 1.5 for this language that do not run for lack of data."""
        return tuple(name for name in self.parameters.weights if name not in self.stages)

    def normalized(self, text: str) -> list[str]:
        """Return the words of a text as METEOR compares them."""
        if self.language.normalized:
            return normalized(text, self.code, self.prefixes)
        return lower_words(text)
