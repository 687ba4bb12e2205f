"""The three checks that let a request in, for FastAPI or any other ASGI application. Copy this file.

1. The principal token is signed by a key that Claviger publishes, is of the right type and has not expired.
2. It was made for an audience of this API.
3. The binding ties it to this very request, so a token that leaked from one request opens no other.

Headers such as `X-Tenant-ID` are not looked at: anybody who reaches this port can write them.

The guard stands before the whole application, so that no route can be forgotten. Behind it, `scope["visitor"]` is a
`Caller` or a `Public`, which only those checks make.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import re
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

log = logging.getLogger("claviger.guard")

# How far the clocks of Claviger and this server may differ, in seconds.
LEEWAY = 5
# The longest life of a principal token, in seconds.
LONGEST_LIFE = 30
# How far the time in a binding may be from this server's, in seconds.
BINDING_AGE = 30

# How long a fetch of the public keys may take, in seconds.
FETCH_TIME = 2
# Between two fetches, in seconds, so that made-up key ids cost Claviger little.
FETCH_PAUSE = 1
# From what age on the keys are fetched anew, in seconds: one that was taken back is to be forgotten.
KEPT = 300
# Up to what age they are believed while Claviger cannot be asked, in seconds.
BELIEVED = 3600

# One `.` between the parts, and a time that has one spelling.
BINDING = re.compile(rb"v1\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Caller:
    """Whom Claviger let in."""

    audience: str
    # The id of an API key, or of an account.
    subject: str
    # What was shown to Claviger: "api-key", "identity-token" or "user-token".
    kind: str
    realm: str
    tenant_id: str
    org_id: str
    # "live" or "test": the sandbox's data are not the real ones.
    environment: str
    # The member's role. A key has none.
    role: str | None
    # Resource to "read", "write" or "admin"; "*" is every resource.
    access: Mapping[str, str]


@dataclass(frozen=True)
class Public:
    """Anybody, at a route that Claviger's settings open to everybody."""

    audience: str


class Refused(Exception):
    """The request did not come through Claviger, or not as it left it. Why is for the log alone."""


class Unavailable(Exception):
    """The public keys could not be fetched, so nobody can say whether the token is good."""


class Keys:
    """Claviger's public keys: fetched when first needed, when a token names an unknown one, and now and then."""

    def __init__(self, url: str):
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"`{url}` is no http address")
        self._url = url
        self._known: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = float("-inf")
        # The fetch under way or the last one, whose outcome holds until there may be another.
        self._fetch: asyncio.Task[bool] | None = None

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of this name; `None` if Claviger publishes none."""
        key, age = self._known.get(kid), time.monotonic() - self._fetched_at
        if key is not None and age < KEPT:
            return key
        fetch = self._begin()
        if key is not None and age < BELIEVED:
            # Nobody waits for news of a key that is known.
            return key
        # One who goes away does not end it for the others.
        if not await asyncio.shield(fetch):
            raise Unavailable
        return self._known.get(kid)

    def _begin(self) -> "asyncio.Task[bool]":
        now = time.monotonic()
        if self._fetch is None or (self._fetch.done() and now - self._asked_at >= FETCH_PAUSE):
            self._asked_at = now
            self._fetch = asyncio.create_task(self._replace())
        return self._fetch

    async def _replace(self) -> bool:
        try:
            # In a thread: the event loop serves others meanwhile.
            document = await asyncio.wait_for(asyncio.to_thread(self._download), FETCH_TIME)
            # Other keys may stand there; a principal token is always Ed25519's.
            self._known = {
                jwk["kid"]: jwt.PyJWK(jwk, "EdDSA")
                for jwk in document["keys"]
                if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519" and isinstance(jwk.get("kid"), str)
            }
        except Exception as error:
            # Whatever it is, nobody knows the keys, and that is another answer than "the token is bad".
            log.error("the public keys at %s cannot be fetched: %r", self._url, error)
            return False
        self._fetched_at = time.monotonic()
        return True

    def _download(self) -> Any:
        # Past the proxies of the environment: Claviger is near.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self._url, timeout=FETCH_TIME) as response:
            return json.load(response)


class Guard:
    """ASGI middleware that makes the three checks.

    `audiences`: each audience of this API with the binding key of 32 bytes that is shared with Claviger for it.
    """

    def __init__(self, app, *, audiences: Mapping[str, bytes], jwks_url: str):
        if not audiences or any(len(key) != 32 for key in audiences.values()):
            raise ValueError("there must be an audience, and a binding key of 32 bytes for each")
        self._app = app
        self._audiences = dict(audiences)
        self._keys = Keys(jwks_url)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            # Nothing here opens WebSockets. Where something does, admit it like a GET.
            return await send({"type": "websocket.close", "code": 1008})
        try:
            scope["visitor"] = await self.admit(scope)
        except Refused as refused:
            log.warning("refused: %s", refused)
            return await _problem(send, 401, "This server only answers requests that come through Claviger")
        except Unavailable:
            return await _problem(send, 503, "The public keys of Claviger cannot be fetched")
        await self._app(scope, receive, send)

    async def admit(self, scope) -> Caller | Public:
        token = _only(scope, b"x-claviger-principal")
        visitor = await self._visitor(token.decode("ascii", "replace"))
        self._check_binding(scope, token, self._audiences[visitor.audience])
        return visitor

    async def _visitor(self, token: str) -> Caller | Public:
        """The first and the second check."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Refused(f"the token cannot be read: {error}") from None
        # Other tokens of Claviger's are signed too: the type tells them apart. None of its own has conditions (`crit`).
        if header.get("typ") != "principal+jwt" or "crit" in header:
            raise Refused("the token is of another type")
        kid = header.get("kid")
        key = await self._keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise Refused("the token names no key that Claviger publishes")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                issuer="claviger",
                audience=list(self._audiences),
                leeway=LEEWAY,
                options={"require": ["iss", "aud", "iat", "exp"]},
            )
        except jwt.PyJWTError as error:
            raise Refused(f"the token is not good: {error}") from None
        return _visitor(claims)

    def _check_binding(self, scope, token: bytes, key: bytes) -> None:
        """The third check."""
        found = BINDING.fullmatch(_only(scope, b"x-claviger-binding"))
        if found is None:
            raise Refused("the binding has another form")
        seconds, mac = found.groups()
        if abs(time.time() - int(seconds)) > BINDING_AGE:
            raise Refused("the binding is of another time")
        method = scope["method"].encode("ascii", "replace")
        host, request_id = _only(scope, b"host"), _only(scope, b"x-request-id")
        token_hash = _base64url(hashlib.sha256(token).digest())
        for target in _targets(scope):
            text = b"\n".join([b"v1", token_hash, method, host, target, request_id, seconds])
            if hmac.compare_digest(_base64url(hmac.digest(key, text, "sha256")), mac):
                return
        raise Refused("the binding is another request's")


def _visitor(claims: dict[str, Any]) -> Caller | Public:
    """What the claims of a verified token say: all of somebody, or nothing of anybody."""

    def text(name: str) -> str:
        value = claims.get(name)
        if not isinstance(value, str) or not value:
            raise Refused(f"`{name}` is not what Claviger says")
        return value

    iat, exp, audience = claims["iat"], claims["exp"], text("aud")
    if not isinstance(iat, int) or not isinstance(exp, int) or exp - iat > LONGEST_LIFE:
        raise Refused("the token lives for longer than Claviger's do")
    kind = text("kind")
    if kind == "public":
        return Public(audience)
    role, access = claims.get("role"), claims.get("access")
    is_access = isinstance(access, dict) and all(level in ("read", "write", "admin") for level in access.values())
    if kind not in ("api-key", "identity-token", "user-token") or not is_access:
        raise Refused("the token says what this guard does not know")
    if text("environment") not in ("live", "test") or not (role is None or isinstance(role, str)):
        raise Refused("the token says what this guard does not know")
    return Caller(
        audience=audience,
        subject=text("sub"),
        kind=kind,
        realm=text("realm"),
        tenant_id=text("tenant_id"),
        org_id=text("org_id"),
        environment=text("environment"),
        role=role,
        access=access,
    )


def _only(scope, name: bytes) -> bytes:
    """The value of a header that must be there exactly once."""
    values = [value for own, value in scope["headers"] if own.lower() == name]
    if len(values) != 1:
        raise Refused(f"`{name.decode()}` is there {len(values)} times")
    return values[0]


def _targets(scope) -> list[bytes]:
    """Path and query as they were received. `path` is decoded, and of no use here."""
    path, query = scope.get("raw_path"), scope["query_string"]
    if path is None:
        raise Refused("the server gives no `raw_path`")
    # ASGI does not tell `/orders?` from `/orders`, so it is one of the two.
    return [path + b"?" + query] if query else [path, path + b"?"]


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def read_binding_key(text: str) -> bytes:
    """The 32 bytes of what `claviger keyring upstream-key` writes: base64url without padding."""
    text = text.strip()
    if re.fullmatch(r"[A-Za-z0-9_-]{43}", text) is None:
        raise ValueError("a binding key is 32 bytes in base64url without padding")
    return base64.urlsafe_b64decode(text + "=")


async def _problem(send, status: int, title: str) -> None:
    body = json.dumps({"type": "about:blank", "title": title, "status": status}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
