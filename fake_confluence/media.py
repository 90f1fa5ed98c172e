"""The host that serves files: it accepts no credential, only signed URLs, which expire."""

from __future__ import annotations

import random
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from fake_confluence.responses import Response

if TYPE_CHECKING:
    from fake_confluence.server import Request
    from fake_confluence.site import Record, Site

_BLOCK = 1 << 16


class Media:
    """Signed URLs and their files.

    Attributes:
        url: The address of the host, once it listens.
        lifetime: The seconds for which a signed URL is valid.
        log: The requests to this host.
    """

    def __init__(self, site: Site, lifetime: float = 60.0) -> None:
        """Serve the attachments of a site."""
        self.url = ""
        self.lifetime = lifetime
        self.log: list[Request] = []
        self._site = site
        self._signed: dict[str, tuple[str, float]] = {}

    def sign(self, attachment: Record) -> str:
        """Return a URL that serves the file of an attachment until it expires."""
        token = secrets.token_hex(16)
        self._signed[token] = attachment["id"], time.monotonic() + self.lifetime
        return (
            f"{self.url}/file/{attachment['fileId']}/binary?token={token}&name={quote(attachment['title'])}"
        )

    def expire(self) -> None:
        """Expire all signed URLs now."""
        self._signed.clear()

    def respond(self, request: Request) -> Response:
        """Return a file or an error."""
        token = next(iter(request.values("token")), "")
        attachment_id, until = self._signed.get(token, ("", 0.0))
        if time.monotonic() >= until:
            return Response(403, b'{"error":{"code":"Forbidden","title":"The token has expired"}}')
        found = self._site.find("attachments", "id", attachment_id)
        if not found:
            return Response(404, b'{"error":{"code":"NotFound","title":"There is no such file"}}')
        return Response(200, file_of(found[0]), {"Content-Type": found[0]["mediaType"]})


def file_of(attachment: Record) -> bytes:
    """Return the file of an attachment: `_file`, or random bytes that are always the same."""
    if "_file" in attachment:
        return bytes(attachment["_file"])
    size: int = attachment["fileSize"]
    seed = f"{attachment['id']} {attachment['version']['number']}"
    block = random.Random(seed).randbytes(min(size, _BLOCK))
    return (block * (size // _BLOCK + 1))[:size]
