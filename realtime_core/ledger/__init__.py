"""The ledger: every hop counts what it sent and what it received, by id, and what does not come to zero is named.

Importing it does not import numpy; counting on a hop does, once a window holds more than some hundred ids. That takes a tenth
of a second in the middle of the work: a process that lives by latency calls ``prepare`` first.
"""

from realtime_core.ledger.balance import HopBalance, HopState, Item, Owner, State, balance
from realtime_core.ledger.hashing import key_of, keys_of
from realtime_core.ledger.ledger import Ledger, wait_balanced
from realtime_core.ledger.net import prepare
from realtime_core.ledger.store import read

__all__ = [
    "HopBalance",
    "HopState",
    "Item",
    "Ledger",
    "Owner",
    "State",
    "balance",
    "key_of",
    "keys_of",
    "prepare",
    "read",
    "wait_balanced",
]
