"""Where weights cannot be had: quick to find out, and said in one sentence."""

import os
import socket

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_ENDPOINT")


def offline_if_unreachable() -> None:
    """Without a network the hub's client retries for most of a minute: tell it first. Call before importing a library of models."""
    if "HF_HUB_OFFLINE" in os.environ or any(name in os.environ for name in PROXIES):
        return
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"


def reason(error: Exception) -> str:
    """The first sentence of a library's error."""
    return (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0].rstrip(".")
