"""Comparison of a request's two sides. Pure: pairs in, differences out."""

from darktime.split.compare.endpoint import endpoint_of
from darktime.split.compare.finding import FieldFinding
from darktime.split.compare.pair import Difference, Pair, Side, compare

__all__ = ["Difference", "FieldFinding", "Pair", "Side", "compare", "endpoint_of"]
