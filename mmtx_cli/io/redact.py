"""Redaction of secrets in configurations, command lines and messages."""

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
SECRET = (  # nosec B105 # names, not secrets
    r"(?:(?:access|account|api|auth|client|encryption|master|private|secret|signing)[_-]?key"
    r"|token|secrets?|passw(?:or)?ds?|passphrase|credentials?|authori[sz]ation"
    r"|authentication|bearer|(?<![a-z])(?:o?auth|cookie|dsn|jwt|pass)|(?<=[_.-])pwd)"
)
"""End of the name of a secret; ``PWD`` alone is the working directory."""
SECRET_KEY = re.compile(rf"{SECRET}$", re.I)
_VALUE = r"""(?!\$\{)(?:"[^"]*"|'[^']*'|[^\s,&;}]+)"""
SECRET_PAIR = re.compile(rf"""({SECRET}["']?\s*[=:]\s*){_VALUE}""", re.I)
_MESSAGE_PAIR = re.compile(
    rf"""({SECRET}["']?(?:=|:\s*(?=["'])))(?!\$\{{)(?:"[^"]*"|'[^']*'|[^\s,&;}}:]+)""", re.I
)
"""In messages, a colon follows names of keys: the text after it is a value only if quoted."""
_AUTHORIZATION = re.compile(
    r"""(authori[sz]ation["']?\s*[=:]\s*["']?)(?:[a-z]+\s+)?[^\s"',;}]+""", re.I
)
_BEARER = re.compile(r"(\bbearer\s+)[\w.~+/=-]{6,}", re.I)
_ISSUED = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abeprs]-[\w-]{10,}|sk-(?:proj-|ant-)?[A-Za-z0-9]{20,}|A(?:KIA|SIA)[A-Z0-9]{12,}"
    r"|AIza[\w-]{30,}|eyJ[\w-]+\.[\w-]+\.[\w-]+)"
)
"""Tokens with the prefixes of known issuers."""
USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")


def redacted(value: Any, key: str = "") -> Any:
    """Redact values of secret-looking keys, secrets from the environment, and passwords in URLs."""
    if isinstance(value, Mapping):
        return {k: redacted(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(v, key) for v in value]
    if not value or isinstance(value, bool):
        return value
    if SECRET_KEY.search(key):
        return HIDDEN
    return redacted_text(value) if isinstance(value, str) else value


def redacted_text(text: str) -> str:
    """Return a text with everything redacted that looks like a secret."""
    return SECRET_PAIR.sub(rf"\1{HIDDEN}", _without_values(text))


def redacted_message(text: str) -> str:
    """Return a message with secrets redacted, but not unquoted text after the name of a key."""
    return _MESSAGE_PAIR.sub(rf"\1{HIDDEN}", _without_values(text))


def _without_values(text: str) -> str:
    for secret in secrets():
        text = text.replace(secret, HIDDEN)
    text = USER_INFO.sub(f"{HIDDEN}@", _ISSUED.sub(HIDDEN, text))
    return _AUTHORIZATION.sub(rf"\1{HIDDEN}", _BEARER.sub(rf"\1{HIDDEN}", text))


def secrets() -> list[str]:
    """Return the values of environment variables with secret-looking names, the longest first."""
    found = {v for k, v in os.environ.items() if len(v) > 5 and SECRET_KEY.search(k)}
    return sorted(found, key=len, reverse=True)
