"""A server on the bare socket, for answers that no HTTP library would give."""

import socket
import threading


class BareServer:
    """Hands each connection to `answer`, in a thread of its own.

    Attributes:
        port: where it listens.
        host: that port of 127.0.0.1.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.listener = socket.create_server((address, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        """Say what is to be said."""
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()
