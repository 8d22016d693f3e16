"""Messages about libraries of pretrained models."""


def missing_package(error: ImportError, extra: str) -> ValueError:
    """Return the error for an optional package that is not installed."""
    return ValueError(
        f"this requires a package that is not installed ({error.name}): pip install mmtx[{extra}]"
    )


def one_line(error: BaseException) -> str:
    """Return the message of a library's error as one short line."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= 300 else f"{message[:300]} …"
