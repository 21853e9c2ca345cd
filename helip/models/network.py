"""Where weights cannot be had: quick to find out, and said in one sentence."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_ENDPOINT")


def offline_if_unreachable() -> None:
    """Tells the hub's client where there is no network: it would retry for most of a minute. Call it before importing a library of
    models.
    """
    if "HF_HUB_OFFLINE" in os.environ or any(name in os.environ for name in PROXIES):
        return
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"


@contextlib.contextmanager
def unlogged() -> Iterator[None]:
    """Silences the log while a library logs an error and then raises it: the exception says it once."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def reason(error: Exception) -> str:
    """Returns the first sentence of a library's error."""
    return (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0].rstrip(".")
