"""Synonyms of WordNet, in the form in which METEOR 1.5 stores them."""

from collections.abc import Mapping
from dataclasses import dataclass

# The rules of detachment of WordNet's morphology: nouns, verbs, adjectives, in their order.
_ENDINGS = (
    *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh")),
    *(("men", "man"), ("ies", "y")),
    *(("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", "")),
    *(("ing", "e"), ("ing", "")),
    *(("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
)


@dataclass(frozen=True)
class Synonyms:
    """Which words share a synonym set.

    Args:
        synsets: Word to the numbers of its sets, separated by spaces.
        bases: Irregular form to its base forms.
    """

    synsets: Mapping[str, str]
    bases: Mapping[str, tuple[str, ...]]

    @staticmethod
    def parsed(synsets: str, exceptions: str) -> "Synonyms":
        """Return the synonyms from the two files: a line with a word, then one with its sets.

        In the file of exceptions, a line with a base form is followed by one with its forms.

        Raises:
            ValueError: if the first file is damaged; the message begins with the number of the
                line.
        """
        lines = synsets.split("\n")
        for number, (word, sets) in enumerate(zip(lines[::2], [*lines[1::2], ""], strict=False)):
            if word and not sets.replace(" ", "").isdecimal():
                raise ValueError(
                    f"{2 * number + 2}: expected the numbers of the synonym sets of {word[:40]!r}, "
                    f"not {sets[:40]!r}"
                )
        bases: dict[str, tuple[str, ...]] = {}
        exception_lines = exceptions.split("\n")
        for base, forms in zip(exception_lines[::2], exception_lines[1::2], strict=False):
            for form in forms.split():
                bases[form] = (*bases.get(form, ()), base)
        return Synonyms(dict(zip(lines[::2], lines[1::2], strict=False)), bases)

    def sets(self, word: str) -> frozenset[str]:
        """Return the sets of a word and of its base forms."""
        bases = self.bases.get(word)
        found = self.synsets.get(word, "").split()
        for base in (self._base(word),) if bases is None else bases:
            found += self.synsets.get(base, "").split()
        return frozenset(found)

    def _base(self, word: str) -> str:
        """Return the base form of a regular form, or an empty string if none is in WordNet."""
        if word.endswith("ss") or len(word) <= 2:
            return word
        for ending, replacement in _ENDINGS:
            if word.endswith(ending):
                base = word[: -len(ending)] + replacement
                if base in self.synsets:
                    return base
        return ""
