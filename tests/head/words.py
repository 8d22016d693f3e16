"""A detokenizer for tests: token 5 is the first word."""

EOS = 3
WORDS = ["a", "red", "ball", "dog", "runs", "on", "grass"]


class Words:
    def decode(self, tokens):
        tokens = list(tokens)
        words = tokens[: tokens.index(EOS)] if EOS in tokens else tokens
        return " ".join(WORDS[token - 5] for token in words)
