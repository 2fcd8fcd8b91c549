"""The agent's loop: takes news from one mailbox, folds it into the view, decides, hands the acts out.

It owns all state. Everything that takes time or touches the world is done by another task (`crew`), so
the loop never waits for anything but its mailbox, and the very same code runs in the simulation.
"""

from __future__ import annotations

from outlast.acts import Act, Exit
from outlast.apply import apply
from outlast.cadence import Pace
from outlast.crew import Crew
from outlast.decide import decide
from outlast.facts import AGENT_STARTED, note
from outlast.fold import fold, restarted_follower
from outlast.lease import LeasedBucket
from outlast.news import News, ShutdownAsked, Tick
from outlast.node_ports import Node, NodeTrouble
from outlast.ports import Bucket, Link, Runtime
from outlast.protocol.limits import LEASE_S
from outlast.protocol.messages import WriterRef
from outlast.protocol.objects import status_key
from outlast.protocol.values import replace
from outlast.telling import asking, build_report, report_due, said, status_due
from outlast.view import AgentView, Identity
from outlast.wake import go_on, wake_in_s

DECISIONS_A_ROUND = 20  # a decision may make way for the next one; more than this is a fault in the rules
NEWS_A_ROUND = 100
KILL_AGAIN_S = 0.5


class Agent:
    """One agent on one node. `run` blocks until the agent is told to stop and nothing holds it.

    `alone`: there is no controller, and the machine is not ours: when the lease is lost, only `run` ends.
    """

    def __init__(
        self,
        identity: Identity,
        runtime: Runtime,
        link: Link,
        bucket: Bucket,
        node: Node,
        *,
        lease_s: float = LEASE_S,
        pace: Pace | None = None,
        alone: bool = False,
    ) -> None:
        self._alone = alone
        self._identity = identity
        self._runtime = runtime
        self._link = link
        self._node = node
        self._lease_s = lease_s
        self._pace = pace if pace is not None else Pace()
        self._mailbox = runtime.mailbox()
        self._bucket = LeasedBucket(bucket, runtime, self._mailbox.put)
        self._why = ""
        self._alive_s = float("-inf")

    def shutdown(self, limit_s: float | None = None) -> None:
        """The operating system wants this process to end (SIGTERM). A shorter limit takes another's place."""
        self._mailbox.put(ShutdownAsked(limit_s))

    def run(self) -> int:
        # An earlier life of this agent may have died a moment ago: nothing of its trainer may write on.
        while not self._node.trainer.kill(0.0):
            self._runtime.sleep(KILL_AGAIN_S)
        view = self._first_view()
        crew = Crew(
            self._identity, self._runtime, self._link, self._bucket, self._node, self._mailbox.put, self._pace
        )
        news: News | None = Tick()
        while True:
            for _ in range(NEWS_A_ROUND):
                if news is None:
                    break
                view = self._take(crew, view, news)
                news = self._mailbox.get(0.0)
            view, stop = self._act(crew, view)
            words = said(view)  # it follows from assignment and notice alone
            view = self._tell(crew, view, words)
            if stop is not None:
                return stop.code
            self._touch(view.now_s)
            view, news = self._wait(view, words) if news is None else (self._at_now(view), news)

    def _first_view(self) -> AgentView:
        memory, now_s = self._node.disk.load(), self._runtime.boot_s()
        follower = memory.rank > 0 and not memory.writer and memory.generation > 0
        view = AgentView(
            identity=self._identity,
            now_s=now_s,
            woke_s=now_s,
            alive_s=now_s,
            born_s=now_s,
            lease_s=self._lease_s,
            pace=self._pace,
            alone=self._alone,
            # An assignment without a writer was never claimed: it may be taken on once more.
            generation_max=memory.generation if memory.writer or follower else max(0, memory.generation - 1),
            past=memory.past,
            stray=WriterRef(memory.generation, memory.writer) if memory.writer else None,
            remembered_rank=memory.rank,
            remembered_attempt=memory.attempt,
        )
        view = restarted_follower(view) if follower else view
        again = memory.writer or follower
        return note(view, AGENT_STARTED, "restarted on this node" if again else "started")

    def _wait(self, view: AgentView, words: str) -> tuple[AgentView, News | None]:
        """Sleeps until news comes or a rule wants to look again."""
        wait_s = wake_in_s(view, words)
        news = self._mailbox.get(wait_s)
        return self._at_now(view, wait_s), Tick() if news is None else news

    def _at_now(self, view: AgentView, wait_s: float = 0.0) -> AgentView:
        return go_on(view, self._runtime.boot_s(), wait_s)

    def _take(self, crew: Crew, view: AgentView, news: News) -> AgentView:
        after = fold(view, news)
        crew.follow(view, after, news)
        before, trouble = view.telling.link_trouble, after.telling.link_trouble
        if trouble != before:
            crew.say(f"reports do not get through: {trouble}" if trouble else "reports get through again")
        return after

    def _act(self, crew: Crew, view: AgentView) -> tuple[AgentView, Exit | None]:
        """Decides until nothing more is to be done now."""
        for _ in range(DECISIONS_A_ROUND):
            decision = decide(view)
            if decision.why != self._why:
                self._why = decision.why
                crew.say(decision.why)
            if not decision.acts:
                return view, None
            for act in decision.acts:
                if isinstance(act, Exit):
                    return view, act
                view = self._hand_out(crew, view, act)
        raise RuntimeError(f"the decision does not come to rest: {decision}")

    def _hand_out(self, crew: Crew, view: AgentView, act: Act) -> AgentView:
        after = apply(view, act)
        crew.carry_out(after, act)
        crew.follow(view, after, Tick())
        return after

    def _tell(self, crew: Crew, view: AgentView, words: str) -> AgentView:
        if report_due(view, words):
            telling = replace(
                view.telling,
                seq=view.telling.seq + 1,
                report_in_flight=True,
                reported_s=view.now_s,
                reported_state=words,
                report_now=False,
            )
            view = replace(view, telling=telling)
            crew.reports.send(build_report(view, self._why), asking(view))
        if status_due(view, words):
            telling = replace(
                view.telling,
                seq=view.telling.seq + 1,
                status_in_flight=True,
                status_s=view.now_s,
                status_state=words,
            )
            view = replace(view, telling=telling)
            crew.status.write(self._status_key(view), build_report(view, self._why))
        return view

    def _status_key(self, view: AgentView) -> str:
        """Without an assignment it has no place of its own; it only shows that the bucket takes writes."""
        if view.assignment is None:
            return f"status/idle-{self._identity.instance}.json"
        return status_key(view.assignment.generation, view.assignment.rank)

    def _touch(self, now_s: float) -> None:
        if now_s - self._alive_s < self._pace.alive_every_s:
            return
        self._alive_s = now_s
        try:
            self._node.disk.alive()
        except NodeTrouble as error:
            self._node.logs.say(f"the dead-man switch can't be kept off: {error}")
