"""The worker processes of a soak: started, paused, killed and told to end, each by its own process id.

Rules:
- A place in the crew keeps its loop and its line to the servers; who is killed there is followed by another of a new name.
- A worker ends with the pipe on its stdin, should this process die of whatever.
- What a worker says on its stderr, and a code other than 0 that we did not cause, is trouble.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.soak.history import Trouble

ROOT = Path(__file__).parents[2]
LOOPS = ("asyncio", "uvloop", "eager")
ENDING = 40.0  # seconds from the word to the end; a worker notes by itself what hangs, long before


class Crew:
    """Places for workers. `settings` are what all are told, `lines` what each place is told of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any], lines: list[dict[str, str]]) -> None:
        self.folder, self.settings, self.lines = folder, settings, lines
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.names: dict[int, str] = {}
        self.started = 0
        self.troubles: list[Trouble] = []

    def start(self, place: int) -> None:
        """Put a new worker in a place."""
        self.started += 1
        name = self.names[place] = f"w{place}-{self.started}"
        own = {"name": name, "journal": str(self.folder / f"{name}.history"), "loop": LOOPS[place % len(LOOPS)]}
        with (self.folder / f"{name}.stderr").open("wb") as said:
            command = [sys.executable, "-W", "error", "-m", "tests.soak.worker"]
            worker = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=said, start_new_session=True)
        self.workers[place] = worker
        self._say(worker, json.dumps(self.settings | self.lines[place] | own))

    def kill(self, place: int) -> None:
        """End a worker in the middle of whatever it does."""
        worker = self.workers.pop(place)
        if worker.poll() is not None:
            self._trouble(place, f"had ended by itself, with code {worker.returncode}")
        worker.kill()
        worker.wait()
        self._listen(place, worker)

    def pause(self, place: int, seconds: float) -> None:
        """Stop a worker's time for a while. A shell does it, which lets it go on also when this process dies."""
        worker = self.workers[place]
        if worker.poll() is None:
            said = f"kill -STOP {worker.pid}; sleep {seconds:.3f}; kill -CONT {worker.pid}"
            subprocess.run(["/bin/sh", "-c", said], start_new_session=True, stderr=subprocess.DEVNULL, check=False)

    def end(self) -> None:
        """Tell all to finish what they have in hand, and wait for them."""
        for worker in self.workers.values():
            self._say(worker, "stop")
        until = time.monotonic() + ENDING
        for place, worker in self.workers.items():
            try:
                code = worker.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._trouble(place, "does not end")
                worker.kill()
                worker.wait()
            else:
                if code:
                    self._trouble(place, f"ended with code {code}")
            self._listen(place, worker)
        self.workers.clear()

    def abandon(self) -> None:
        """Kill whoever is left, when the run itself has failed."""
        for worker in self.workers.values():
            worker.kill()
            worker.wait()

    def _say(self, worker: subprocess.Popen[bytes], line: str) -> None:
        assert worker.stdin
        try:
            worker.stdin.write(f"{line}\n".encode())
            worker.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and its code tells why

    def _listen(self, place: int, worker: subprocess.Popen[bytes]) -> None:
        assert worker.stdin
        worker.stdin.close()
        said = (self.folder / f"{self.names[place]}.stderr").read_text(encoding="utf-8", errors="replace").strip()
        if said:
            self._trouble(place, f"said on stderr:\n{said[-3000:]}")

    def _trouble(self, place: int, what: str) -> None:
        self.troubles.append(Trouble(self.names[place], what))
