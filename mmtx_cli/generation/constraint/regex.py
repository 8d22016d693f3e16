"""Regular expressions as automata, by the outlines-core library (the syntax of Rust's regex)."""

import io
import subprocess
import sys
from functools import lru_cache

import numpy as np

from mmtx_cli.generation.constraint.byte_automaton import (
    DEAD,
    MAX_STATES,
    ByteAutomaton,
    TooManyStatesError,
)

SECONDS, MEMORY = 10.0, 2 * 2**30
"""Limits of the process that compiles an expression of a user."""
TOO_LARGE, INVALID = 3, 4
"""Exit status of that process if the automaton is too large, or the expression is invalid."""
END = 256
"""The token of the end of a text; the others are the bytes."""
BYTES = {bytes([byte]): [byte] for byte in range(256)}
TERMINATOR = 0
"""A byte that no text has."""


class InvalidRegexError(ValueError):
    """A regular expression is invalid, or has a feature that is not supported."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> ByteAutomaton:
    """Return the automaton of the texts that match an expression as a whole.

    Raises:
        InvalidRegexError: If it is invalid; the message begins with a lower-case letter.
        TooManyStatesError: If the automaton is too large.
    """
    from outlines_core import Index, Vocabulary

    # a match is only complete at TERMINATOR: otherwise the library drops what follows the match of
    # an earlier alternative, and some transitions of states that are final and go on
    try:
        index = Index(f"(?:{pattern})\\x00", Vocabulary(END, BYTES))
    except ValueError as error:
        raise refused(str(error)) from error
    transitions, final = index.get_transitions(), index.get_final_states()
    number = {state: i + 1 for i, state in enumerate(transitions)}
    if len(number) > MAX_STATES:
        raise TooManyStatesError
    table = np.full((len(number) + 1, 256), DEAD, dtype=np.int32)
    accepting = np.zeros(len(table), dtype=bool)
    for state, following in transitions.items():
        for byte, other in following.items():
            if byte == TERMINATOR:
                accepting[number[state]] = other in final
            elif byte != END:
                table[number[state], byte] = number[other]
    return ByteAutomaton(table, accepting, number[index.get_initial_state()]).reduced()


def checked(pattern: str) -> str:
    """Return an expression; raise InvalidRegexError if it is not valid on its own."""
    from outlines_core import Index, Vocabulary

    try:
        Index(pattern, Vocabulary(END, BYTES))
    except ValueError as error:
        raise refused(str(error)) from error
    return pattern


def refused(message: str) -> ValueError:
    """Return the error for a message of the library, with the remedy for common cases."""
    if "states exceeds limit" in message:
        return TooManyStatesError()
    anchored = ("anchored universal start state", "word boundar", "vocabulary provided")
    if any(part in message for part in anchored):
        return InvalidRegexError(
            "the whole text must match, without the anchors ^, $, \\b and look-around"
        )
    if "error building NFA" in message:
        return InvalidRegexError(
            "not a valid expression in the syntax of Rust's regex library (no look-around)"
        )
    return InvalidRegexError(message.removeprefix("Failed to build DFA ").splitlines()[0])


@lru_cache(maxsize=16)
def compiled_safely(pattern: str) -> ByteAutomaton:
    """Return what ``compiled`` does for an expression of unknown origin.

    It is compiled in a process with limits, because a short expression can need any amount of
    memory.
    """
    command = [sys.executable, "-P", "-m", "mmtx_cli.generation.constraint.regex"]
    try:
        done = subprocess.run(  # nosec B603 # the expression is its input
            command, input=pattern.encode(), capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TooManyStatesError from error
    if done.returncode == TOO_LARGE or done.returncode < 0:
        raise TooManyStatesError
    message = done.stderr.decode(errors="replace").strip()
    if done.returncode == INVALID:
        raise InvalidRegexError(message)
    if done.returncode:
        raise RuntimeError(f"compiling {pattern!r} failed: {message}")
    stored = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return ByteAutomaton(stored["table"], stored["accepting"], int(stored["start"]))


def main() -> int:
    """Compile the expression on standard input; write its automaton to standard output."""
    from mmtx_cli.media.worker.memory_limit import limit_memory

    limit_memory(MEMORY)
    try:
        found = compiled(checked(sys.stdin.buffer.read().decode()))
    except (TooManyStatesError, MemoryError):
        return TOO_LARGE
    except InvalidRegexError as error:
        print(error, file=sys.stderr)
        return INVALID
    np.savez(sys.stdout.buffer, **vars(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
