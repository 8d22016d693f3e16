import pytest

from mmtx_cli.io.redact import HIDDEN, redacted, redacted_message

SECRET = "abcdef12345"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("MYTOKEN", SECRET)
    monkeypatch.setenv("SHORT_TOKEN", "ab")
    monkeypatch.setenv("PWD", "/home/someone")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ({"api_key": "x"}, {"api_key": HIDDEN}),
        ({"wandb": {"api_key": "x"}}, {"wandb": {"api_key": HIDDEN}}),
        ({"hf_token": "x", "password": 12}, {"hf_token": HIDDEN, "password": HIDDEN}),
        ({"tokens": [1], "tokenizer": "t.json"}, {"tokens": [1], "tokenizer": "t.json"}),
        ({"credentials": ["a", "b"]}, {"credentials": [HIDDEN, HIDDEN]}),
        ({"cls_token": True, "api_key": None}, {"cls_token": True, "api_key": None}),
        ({"root": SECRET}, {"root": HIDDEN}),
        ({"root": f"/mnt/{SECRET}/x"}, {"root": f"/mnt/{HIDDEN}/x"}),
        ({"url": "https://me:pass@host/x"}, {"url": f"https://{HIDDEN}@host/x"}),
        ({"url": "https://host/x?token=abc&y=1"}, {"url": f"https://host/x?token={HIDDEN}&y=1"}),
        ({"path": "a b@c/ab.jsonl"}, {"path": "a b@c/ab.jsonl"}),
        ({"number": 3, "off": False, "none": None}, {"number": 3, "off": False, "none": None}),
    ],
)
def test_secrets_are_hidden_and_nothing_else(plain, shown):
    assert redacted(plain) == shown


@pytest.mark.parametrize(
    "name",
    [
        "MY_AUTH",
        "AUTHORIZATION",
        "HTTP_AUTHORISATION",
        "BEARER",
        "SENTRY_DSN",
        "OAUTH",
        "API-KEY",
        "DB_PASS",
        "DB_PWD",
        "SESSION_COOKIE",
        "SERVICE_JWT",
        "SIGNING_KEY",
        "SECRETS",
        "PASSWORDS",
    ],
)
def test_values_of_variables_and_keys_with_such_names(name, monkeypatch):
    monkeypatch.setenv(name, "hunter2xyz")
    assert redacted({"name": "is hunter2xyz"}) == {"name": f"is {HIDDEN}"}
    assert redacted({name.lower(): "x"}) == {name.lower(): HIDDEN}
    assert redacted([f"{name}=hunter3 y"]) == [f"{name}={HIDDEN} y"]


@pytest.mark.parametrize(
    "name", ["author", "tokenizer", "num_tokens", "author_names", "pass_through", "bypass", "keys"]
)
def test_similar_but_harmless_names(name, monkeypatch):
    monkeypatch.setenv(name, "hunter2xyz")
    plain = {name: "hunter2xyz", "root": "/home/someone/agent"}
    assert redacted(plain) == plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer abcDEF.123-456", f"Bearer {HIDDEN}"),
        ("Authorization: Bearer abcDEF.123-456", f"Authorization: {HIDDEN}"),
        ("authorization=Basic dXNlcjpwYXNz", f"authorization={HIDDEN}"),
        ("{'Authorization': 'Token abc def'}", f"{{'Authorization': '{HIDDEN} def'}}"),
        ("password='two words', x=1", f"password={HIDDEN}, x=1"),
        ("postgres://me:pw@host/db", f"postgres://{HIDDEN}@host/db"),
        ("hf_" + "aB3" * 10, HIDDEN),
        ("at ghp_" + "aB3" * 12 + " here", f"at {HIDDEN} here"),
        ("eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM", HIDDEN),
        ("sk-" + "aB3" * 10, HIDDEN),
        ("basic transformer, hf_model, sk-learn-classifier", None),
        ("a bearer of news", None),
    ],
)
def test_values_that_speak_for_themselves(text, shown):
    hidden = redacted({"note": text})["note"]
    assert hidden == (text if shown is None else shown) or (
        shown is not None and "Authorization" in text and "abc" not in hidden
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("logger.wandb.api_key=xyz: unknown key; there are", f"api_key={HIDDEN}: unknown key"),
        ("head.x.mask_token: required and not set", "mask_token: required and not set"),
        ("x.password: 'a b' is not of type int", f"password: {HIDDEN} is not of type int"),
        (f"data.path: no such file /mnt/{SECRET}/x", f"/mnt/{HIDDEN}/x"),
        ("write ckpt=RUN token=${oc.env:T}", "token=${oc.env:T}"),
    ],
)
def test_messages_keep_the_names_of_keys(text, shown):
    assert shown in redacted_message(text)
