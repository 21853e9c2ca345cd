"""What a study will do and what it will cost, before anything runs."""

from helip.planning.jobs import artefacts
from helip.planning.summary import summary, text

__all__ = ["artefacts", "summary", "text"]
