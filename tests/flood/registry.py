"""A registry that speaks RDAP (RFC 9083), on loopback: domains and when they were registered."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def registry(domains: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Serves domain → date of registration; its base URL, and the names that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/rdap/domain/")
            asked.append(name)
            date = domains.get(name)
            event = {"eventAction": "registration", "eventDate": date}
            found = {"objectClassName": "domain", "ldhName": name.upper(), "events": [event]}
            body = json.dumps(found).encode()
            self.send_response(404 if date is None else 200)
            self.send_header("Content-Type", "application/rdap+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/rdap/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
