"""A server on a plain socket, for answers that no HTTP library would send."""

import socket
import threading


class BareServer:
    """Calls `answer` for each connection, in its own thread.

    Attributes:
        port: the port it listens on.
        host: `127.0.0.1:<port>`.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.listener = socket.create_server((address, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        """Read the request and send an answer."""
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()
