"""An API with sign-in, as small as the tests need it: it counts what it is asked, and does what it is told to."""

import json
import threading
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional

EMAIL = "ada@acme.example"
PASSWORD = "correct-horse-battery"


@dataclass
class Asked:
    method: str
    path: str
    headers: Any
    body: Any


@dataclass
class Kept:
    good: str
    org: str
    used: Optional[str] = None


class FakeServer:
    def __init__(self):
        self.asked = []
        # What to do instead of answering, once each, by path: a function of what was asked and the handler.
        self.instead = defaultdict(list)
        self.lifetime = 3600
        self.tokens = set()
        self.sessions = []
        self.members = ["north", "south"]
        self._made = 0
        self._lock = threading.RLock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body go out together: Nagle's algorithm would keep the body back.
            wbufsize = -1

            def do_GET(self):
                if self.headers.get("Transfer-Encoding") == "chunked":
                    text = b""
                    while size := int(self.rfile.readline(), 16):
                        text += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                is_json = self.headers.get("Content-Type") == "application/json"
                body = json.loads(text) if is_json and text else text.decode()
                asked = Asked(self.command, self.path, self.headers, body)
                with fake._lock:
                    fake.asked.append(asked)
                    waiting = fake.instead[self.path]
                    instead = waiting.pop(0) if waiting else fake.answer
                instead(asked, self)

            do_DELETE = do_POST = do_GET

            def log_message(self, format, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            # Fifty come at once.
            request_queue_size = 128

        self._http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self._http.shutdown()
        self._http.server_close()

    def count(self, what):
        return sum(asked.path == f"/auth/v1/{what}" for asked in self.asked)

    @property
    def requests(self):
        """Everything that was asked at paths of the API."""
        return [asked for asked in self.asked if not asked.path.startswith("/auth/")]

    def next(self, path, *instead):
        self.instead[path].extend(instead)

    def begin(self, org=None):
        self.sessions.append(Kept(self._make("rt"), org or "north"))
        return self.sessions[-1].good

    def revoke_all(self):
        self.tokens.clear()

    def _make(self, kind):
        self._made += 1
        return f"{kind}_{self._made}"

    def answer(self, asked, handler):
        with self._lock:
            status, value = self._answer(asked)
        send(handler, status, value)

    def _answer(self, asked):
        refused = {"error": "this is refused"}
        body = asked.body
        if asked.path == "/auth/v1/sign-in":
            if (body["email"], body["password"]) != (EMAIL, PASSWORD):
                return 401, refused
            if body.get("org_id", "north") not in self.members:
                return 403, refused
            self.begin(body.get("org_id"))
            return 200, self._signed_in(self.sessions[-1])
        if asked.path == "/auth/v1/refresh":
            shown = body["refresh_token"]
            kept = next((kept for kept in self.sessions if shown in (kept.good, kept.used)), None)
            if kept is None:
                return 401, refused
            if body.get("org_id", kept.org) not in self.members:
                return 403, refused
            if kept.good == shown:
                kept.used, kept.good = shown, self._make("rt")
            if body.get("org_id", kept.org) != kept.org:
                self.begin(body["org_id"])
                kept = self.sessions[-1]
            return 200, self._signed_in(kept)
        if asked.path == "/auth/v1/revoke":
            self.tokens.discard(body["token"])
            self.sessions = [kept for kept in self.sessions if body["token"] not in (kept.good, kept.used)]
            return 200, {}
        bearer = asked.headers.get("Authorization", "").replace("Bearer ", "")
        if bearer not in self.tokens:
            return 401, refused
        if asked.path == "/auth/v1/sign-out":
            self.tokens.discard(bearer)
            return 204, None
        return 200, {"data": []}

    def _signed_in(self, kept):
        token = self._make("at")
        self.tokens.add(token)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "refresh_token": kept.good,
            "tenant_id": "acme",
            "org_id": kept.org,
            "role": "ADMIN",
        }


def send(handler, status, value=None, **headers):
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    handler.send_response(status)
    for name, content in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), content)
    if status != 204:
        handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text.encode())
    handler.wfile.flush()


def refuse(status, **headers):
    return lambda asked, handler: send(handler, status, {"error": "this is refused"}, **headers)


def redirect(status, location):
    return lambda asked, handler: send(handler, status, Location=location)


def break_off(asked, handler):
    """Closes the connection, and answers nothing."""
    handler.close_connection = True


class Later:
    """An answer that comes when told to."""

    def __init__(self, answer):
        self.arrived = threading.Event()
        self.released = threading.Event()
        self._answer = answer

    def __call__(self, asked, handler):
        self.arrived.set()
        assert self.released.wait(10)
        self._answer(asked, handler)
