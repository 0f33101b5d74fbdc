#!/usr/bin/env python3
"""An app that receives webhooks through hookward: Python's standard library and nothing else.

    python3 examples/receiver.py --port 3000

The app listens on loopback only, so every request has come through hookward, and the app may trust the Hookward-* headers:
hookward removes those that a sender sets. The app processes each delivery once, however many attempts arrive:

- It deduplicates on Hookward-Source and Hookward-Delivery together.
- Hookward-Redelivery: true. An operator ran `hookward forget`, so the app processes a known delivery once more.
- Hookward-Repeat: true or unknown. The content was delivered before, as an honest repeat or as a replay of a captured
  request. The app reads the current state from the provider instead of acting on the body, so a replay changes nothing.
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
            # A process on this machine sent it past hookward.
            return self.answer(403, {"error": "not through hookward"})
        with done_lock:
            known = (source, delivery) in done
            done.add((source, delivery))
        redelivery = self.headers.get("Hookward-Redelivery") == "true"
        repeat = self.headers.get("Hookward-Repeat")
        if known and not redelivery:
            result = "seen before"
        elif repeat is not None:
            result = "state read from the provider"
        elif redelivery:
            result = "done again"
        else:
            result = "done"
        event = self.headers.get("Hookward-Event", "?")
        attempt = self.headers.get("Hookward-Attempt", "?")
        verified = self.headers.get("Hookward-Verified", "?")
        print(f"{source} {event} {delivery} attempt={attempt} verified={verified} bytes={len(body)} {result}", flush=True)
        self.answer(200, {"delivery": delivery, "result": result})

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
