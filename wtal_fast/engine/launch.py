"""One command in several processes on this machine that train together, ended and reported as one.

torchrun starts them too, over several machines if need be, but it buries an error under a table of its own and returns
1 whatever the processes returned.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

POLL_SECONDS = 0.05
GRACE_SECONDS = 3.0  # for the others to end by themselves once one has failed


def launch(arguments: list[str], count: int) -> int:
    """Runs `python -m wtal_fast ARGUMENTS` `count` times and returns 0 where all did, else the first process's exit
    code, else that of another that failed.

    The first process's output is shown, that of another only where it alone failed. Ctrl-C and SIGTERM reach each of
    them once, since each has a session of its own: all end the step, the first saves. CPU threads are divided unless
    OMP_NUM_THREADS says how many each has.
    """
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or count) // count))
    common = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": str(_free_port()), "OMP_NUM_THREADS": threads}
    with tempfile.TemporaryFile() as hidden:
        processes = []
        for rank in range(count):
            environment = os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            output = {} if rank == 0 else {"stdout": subprocess.DEVNULL, "stderr": hidden}
            processes.append(subprocess.Popen([sys.executable, "-m", "wtal_fast", *arguments], env=environment,
                                              stdin=subprocess.DEVNULL, start_new_session=True, **output))
        previous = {number: signal.signal(number, lambda number, _: _send(processes, number))
                    for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            codes = _wait(processes)
        finally:
            _send(processes, signal.SIGKILL)
            for number, handler in previous.items():
                signal.signal(number, handler)
        if not codes[0] and any(codes):
            hidden.seek(0)
            sys.stderr.write(hidden.read().decode(errors="replace"))
        return codes[0] or next((code for code in codes if code), 0)


def _wait(processes: list[subprocess.Popen]) -> list[int]:
    """The exit codes once all have ended, or GRACE_SECONDS after the first failure; 0 for what still runs then."""
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.poll() for process in processes):
            deadline = time.monotonic() + GRACE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    return [_exit_code(process.poll() or 0) for process in processes]


def _send(processes: list[subprocess.Popen], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def _exit_code(code: int) -> int:
    """As a shell gives it: a process that was stopped by Ctrl-C has 130."""
    return 128 - code if code < 0 else code


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
