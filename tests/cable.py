"""A cable between two programs that a test can cut: a TCP relay on loopback, in threads of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

CHUNK = 65536


class Cable:
    """Relays connections from `port` to `far_port`. Cut silently, its ends learn nothing."""

    def __init__(self, far_port: int) -> None:
        self.far_port = far_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._flowing = threading.Event()
        self._sockets: list[socket.socket] = []
        self._cut: list[socket.socket] = []
        self._refusing = False
        self._flowing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_silently(self) -> None:
        """What flows now is cut without a word; connections made from now on work."""
        self._flowing.clear()
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets, self._cut = [], self._cut + self._sockets

    def give_up(self) -> None:
        """Both ends of what was cut silently are told at last, as TCP tells them after some minutes."""
        cut, self._cut = self._cut, []
        _close(cut)

    def unplug(self) -> None:
        """Cut everything, with a reset, and refuse what comes, until `plug`."""
        self._refusing = True
        self._close_all()

    def plug(self) -> None:
        self._refusing = False

    def close(self) -> None:
        self._refusing = True
        self._listener.close()
        self._close_all()

    def _close_all(self) -> None:
        sockets, self._sockets = self._sockets, []
        _close(sockets)
        self.give_up()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._refusing:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self.far_port), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                pump = threading.Thread(target=_pump, args=(source, target, self._flowing), daemon=True)
                pump.start()


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def _pump(source: socket.socket, target: socket.socket, flowing: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            if not flowing.is_set():
                # Cut: what was sent is lost, and neither side hears of the other's end.
                continue
            target.sendall(data)
        if flowing.is_set():
            target.shutdown(socket.SHUT_WR)


@contextmanager
def cable_to(far_port: int) -> Iterator[Cable]:
    with closing(Cable(far_port)) as cable:
        yield cable
