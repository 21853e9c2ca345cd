"""What a study will do and what it will cost, from its declarations alone: no data, no Snakemake, no torch."""

from helip.planning.jobs import Job, jobs
from helip.planning.summary import Line, summary, text

__all__ = ["Job", "Line", "jobs", "summary", "text"]
