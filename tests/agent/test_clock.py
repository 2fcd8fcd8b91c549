"""The real runtime: clocks that never go back, mailboxes, and tasks of which none is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

from outlast.clock import EXIT_TASK_DIED, SystemRuntime, iso
from outlast.priority import NICE

LIMIT_S = 60.0


def test_clocks_go_forward_and_the_boot_clock_runs_at_least_as_far() -> None:
    runtime = SystemRuntime()
    before, boot = runtime.monotonic_s(), runtime.boot_s()
    runtime.sleep(0.0)
    runtime.sleep(-1.0)
    assert runtime.monotonic_s() >= before
    assert runtime.boot_s() >= boot
    assert runtime.boot_s() >= before


def test_times_for_people_are_in_utc() -> None:
    assert iso(0.0) == "1970-01-01T00:00:00Z"
    assert iso(1_700_000_000.9) == "2023-11-14T22:13:20Z"


def test_tokens_are_hex_of_the_length_asked_for_and_never_the_same() -> None:
    runtime = SystemRuntime()
    tokens = {runtime.token(8) for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 16 and int(token, 16) >= 0 for token in tokens)
    assert 0.0 <= runtime.uniform() < 1.0


def test_a_mailbox_carries_items_between_tasks_in_order() -> None:
    runtime = SystemRuntime()
    there, back = runtime.mailbox(), runtime.mailbox()

    def echo() -> None:
        for _ in range(3):
            back.put(there.get(LIMIT_S))

    runtime.spawn("echo", echo)
    for item in (1, 2, 3):
        there.put(item)
    assert [back.get(LIMIT_S) for _ in range(3)] == [1, 2, 3]
    assert back.get(0.0) is None
    assert back.get(-1.0) is None


def _end_of(task: str) -> tuple[int, str]:
    script = textwrap.dedent(
        f"""
        import sys
        from outlast.clock import SystemRuntime
        def task():
            {task}
        runtime = SystemRuntime()
        runtime.spawn("the task", task)
        runtime.sleep({LIMIT_S})
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return done.returncode, done.stderr


def test_a_task_that_raises_ends_the_process_with_its_traceback() -> None:
    code, err = _end_of("raise RuntimeError('no checkpoint for you')")
    assert code == EXIT_TASK_DIED
    assert "the task" in err
    assert "RuntimeError: no checkpoint for you" in err


def test_a_task_that_exits_is_not_lost_either() -> None:
    code, err = _end_of("sys.exit(0)")
    assert code == EXIT_TASK_DIED
    assert "SystemExit" in err


def test_a_task_that_gives_way_has_a_lower_priority_and_so_have_its_threads_and_no_others() -> None:
    runtime, mine = SystemRuntime(), os.nice(0)
    nices = runtime.mailbox()

    def tell() -> None:
        nices.put(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def tell_and_start() -> None:
        tell()
        thread = threading.Thread(target=tell)
        thread.start()
        thread.join()

    runtime.spawn("busy", tell_and_start, gives_way=True)
    assert [nices.get(LIMIT_S), nices.get(LIMIT_S)] == [max(NICE, mine)] * 2
    runtime.spawn("pointer", tell)
    assert nices.get(LIMIT_S) == mine
