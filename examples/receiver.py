#!/usr/bin/env python3
"""An app that receives webhooks through hookward: Python's standard library and nothing else.

    python3 examples/receiver.py --port 3000

It listens on loopback only, so whatever arrives has come through hookward, and it may believe the Hookward-* headers:
hookward strips what a sender puts there. It does each delivery once, however often hookward has to ask.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

# A real app keeps this in its database, in the transaction that does the work.
done = set()
done_lock = Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        source = self.headers.get("Hookward-Source")
        delivery = self.headers.get("Hookward-Delivery")
        if source is None or delivery is None:
            # Someone on this machine who has not asked hookward.
            return self.answer(403, {"error": "not through hookward"})
        with done_lock:
            again = (source, delivery) in done
            done.add((source, delivery))
        event = self.headers.get("Hookward-Event", "?")
        attempt = self.headers.get("Hookward-Attempt", "?")
        verified = self.headers.get("Hookward-Verified", "?")
        what = "seen before" if again else "done"
        print(f"{source} {event} {delivery} attempt={attempt} verified={verified} bytes={len(body)} {what}", flush=True)
        self.answer(200, {"delivery": delivery, "seen_before": again})

    def answer(self, status, fields):
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """One line a delivery is enough."""


def main():
    arguments = argparse.ArgumentParser(description="receives webhooks from hookward")
    arguments.add_argument("--port", type=int, default=3000, help="0 takes a free one")
    server = ThreadingHTTPServer(("127.0.0.1", arguments.parse_args().port), Receiver)
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
