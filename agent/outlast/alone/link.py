"""The lone agent's controller: answers its reports with what `judge` makes of the bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outlast.alone.judge import (
    EXIT_NEEDS_A_PERSON,
    Again,
    Done,
    Run,
    Sick,
    Sight,
    Wait,
    Watch,
    after,
    judge,
    look,
)
from outlast.bucket.generations import read_pointer, take_generation
from outlast.bucket.pointer import BadPointer
from outlast.clock import iso
from outlast.ports import Bucket, BucketError, Missing, Runtime
from outlast.protocol.codec import FormatError, dump, load
from outlast.protocol.messages import (
    OVER,
    AgentState,
    Command,
    CommandKind,
    Permission,
    Reply,
    Report,
    Work,
    WriterRef,
)
from outlast.protocol.objects import ManifestRef, Pointer, status_key

OWNER = "agent-run"  # one for all machines: whoever is started for the same job goes on with it
ATTEMPT_BYTES = 6
MANIFESTS = "manifests/"
AT_WORK = (AgentState.RESTORING, AgentState.RUNNING, AgentState.DRAINING)


@dataclass(frozen=True)
class Told:
    """For whoever shows it: the newest report, and what this side says to it."""

    report: Report
    words: str


class LoneLink:
    """The port `Link`, used by the report task (and `hang`, which only waits, by its own).

    `stop` ends the agent's process once nothing is left to do; `done` then says how it came to that.
    """

    witness = False  # nobody else hears these reports: only the bucket renews the lease

    def __init__(
        self,
        runtime: Runtime,
        bucket: Bucket,
        job: str,
        work: Work,
        *,
        lease_s: float,
        restart: bool,
        look_every_s: float,
        stop: Callable[[], None],
        show: Callable[[Told], None],
        note: Callable[[str, str], None],
    ) -> None:
        """`note(kind, text)`: an event, or (kind "") a word of this side."""
        self._runtime = runtime
        self._bucket = bucket
        self._job = job
        self._work = work
        self._lease_s = lease_s
        self._restart = restart
        self._look_every_s = look_every_s
        self._stop = stop
        self._show = show
        self._note = note
        self._watch = Watch()
        self._assigned: Command | None = None
        self._claimed = False
        self._began_at: ManifestRef | None = None
        self._sick: Sick | None = None
        self._next_look_s = float("-inf")
        self._closing: tuple[WriterRef, ...] | None = None
        self._facts_until = 0
        self._words = ""
        self.done: Done | None = None
        self.assigned = False  # ever: then there is a log in the bucket

    def hang(self, timeout_s: float) -> Reply | None:
        self._runtime.sleep(timeout_s)
        return None

    def report(self, report: Report) -> Reply:
        self._tell_facts(report)
        run = self._answer(report) if self.done is None else None
        self._show(Told(report, self._words))
        commands: tuple[Command, ...] = ()
        if self._assigned is not None and self.done is None:
            commands = (self._assigned,)
            if run is not None:
                commands += (Command(CommandKind.RUN, self._assigned.generation, permission=run),)
        return Reply(commands, lease_s=self._lease_s, facts_until=self._facts_until)

    def _answer(self, report: Report) -> Permission | None:
        mine = self._assigned is not None and report.generation == self._assigned.generation
        if self._assigned is None:
            self._plan()
        elif mine and report.state in OVER:
            self._over(report)
        elif mine and report.state in AT_WORK:
            self._claimed, self._words = True, ""
        elif mine and report.state is AgentState.WAITING:
            return self._may_claim()
        return None

    def _tell_facts(self, report: Report) -> None:
        for fact in report.facts:
            if fact.id > self._facts_until:
                self._facts_until = fact.id
                self._note(fact.kind, fact.why)

    def _say(self, words: str) -> None:
        if words != self._words:
            self._words = words
            self._note("", words)

    def _finish(self, done: Done) -> None:
        self.done = done
        self._stop()

    # what a controller would do

    def _plan(self) -> None:
        """Takes a number, unless the job is over already."""
        sight = self._look()
        if sight is None:
            return
        verdict = self._judge(sight)
        if isinstance(verdict, Done):
            self._finish(verdict)
            return
        attempt = f"at-{self._runtime.token(ATTEMPT_BYTES)}"
        above = sight.pointer.generation + 1 if sight.pointer is not None else 1
        try:
            generation = take_generation(self._bucket, above, OWNER, attempt, iso(self._runtime.wall_s()))
        except BucketError as error:
            self._say(f"no number could be taken: {error}")
            return
        self._claimed, self.assigned = False, True
        self._began_at = sight.pointer.head if sight.pointer is not None else None
        self._assigned = Command(CommandKind.ASSIGN, generation, attempt=attempt, work=self._work)
        self._next_look_s = float("-inf")

    def _may_claim(self) -> Permission | None:
        """Only from a reading made for this very question."""
        if self._runtime.boot_s() < self._next_look_s:
            return None
        sight = self._look()
        if sight is None:
            return None
        verdict = self._judge(sight)
        if isinstance(verdict, Run):
            if verdict.permission.closed != self._closing:
                self._closing = verdict.permission.closed  # told once, however often the claim is tried
                self._say(verdict.why)
            self._began_at = sight.pointer.head if sight.pointer is not None else None
            return verdict.permission
        if isinstance(verdict, Done):
            self._finish(verdict)
        else:
            self._next_look_s = self._runtime.boot_s() + self._look_every_s
        return None

    def _judge(self, sight: Sight) -> Run | Wait | Done:
        self._watch = look(self._watch, sight)
        verdict = judge(self._watch, sight, lease_s=self._lease_s, restart=self._restart)
        if isinstance(verdict, Wait):
            self._say(verdict.why)
        return verdict

    def _over(self, report: Report) -> None:
        verdict = after(report, claimed=self._claimed, began_at=self._began_at, sick=self._sick)
        try:
            # Its last word: the process may end before the status object is due again.
            self._bucket.put(status_key(report.generation, report.rank), dump(report))
        except BucketError as error:
            self._note("", f"the last status could not be written: {error}")
        if isinstance(verdict, Again):
            if verdict.unhealthy:
                self._sick = Sick(report.save.durable)
            self._say(verdict.why)
            self._assigned = None
            self._plan()
        else:
            self._finish(verdict)

    # what is read

    def _look(self) -> Sight | None:
        begun_s = self._runtime.boot_s()
        try:
            read = read_pointer(self._bucket, OWNER, self._job)
            if read is None:
                step = self._orphaned_step()
                return Sight(begun_s, self._runtime.boot_s(), None, orphaned_step=step)
            return self._sight(begun_s, *read)
        except BadPointer as error:
            self._finish(Done(EXIT_NEEDS_A_PERSON, str(error)))
        except BucketError as error:
            self._say(f"the bucket can't be read: {error}")
        return None

    def _sight(self, begun_s: float, pointer: Pointer, version: str) -> Sight:
        status, lease_s, who, step = "", None, "", None
        try:
            blob = self._bucket.get(status_key(pointer.generation, 0))
            status = blob.version
            told = load(Report, blob.body)
            lease_s, who, step = told.lease_s, told.instance, told.step
        except (Missing, FormatError) as error:
            who = "" if isinstance(error, Missing) else "a machine whose status can't be read"
        ended_s = self._runtime.boot_s()
        return Sight(begun_s, ended_s, pointer, version, status, lease_s, who, step)

    def _orphaned_step(self) -> int | None:
        """A manifest without a pointer: somebody removed it. The claim must not start at 0."""
        steps = [
            int(name.partition("-")[0])
            for info in self._bucket.list(MANIFESTS)
            if (name := info.key.removeprefix(MANIFESTS)).partition("-")[0].isdecimal()
        ]
        return max(steps, default=None)
