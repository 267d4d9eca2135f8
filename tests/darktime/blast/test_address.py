"""Where an instance listens, as it is written."""

import pytest

from darktime.blast.settings import resolve
from darktime.errors import UsageError


@pytest.mark.parametrize(
    ("written", "port"),
    [("127.0.0.1", 80), ("http://127.0.0.1", 80), ("https://127.0.0.1", 443), ("127.0.0.1:8001", 8001)],
)
def test_the_port_that_a_scheme_implies_may_be_left_out(written, port):
    assert resolve(written).port == port


@pytest.mark.parametrize("written", ["127.0.0.1:0", "http://127.0.0.1:0", "https://127.0.0.1:0"])
def test_port_0_is_refused_and_not_taken_for_the_usual_one(written):
    with pytest.raises(UsageError, match="port 0"):
        resolve(written)
