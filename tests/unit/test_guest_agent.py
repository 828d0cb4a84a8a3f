"""The guest agent's channel, when whoever owns the machine speaks in the agent's place."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError
from labs.hypervisors.qemu.guest_agent import GuestAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Channel(socketserver.ThreadingUnixStreamServer):
    """Answers each line as `answer` says; None: nothing more than noise, for ever."""

    daemon_threads = True

    def __init__(self, path: Path, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        super().__init__(str(path), Voice)


class Voice(socketserver.StreamRequestHandler):
    server: Channel

    def handle(self) -> None:
        for line in self.rfile:
            told = self.server.answer(line)
            while told is None:
                try:
                    self.wfile.write(b"y\n" * 100)
                except OSError:
                    return
                time.sleep(0.001)
            self.wfile.write(told)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[[Callable[[bytes], bytes | None]], GuestAgent]]:
    """A machine's agent that says what a function says."""
    channels: list[Channel] = []

    def speaking(answer: Callable[[bytes], bytes | None]) -> GuestAgent:
        channels.append(Channel(tmp_path / "qga.sock", answer))
        threading.Thread(target=channels[-1].serve_forever, daemon=True).start()
        return GuestAgent(tmp_path)

    yield speaking
    for channel in channels:
        channel.shutdown()
        channel.server_close()


def agreeing(answer: bytes) -> Callable[[bytes], bytes]:
    """Synchronises as an agent does, and then says `answer` to everything."""

    def told(line: bytes) -> bytes:
        asked = json.loads(line.lstrip(b"\xff"))
        if asked["execute"] == "guest-sync-delimited":
            return b"\xff" + json.dumps({"return": asked["arguments"]["id"]}).encode() + b"\n"
        return answer

    return told


@pytest.mark.parametrize("noise", [lambda _line: None, lambda _line: b"\xff{\n", lambda _line: b"\xff[]\n"])
def test_noise_is_no_answer_and_ends_with_the_deadline(
    agent: Callable[..., GuestAgent], noise: Callable[[bytes], bytes | None]
) -> None:
    began = time.monotonic()
    with pytest.raises(HypervisorError, match="its guest agent does not answer"):
        agent(noise).ping(Deadline.after(1.5))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "answer",
    [
        b'{"return": {}}',
        b'{"return": 7}',
        b"[]",
        b"7",
        b"\xff\xfe",
        b'{"error": 7}',
        b'{"no": 1}',
        b'{"return": {"pid": 1, "exited": true, "exitcode": "x"}}',
        b'{"return": {"pid": 1, "exited": true, "exitcode": 0, "out-data": "a"}}',
    ],
)
def test_an_answer_of_another_shape_is_one_error(agent: Callable[..., GuestAgent], answer: bytes) -> None:
    with pytest.raises((HypervisorError, DeadlineError), match="does not answer as one"):
        agent(agreeing(answer + b"\n")).execute(["/bin/true"], Deadline.after(3))


def test_an_agent_that_answers_as_one(agent: Callable[..., GuestAgent]) -> None:
    answer = b'{"return": {"pid": 1, "exited": true, "exitcode": 3, "out-data": "b3Vp"}}\n'
    found = agent(agreeing(answer)).execute(["/bin/true"], Deadline.after(3))
    assert (found.exit_status, found.stdout) == (3, b"oui")
