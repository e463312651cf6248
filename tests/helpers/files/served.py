"""Files served over HTTP, from where a client asks for them on, by a server whose connections can be made to break."""

import contextlib
import http.server
import re
import threading
from collections.abc import Iterator


class RangedHandler(http.server.BaseHTTPRequestHandler):
    """Serves `content()`, with ranges. A test makes a class of its own, since what stands here is shared by requests.

    Attributes:
        break_after: the connection is cut after so many bytes.
        etag: a range is served only to who has this one.
        ranges: what was asked for, in order; "" is all of it.
    """

    break_after: int | None = None
    etag = '"first"'
    ranges: list[str]

    def content(self) -> bytes:
        raise NotImplementedError

    def do_GET(self) -> None:
        content = self.content()
        asked = self.headers.get("Range")
        self.ranges.append(asked or "")
        start = 0
        if asked and self.headers.get("If-Range") == self.etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        self.send_response(206 if start else 200)
        self.send_header("ETag", self.etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content) if self.break_after is None else min(start + self.break_after, len(content))
        self.wfile.write(content[start:end])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served_by(handler: type[RangedHandler]) -> Iterator[str]:
    """The address of a server, for as long as the block lasts."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
