"""What callers out of one thread stand on: stamped sockets, and a loop that keeps time without any task.

What arrives bears the kernel's time, so the loop may sleep while packets come. All times are of the wall
clock, the kernel's own for packets.
"""

import heapq
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from tests.sip.rtp import FRAME_S

SLOTS = 10
SLOT_S = FRAME_S / SLOTS
"""Every call sends in one of ten slots of 2 ms, so the loop wakes 500 times a second at most."""

RECEIVE_BUFFER = 8 * 1024 * 1024
LARGEST = 4096
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
"""Linux; the socket module has no names for them."""

_TIMESTAMP = struct.Struct("@qq")
CONTROL = socket.CMSG_SPACE(_TIMESTAMP.size)


def stamp(control: list[tuple[int, int, bytes]]) -> float:
    """When the kernel took the datagram in."""
    seconds, nanoseconds = _TIMESTAMP.unpack_from(control[0][2])
    return float(seconds + nanoseconds / 1e9)


def stamped_socket(host: str, port: int = 0) -> socket.socket:
    """A UDP socket that never blocks; `recvmsg` with `CONTROL` tells when each datagram came."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    # Root may have more than the system's limit.
    with suppress(PermissionError):
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    made.setblocking(False)
    made.bind((host, port))
    return made


def stamped_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """RTP, and the next port for RTCP: nobody reads it, it only must not be refused."""
    while True:
        rtp = stamped_socket(host)
        try:
            return rtp, stamped_socket(host, rtp.getsockname()[1] + 1)
        except OSError:
            rtp.close()


class Loop:
    """Slots of 2 ms, and actions at their time, all in the thread that calls `turn`."""

    def __init__(self) -> None:
        self.slot = 0
        self._actions: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def clear(self) -> None:
        """Forget what was still to be done."""
        self._actions.clear()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do something once it is so late (seconds since the epoch)."""
        self._count += 1
        heapq.heappush(self._actions, (moment, self._count, action))

    def turn(
        self,
        goes_on: Callable[[], bool],
        send: Callable[[float], None],
        receive: Callable[[], None],
        signalling: Sequence[socket.socket],
    ) -> None:
        """Until `goes_on` says no: `send` what is due in each slot, given when that was; `receive` all.

        Only SIP (`signalling`) wakes the loop: audio waits in the buffer, with the time it came.
        """
        due = time.time()
        while goes_on():
            now = time.time()
            while due <= now:
                self.slot = (self.slot + 1) % SLOTS
                send(due)
                due += SLOT_S
            while self._actions and self._actions[0][0] <= now:
                heapq.heappop(self._actions)[2]()
            receive()
            pause = due - time.time()
            if pause > 0:
                select.select(signalling, [], [], pause)
