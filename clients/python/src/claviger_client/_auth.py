"""The credential of requests, as httpx has it."""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any, Callable, Optional, TypeVar, Union

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx

from ._credential import Credential
from ._session import PATIENCE, Place, Session, Tokens

Outcome = TypeVar("Outcome")


class ClavigerAuth(httpx.Auth):
    """Puts the credential into requests to one origin, and gets another token when one is refused.

    A 401 makes it get one new token and send the request once more; a second 401 is the caller's. So is the first one
    if the body cannot be sent again (a stream, or a form with files), or if the client has switched to another place
    meanwhile. A request to another origin is a `ValueError`; redirects there do not carry the token.

    One of it may serve many clients and threads. `on_refresh_token` stores each new refresh token, before the access
    token that came with it is used; it is called in a worker thread if the client is asynchronous, and must not use
    the client. `sends_place` adds `X-Tenant-ID` and `X-Org-ID`, for APIs that ask for them. `verify`, `proxy` and
    `trust_env` are httpx's, for the requests that get tokens. `now` gives seconds that only ever grow, as the time of
    day may be wrong.
    """

    def __init__(
        self,
        base_url: str,
        credential: Credential,
        *,
        on_refresh_token: Optional[Callable[[str], object]] = None,
        sends_place: bool = False,
        verify: Union[ssl.SSLContext, str, bool] = True,
        proxy: Optional[str] = None,
        trust_env: bool = True,
        now: Callable[[], float] = time.monotonic,
    ):
        self._origin = _origin_of(base_url)
        self._sends_place = sends_place

        def http() -> httpx.Client:
            # One for each of the rare requests, so that there is nothing to close. A redirect would carry password and
            # token to wherever it points.
            return httpx.Client(
                verify=verify, proxy=proxy, trust_env=trust_env, timeout=PATIENCE, follow_redirects=False
            )

        self._session = Session(self._origin, credential, on_refresh_token=on_refresh_token, now=now, http=http)
        # One thread at a time and event loop: the others would only wait in theirs.
        self._threads: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("claviger")

    def __repr__(self) -> str:
        return f"ClavigerAuth({self._origin!r})"

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's, for blocking clients."""
        self._check(request)
        tokens = self._session.fresh()
        response = yield self._with(request, tokens)
        if self._is_refused(response, request, tokens):
            again = self._session.fresh()
            if again.era == tokens.era:
                yield self._with(request, again)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """httpx's, for asynchronous clients."""
        self._check(request)
        tokens = await self._fresh()
        response = yield self._with(request, tokens)
        if self._is_refused(response, request, tokens):
            again = await self._fresh()
            if again.era == tokens.era:
                yield self._with(request, again)

    def sign_in(self) -> Place:
        """Signs in now and not only with the first request. Says where."""
        return self._session.fresh().place

    async def sign_in_async(self) -> Place:
        """`sign_in`, for asynchronous programs."""
        return (await self._fresh()).place

    def switch_to(self, *, tenant_id: Optional[str] = None, org_id: Optional[str] = None) -> Place:
        """Goes on in another organization or tenant of the same person, and says where it is.

        `SignInRefused` if they may not act there. The client then stays where it is.
        """
        return self._session.switch_to(tenant_id, org_id)

    async def switch_to_async(self, *, tenant_id: Optional[str] = None, org_id: Optional[str] = None) -> Place:
        """`switch_to`, for asynchronous programs."""
        return await self._in_thread(lambda: self._session.switch_to(tenant_id, org_id))

    def sign_out(self) -> None:
        """Ends the session, and those from which it was switched. This is of no more use."""
        self._session.sign_out()

    async def sign_out_async(self) -> None:
        """`sign_out`, for asynchronous programs."""
        await self._in_thread(self._session.sign_out)

    def revoke(self, token: Optional[str] = None) -> None:
        """Makes a token worthless: the one given, or the access token at hand. The session goes on."""
        self._session.revoke(token)

    async def revoke_async(self, token: Optional[str] = None) -> None:
        """`revoke`, for asynchronous programs."""
        await self._in_thread(lambda: self._session.revoke(token))

    def access_token(self) -> str:
        """A fresh access token, for what does not go through httpx, such as a WebSocket. Keep it nowhere."""
        return self._session.fresh().access

    async def access_token_async(self) -> str:
        """`access_token`, for asynchronous programs."""
        return (await self._fresh()).access

    @property
    def place(self) -> Optional[Place]:
        """Where the client is signed in; `None` before it is."""
        return self._session.place

    def _check(self, request: httpx.Request) -> None:
        origin = _origin(request.url)
        if origin != self._origin:
            raise ValueError(f"`{origin}` is not `{self._origin}`, for which the credential is")

    def _with(self, request: httpx.Request, tokens: Tokens) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {tokens.access}"
        if self._sends_place:
            for name, value in (("X-Tenant-ID", tokens.place.tenant_id), ("X-Org-ID", tokens.place.org_id)):
                if value is not None:
                    request.headers[name] = value
        return request

    def _is_refused(self, response: httpx.Response, request: httpx.Request, tokens: Tokens) -> bool:
        """Notes a token that was refused. Gives whether the request can be sent once more."""
        # httpx follows redirects below this: what another origin says is nothing about the token.
        if response.status_code != 401 or _origin(response.request.url) != self._origin:
            return False
        self._session.refused(tokens)
        return self._session.is_renewable and isinstance(request.stream, httpx.ByteStream)

    async def _fresh(self) -> Tokens:
        tokens = self._session.at_hand()
        return tokens if tokens is not None else await self._in_thread(self._session.fresh)

    async def _in_thread(self, work: Callable[[], Outcome]) -> Outcome:
        # A thread goes on when the task that waits for it is cancelled: the next refresh token is never lost halfway.
        threads = self._threads.get(None)
        if threads is None:
            threads = anyio.CapacityLimiter(1)
            self._threads.set(threads)
        return await anyio.to_thread.run_sync(work, limiter=threads)


def client(
    base_url: str,
    credential: Credential,
    *,
    on_refresh_token: Optional[Callable[[str], object]] = None,
    sends_place: bool = False,
    **options: Any,
) -> httpx.Client:
    """An `httpx.Client` for this API. Further options are httpx's own; its `auth` is the `ClavigerAuth`."""
    auth = _auth(base_url, credential, on_refresh_token, sends_place, options)
    return httpx.Client(base_url=auth._origin, auth=auth, **options)


def async_client(
    base_url: str,
    credential: Credential,
    *,
    on_refresh_token: Optional[Callable[[str], object]] = None,
    sends_place: bool = False,
    **options: Any,
) -> httpx.AsyncClient:
    """An `httpx.AsyncClient` for this API. Further options are httpx's own; its `auth` is the `ClavigerAuth`."""
    auth = _auth(base_url, credential, on_refresh_token, sends_place, options)
    return httpx.AsyncClient(base_url=auth._origin, auth=auth, **options)


def _auth(
    base_url: str,
    credential: Credential,
    on_refresh_token: Optional[Callable[[str], object]],
    sends_place: bool,
    options: dict[str, Any],
) -> ClavigerAuth:
    # What holds for the way to the API holds for the way to its tokens.
    shared = {name: options[name] for name in ("verify", "proxy", "trust_env") if name in options}
    return ClavigerAuth(base_url, credential, on_refresh_token=on_refresh_token, sends_place=sends_place, **shared)


def _origin(url: httpx.URL) -> str:
    # httpx leaves out the port that goes with the scheme.
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _origin_of(base_url: str) -> str:
    # The text is not repeated: it may have a password in it.
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if not url.host:
        raise ValueError("the base URL is none")
    if url.userinfo:
        raise ValueError("the base URL has a user or a password in it")
    origin = _origin(url)
    if url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError(f"the base URL has more than scheme, host and port; write `{origin}`")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ValueError(f"`{origin}` is not https, and the credential would be sent for all to read")
    return origin


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None
