"""The dress rehearsal: every distinct kind of job of a study, run for real on a handful of samples before the study is paid for.

kinds     which kinds of job there are
scale     how far a kind is cut on this machine
measured  what one run of a kind found, and what two sizes of it say of the declared one
child     one kind at one size, in a process of its own, so that its peak memory is its own
jobs      what is done for a kind, one module a stage
rehearse  all kinds, one after the other
report    the table, the page and the file of costs that `helip plan` reads
"""

from helip.rehearsal.kinds import Kind, kinds
from helip.rehearsal.rehearse import Rehearsal, rehearse

__all__ = ["Kind", "Rehearsal", "kinds", "rehearse"]
