"""What each subscriber is owed: all that was published on its channel since it came, until it has it or it is settled.

Pure. A process's own publisher has its account in the link itself; those of other processes' publishers stand beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darktime.blast.accounts import NOT_BEGUN, Account, within, without
from darktime.blast.link import OPEN, Resume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from darktime.blast.accounts import Range
    from darktime.blast.deliveries import Deliveries
    from darktime.blast.link import Link
    from darktime.blast.publisher import Published, Publisher


class Owed:
    """``me``: the number of ``publisher`` among those that publish to the same channels.

    ``resumes``: who was cut off and is not yet where the others are.
    """

    def __init__(self, links: Sequence[Link], publisher: Publisher, *, me: int) -> None:
        self.resumes: dict[Link, Resume] = {}
        self._links = links
        self._publisher = publisher
        self._me = me
        self._others_settled: dict[int, list[int]] = {}
        self._pardoned: dict[Link, int] = {}  # who joined while this was published: not owed, but welcome

    def mine(self) -> int:
        """Deliveries that are still to come from this process's publisher, to those who read as fast as they can."""
        published, refused = self._publisher.published, self._publisher.refused
        total = 0
        for link in self._links:
            channel = link.channel
            if (link.expected <= published[channel] or link.missing) and not link.slow:
                total += without(self._outstanding(link), refused[channel])
        return total

    def by_others(self, others: Mapping[int, Published]) -> int:
        """The same of what other processes published, by publisher."""
        total = 0
        for publisher, published in others.items():
            for link, account in self._accounts_of(publisher):
                if not link.slow:
                    total += without(account.outstanding(published.last[link.channel]), published.refused[link.channel])
        return total

    def began(self, link: Link, published_when_asked: int) -> None:
        """A subscriber is served for the first time: from here on it is owed."""
        link.expected = published_when_asked + 1
        published = self._publisher.published[link.channel]
        if published > self._publisher.settled[link.channel]:
            self._pardoned[link] = published

    def account(self, link: Link, publisher: int, number: int | None) -> Account:
        """Its account of a publisher; another process's begins with ``number`` where the beginning is not known."""
        if publisher == self._me:
            return link
        if link.others is None:
            link.others = {}
        account = link.others.get(publisher)
        if account is None:
            settled = self._others_settled.get(publisher)
            begin = (settled[link.channel] if settled else 0) + 1
            if link in self._pardoned and number is not None:
                begin = number
            account = link.others[publisher] = Account(begin)
        return account

    def settle(self, others: Mapping[int, Published], deliveries: Deliveries) -> int:
        """Count what is outstanding, of this process's publisher and of others', as lost; how many were lost."""
        lost = self._settle_mine(deliveries)
        for publisher, theirs in others.items():
            if publisher != self._me:
                lost += self._settle_other(publisher, theirs, deliveries)
        deliveries.lost += lost
        self.resumes = {link: resume for link, resume in self.resumes.items() if link.state < OPEN}
        self._pardoned.clear()
        return lost

    def cut_off(self, link: Link, now: float) -> None:
        """Its open stream ended: only a replay can bring it what is published until it asks again."""
        before = self.resumes.get(link)
        self.resumes[link] = Resume(now, link.expected if before is None else before.first)

    def asked_again(self, link: Link, published: int) -> None:
        """It has asked, after so many were published."""
        resume = self.resumes.get(link)
        if resume is not None:
            resume.last = published

    def caught_up(self, link: Link, resume: Resume) -> None:
        """Forget that it was cut off, if it has all that only a replay could bring."""
        if link.expected > resume.last and not link.missing:
            del self.resumes[link]

    def _settle_mine(self, deliveries: Deliveries) -> int:
        lost = 0
        published, refused = self._publisher.published, self._publisher.refused
        for link in self._links:
            channel = link.channel
            if link.expected <= published[channel] or link.missing:
                outstanding = self._outstanding(link)
                owed = without(outstanding, refused[channel])
                link.settle(published[channel])
                if link.slow:
                    deliveries.slow_behind += owed
                else:
                    lost += owed
                    resume = self.resumes.get(link)
                    if resume is not None:
                        deliveries.unreplayed += within(outstanding, resume.first, resume.last)
        return lost

    def _settle_other(self, publisher: int, published: Published, deliveries: Deliveries) -> int:
        lost = 0
        for link, account in self._accounts_of(publisher):
            last = published.last[link.channel]
            owed = without(account.outstanding(last), published.refused[link.channel])
            account.settle(last)
            if link.slow:
                deliveries.slow_behind += owed
            else:
                lost += owed
        self._others_settled[publisher] = list(published.last)
        return lost

    def _accounts_of(self, publisher: int) -> Iterator[tuple[Link, Account]]:
        """Another process's accounts with who is owed something by it."""
        if publisher == self._me:
            return
        for link in self._links:
            if link.expected != NOT_BEGUN and (link not in self._pardoned or publisher in (link.others or ())):
                yield link, self.account(link, publisher, None)

    def _outstanding(self, link: Link) -> list[Range]:
        outstanding = link.outstanding(self._publisher.published[link.channel])
        pardoned = self._pardoned.get(link, 0) if self._pardoned else 0
        if not pardoned:
            return outstanding
        return [(max(start, pardoned + 1), stop) for start, stop in outstanding if stop > pardoned + 1]
