"""The verdict: GO, NO-GO or WAIT. NO-GO needs evidence of harm beyond a margin, GO evidence that there is none. Pure.

Everything between is WAIT, with what is missing. Users, not requests, are the evidence: one busy user's requests are alike.
"""

from darktime.split.verdict.inputs import FieldFinding, Hop, Item
from darktime.split.verdict.judge import judge
from darktime.split.verdict.outcome import EXIT_CODES, Outcome, Verdict
from darktime.split.verdict.settings import VerdictSettings

__all__ = ["EXIT_CODES", "FieldFinding", "Hop", "Item", "Outcome", "Verdict", "VerdictSettings", "judge"]
