"""A proxy that inspects TLS, as companies run them: it decrypts what passes with certificates of its own authority."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

PIECE = 1 << 16
TLS, REFUSED = b"\x16", b"HTTP/1.1 400 Bad Request\r\n\r\n"


class Proxy:
    """Forward each connection to an embedded site, whatever host it is for.

    Attributes:
        url: What HTTPS_PROXY is set to.
        asked: The hosts that were asked for.
    """

    def __init__(self, port: int, how: str = "") -> None:
        """Listen.

        Args:
            port: The port of the site on this machine.
            how: What is wrong: the status with which each connection is refused, such as "407 Denied", or the
                certificate ("expired", "another host"), or that there is none ("plain").
        """
        self._site, self._how = ("127.0.0.1", port), how
        self._authority = trustme.CA()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[str] = []

    def certificate(self, directory: Path) -> str:
        """Write the certificate of the authority to a file, and return its path."""
        path = directory / "authority.pem"
        self._authority.cert_pem.write_to_path(str(path))
        return str(path)

    def __enter__(self) -> Self:
        """Accept connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Refuse further connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = client.recv(1)
            if head == TLS:
                client.sendall(REFUSED)
                return
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            host = head.split(b" ", 2)[1].decode().partition(":")[0]
            self.asked.append(host)
            if self._how[:1].isdigit():
                client.sendall(f"HTTP/1.1 {self._how}\r\nContent-Length: 0\r\n\r\n".encode())
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if self._how == "plain":
                client.recv(PIECE)
                client.sendall(REFUSED)
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            name = "other.example" if self._how == "another host" else host
            until = datetime.now(timezone.utc) - timedelta(days=1) if self._how == "expired" else None
            self._authority.issue_cert(name, not_after=until).configure_cert(context)
            with context.wrap_socket(client, server_side=True) as inside:
                self._pass_on(inside)

    def _pass_on(self, client: ssl.SSLSocket) -> None:
        with socket.create_connection(self._site) as site:
            back = threading.Thread(target=_copy, args=(site, client), daemon=True)
            back.start()
            _copy(client, site)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
