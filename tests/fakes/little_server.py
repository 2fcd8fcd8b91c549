"""A program that starts like the real server, as far as `server start -d` can see, or fails to."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"ok": True, "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(manner: str) -> int:
    print(f"starting in session {os.getsid(0)}", file=sys.stderr, flush=True)
    if manner == "dies":
        print("outlast: the store is read-only", file=sys.stderr)
        return 4
    server = HTTPServer(("127.0.0.1", 0), Health)
    if manner == "answers":
        url = f"http://127.0.0.1:{server.server_port}"
        file = Path(os.environ["OUTLAST_HOME"]) / "server.json"
        file.with_suffix(".new").write_text(json.dumps({"url": url, "pid": os.getpid(), "started": 0}))
        file.with_suffix(".new").replace(file)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
