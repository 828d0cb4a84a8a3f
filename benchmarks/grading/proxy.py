"""A TCP proxy that delays: half the round-trip time each way, one whole for the connection.

`python -m benchmarks.grading.proxy TARGET_PORT RTT_MS COUNT` listens on COUNT ports and prints them on one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys


async def main() -> None:
    """Serve until killed."""
    target, rtt, count = int(sys.argv[1]), float(sys.argv[2]) / 1000, int(sys.argv[3])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(rtt)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        for one in (writer, far_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(pump(reader, far_writer, rtt / 2), pump(far_reader, writer, rtt / 2))

    servers = [await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256) for _ in range(count)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Hand on what comes, each piece `delay` seconds after it came."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)

    async def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = await pieces.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

    late = asyncio.create_task(deliver())
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            await pieces.put((loop.time() + delay, data))
    await pieces.put((loop.time() + delay, b""))
    await late


if __name__ == "__main__":
    asyncio.run(main())
