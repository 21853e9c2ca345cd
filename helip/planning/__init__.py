"""What a study will do and what it will cost, before anything runs."""

from helip.planning.jobs import artefacts
from helip.planning.runs import runs, runs_text
from helip.planning.summary import plan_text, summary, text

__all__ = ["artefacts", "plan_text", "runs", "runs_text", "summary", "text"]
