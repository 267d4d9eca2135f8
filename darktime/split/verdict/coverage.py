"""Whether enough was compared: pairs and users in all and of each endpoint, and what share of its copies. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from darktime.split.verdict.ledger import DARK_FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darktime.split.verdict.inputs import Hop
    from darktime.split.verdict.outcome import Findings
    from darktime.split.verdict.settings import VerdictSettings

# Not for want of comparing: the dark instance failed, which counts as an error; the client went away, and production has
# no answer either; or it is not to be copied at all, as what a function of the user's drops is not. What that function fails
# at is another matter: it was to be compared.
UNCOUNTED: Final = frozenset({*DARK_FAILURES, "client_abort", "unsafe_method", "upgrade", "transformed_away"})
# What leaves here never came to the relay: nginx's sink tells of it, and nobody knows of which endpoint it was.
FIRST_HOP: Final = "mirror>relay"
_SHED: Final = "shed_sink"
_MOST_NAMES: Final = 10
_MOST_REASONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Of one endpoint: its pairs, their users, and the copies that left for a reason before they were compared."""

    endpoint: str
    pairs: int
    users: int
    left: Mapping[str, int]
    traffic: float  # its share of all copies

    @property
    def share(self) -> float:
        """The share of its copies that was compared."""
        return self.pairs / (self.pairs + lost(self.left)) if self.pairs else 0.0

    def required(self, settings: VerdictSettings) -> bool:
        """Whether a GO must know of it."""
        return self.traffic >= settings.small_endpoint

    def enough(self, settings: VerdictSettings) -> bool:
        """Whether it can be judged on its own."""
        return self.pairs >= settings.min_pairs_an_endpoint and self.users >= settings.min_users_an_endpoint

    def figures(self) -> dict[str, Any]:
        """As the JSON has it."""
        return {"pairs": self.pairs, "users": self.users, "coverage": self.share, "traffic": self.traffic}


def lost(left: Mapping[str, int]) -> int:
    """How many left that should have been compared."""
    return sum(count for reason, count in left.items() if reason not in UNCOUNTED)


def together(pairs: int, left: int) -> float:
    """The share of all copies that was compared; ``left``: those that should have been, and were not."""
    return pairs / (pairs + left) if pairs else 0.0


def covered(keys: Iterable[tuple[str, str]], left: Mapping[str, Mapping[str, int]]) -> list[Covered]:
    """Every endpoint of the pairs and of what left, the busiest first. ``keys``: each pair's endpoint and user."""
    pairs: Counter[str] = Counter()
    users: dict[str, set[str]] = {}
    for endpoint, user in keys:
        pairs[endpoint] += 1
        users.setdefault(endpoint, set()).add(user)
    sizes = {endpoint: pairs[endpoint] + lost(left.get(endpoint, {})) for endpoint in dict.fromkeys((*pairs, *left))}
    total = sum(sizes.values())
    return [
        Covered(
            endpoint=endpoint,
            pairs=pairs[endpoint],
            users=len(users.get(endpoint, ())),
            left=left.get(endpoint, {}),
            traffic=size / total,
        )
        for endpoint, size in sorted(sizes.items(), key=lambda item: -item[1])
        if size
    ]


def judge_coverage(
    endpoints: Sequence[Covered],
    *,
    pairs: int,
    users: int,
    hops: Sequence[Hop],
    settings: VerdictSettings,
    findings: Findings,
) -> None:
    """Say what is missing before anything may be called GO."""
    if pairs < settings.min_pairs:
        findings.needs.append(f"{settings.min_pairs - pairs:,} more pairs ({pairs:,} of {settings.min_pairs:,})")
    if users < settings.min_users:
        findings.needs.append(f"{settings.min_users - users:,} more users ({users:,} of {settings.min_users:,})")
    asked = [one for one in endpoints if one.required(settings)]
    thin = [
        f"{one.endpoint} ({one.pairs:,} of {settings.min_pairs_an_endpoint:,} pairs, "
        f"{one.users:,} of {settings.min_users_an_endpoint:,} users)"
        for one in asked
        if not one.enough(settings)
    ]
    if thin:
        findings.needs.append(f"more of {few(thin)}")
    bare = [f"{one.endpoint} {one.share:.1%}{_why(one.left)}" for one in asked if one.share < settings.coverage]
    left = Counter[str]()
    for hop in hops:
        if hop.hop in {settings.compared_hop, FIRST_HOP}:
            left.update({reason: count for reason, count in hop.explained.items() if count > 0})
    whole = together(pairs, lost(left))
    if pairs and whole < settings.coverage:
        bare.insert(0, f"all endpoints together {whole:.1%}{_why(left)}")
    if bare:
        findings.unsure.append(f"too few of the copies were compared, {settings.coverage:.0%} must be: {few(bare)}")
        findings.needs.append(f"to compare {settings.coverage:.0%} of the copies of every endpoint{_help(left)}")


def _why(left: Mapping[str, int]) -> str:
    reasons = sorted(
        ((count, reason) for reason, count in left.items() if reason not in UNCOUNTED and count), reverse=True
    )
    told = ", ".join(f"{count:,} {reason}" for count, reason in reasons[:_MOST_REASONS])
    return f" ({told})" if told else ""


def _help(left: Mapping[str, int]) -> str:
    return ": fewer users, or more --relay-workers, so that the relay takes what comes" if left.get(_SHED) else ""


def few(names: Sequence[str]) -> str:
    """The first ten, and how many more."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
