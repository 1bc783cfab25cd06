"""Polls leave: each contact is asked what waits there for the owner. Spec: 06 §poll."""

from collections.abc import Callable

import trio

from node import limits
from node.machines import peer as peers
from node.machines import retry
from node.machines.rows import Peer
from node.objects.answer import Answer, PollAnswer
from node.objects.introduction import POLL, Poll
from node.ports import Tables
from node.services import meet
from node.services.admit import Admission
from node.services.calls import Calls
from node.services.core import Core
from node.services.greet import Met
from node.units import Instant, Millis


class Asker:
    """Polls contacts."""

    def __init__(self, core: Core, calls: Calls, admission: Admission) -> None:
        self._core, self._calls, self._admission = core, calls, admission

    async def ask(self, met: Met) -> None:
        """Asks the peer what waits there, if that is due, while it says that there is more.

        Raises:
            Unreachable: no usable answer.
            Unverified: it answered with what it had not signed.
        """
        now, jitter = self._core.now(), self._core.jitter()
        if met.peer.poll_at is None or met.peer.poll_at > now:
            return
        since, later = met.peer.since, Instant(now + retry.moved(self._every(met), jitter))
        kept, all_taken = since, True
        for _ in range(limits.POLLS):
            answer = await self._poll(met, since)
            if not isinstance(answer, PollAnswer):
                self._note(met, lambda row: peers.on_poll_refused(row, now, jitter))
                self._learn(met, answer, now)
                return
            for signed in answer.batches:
                taken = await self._admission.polled(signed, met.peer.did, met.at.origin)
                all_taken = all_taken and taken
            # Only a poll that brought us further is followed by another one. Lower than what we
            # asked from is an author's `now` that was restored: its new clock counts.
            further = answer.more and answer.now != since
            since = answer.now
            # What was refused for now is told again only to who asks for it again.
            kept = since if all_taken else kept
            self._note(met, lambda row, to=kept: peers.on_poll_answer(row, to, later))  # type: ignore[misc]
            if not further:
                return
            await trio.sleep(0.001)  # `issued` must grow
        soon = Instant(self._core.now() + limits.POLLS_PAUSE)
        self._note(met, lambda row: peers.on_poll_answer(row, kept, soon))

    def _every(self, met: Met) -> Millis:
        """How often: whoever can't call us can't tell us either."""
        called = self._core.is_called_from(met.at.origin)
        return limits.POLL_EVERY if called else limits.POLL_INSTEAD

    async def _poll(self, met: Met, since: Instant) -> PollAnswer | Answer:
        asked = Poll(
            sender=met.owner.owner,
            to=met.peer.did,
            since=since,
            issued=self._core.now(),
            lost=met.peer.lost,
        )
        return await self._calls.poll(met.at, POLL.sign(asked, met.owner.signing))

    def _learn(self, met: Met, answer: Answer, now: Instant) -> None:
        """Whom it asked has another key now: that is told instead."""
        told = answer.record
        if told is None or told.claim.id != met.peer.did:
            return
        told.verify()
        self._core.db.apply(
            lambda tx: meet.learn(tx, met.owner.owner, met.peer.did, told.block, now)
        )

    def _note(self, met: Met, fact: Callable[[Peer], Peer]) -> None:
        def work(tx: Tables) -> None:
            row = tx.peers.get(met.owner.owner, met.peer.did)
            if row is not None:
                tx.peers.put(fact(row))

        self._core.db.apply(work)
