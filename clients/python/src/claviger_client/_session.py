"""The tokens of one client: who gets them, when they are renewed, and that only one does so at a time.

All of it blocks and may be used by many threads; asynchronous clients run it in one.
"""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from typing import Any, Callable, Optional

import httpx

from ._credential import Credential
from ._errors import ClavigerError, SignInRefused, TooManyTries, Unavailable, again, failure, text_of

# How long before its end a token is renewed, in seconds; of a short one, half its life.
AHEAD = 60.0
# After a renewal ahead of time that did not work, in seconds: meanwhile the old token goes on.
PAUSE = 5.0
# How long an answer may take, in seconds. Asking twice has to end within the 20 s for which a used refresh token gives
# the same successor again.
PATIENCE = 8.0


@dataclass(frozen=True)
class Place:
    """Where a client is signed in, as the server said."""

    tenant_id: Optional[str] = None
    org_id: Optional[str] = None
    #: The member's role there.
    role: Optional[str] = None

    def _is_other_than(self, other: Place) -> bool:
        return (self.tenant_id, self.org_id) != (other.tenant_id, other.org_id)


class Tokens:
    """An access token and what is known of it."""

    def __init__(self, access: str, place: Place, era: int, *, stale_at: float, ends_at: float):
        self.access = access
        self.place = place
        # How often the client had switched. What was meant for one place is never sent to another.
        self.era = era
        # When to get the next one, and until when it is good, by the client's clock.
        self.stale_at = stale_at
        self.ends_at = ends_at

    def __repr__(self) -> str:
        return "Tokens(..)"


class Session:
    def __init__(
        self,
        origin: str,
        credential: Credential,
        *,
        on_refresh_token: Optional[Callable[[str], object]],
        now: Callable[[], float],
        http: Callable[[], httpx.Client],
    ):
        self._origin = origin
        self._on_refresh_token = on_refresh_token
        self._now = now
        self._http = http
        self._email = credential._email
        self._password = credential._password
        self._refresh_token = credential._refresh_token
        # Where to sign in: as the caller said, and then where the client is.
        self._place = Place(credential._tenant_id, credential._org_id)
        # Whether there is another token to be had when one is refused.
        self.is_renewable = credential._token is None
        self._tokens: Optional[Tokens] = None
        if credential._token is not None:
            never = math.inf
            self._tokens = Tokens(credential._token, self._place, 0, stale_at=never, ends_at=never)
        # The tokens that were used up by switching. Each ends the session that it was of.
        self._left: list[str] = []
        # What the caller has not stored yet.
        self._unsaved: Optional[str] = None
        self._era = 0
        # Why there will be no more tokens.
        self._over: Optional[ClavigerError] = None
        # Until when there are none, and why.
        self._paused: Optional[tuple[float, ClavigerError]] = None
        # Held by whoever uses the refresh token: two that use it at once would look like theft.
        self._turn = threading.Lock()
        # How many renewals have ended, and how the last one failed, if it did: for all who waited for it.
        self._renewals = 0
        self._failed: Optional[Exception] = None

    def __repr__(self) -> str:
        return "Session(..)"

    def at_hand(self) -> Optional[Tokens]:
        """Tokens to send a request with, if that needs no waiting."""
        tokens = self._tokens
        if tokens is None or self._unsaved is not None or self._now() >= tokens.stale_at:
            return None
        return tokens

    def fresh(self) -> Tokens:
        """Tokens to send a request with, renewed if need be."""
        renewals = self._renewals
        tokens = self.at_hand()
        if tokens is not None:
            return tokens
        with self._turn:
            # Who waited for a renewal by another shares its failure, too.
            if self._renewals != renewals and self._failed is not None:
                raise again(self._failed) if isinstance(self._failed, ClavigerError) else self._failed
            self._failed = None
            old = self._tokens
            try:
                return self._renew()
            except (Unavailable, TooManyTries) as error:
                # Renewed ahead of its end, the old one is still good. The next try is not made with every request.
                now = self._now()
                if old is not None and old is self._tokens and now < old.ends_at:
                    pause = PAUSE if error.retry_after is None else error.retry_after
                    old.stale_at = min(old.ends_at, now + pause)
                    return old
                self._failed = error
                raise
            except Exception as error:
                self._failed = error
                raise
            finally:
                self._renewals += 1

    def refused(self, tokens: Tokens) -> None:
        """Notes that the server has refused these. If they were replaced meanwhile, that says nothing of the new."""
        if self.is_renewable:
            tokens.stale_at = tokens.ends_at = -math.inf

    def switch_to(self, tenant_id: Optional[str], org_id: Optional[str]) -> Place:
        """Goes on in another place, in a session of its own."""
        if not self.is_renewable:
            raise ValueError("only who is signed in can switch; this client has one token for one place")
        if not tenant_id and not org_id:
            raise ValueError("neither `tenant_id` nor `org_id` says where to switch to")
        with self._turn:
            self._may_ask()
            used = self._refresh_token
            tokens = self._take(Place(tenant_id or None, org_id or None))
            if used is not None:
                self._left.append(used)
            self._save()
            return tokens.place

    def sign_out(self) -> None:
        """Ends the session, and those from which it was switched. There are no more tokens."""
        with self._turn:
            if self._over is not None:
                return
            if not self.is_renewable and self._tokens is not None:
                self._post("sign-out", {}, self._tokens.access)
            for token in [*self._left, self._refresh_token]:
                if token is not None:
                    self._post("revoke", {"token": token, "token_type_hint": "refresh_token"})
            self._end(SignInRefused("this client has signed out"))

    def revoke(self, token: Optional[str]) -> None:
        """Makes a token worthless: the one given, or the access token at hand."""
        tokens = self._tokens
        revoked = token or (tokens.access if tokens else None)
        if revoked is None:
            return
        self._post("revoke", {"token": revoked})
        if tokens is not None and tokens.access == revoked:
            self.refused(tokens)

    @property
    def place(self) -> Optional[Place]:
        tokens = self._tokens
        return tokens.place if tokens else None

    def _renew(self) -> Tokens:
        if self._over is not None:
            raise again(self._over)
        # What could not be stored the last time.
        self._save()
        tokens = self.at_hand()
        if tokens is not None:
            return tokens
        self._may_ask()
        tokens = self._take(None)
        self._save()
        return tokens

    def _may_ask(self) -> None:
        """A server that said when to ask again is not asked before."""
        if self._over is not None:
            raise again(self._over)
        if self._paused is not None:
            until, error = self._paused
            left = until - self._now()
            if left > 0:
                raise again(error, retry_after=math.ceil(left))
            self._paused = None

    def _take(self, switch_to: Optional[Place]) -> Tokens:
        """Gets new tokens and keeps them."""
        # Before the request: the life of the token began some time after it.
        asked = self._now()
        before = self._tokens.place if self._tokens else None
        try:
            answer = self._ask(switch_to)
        except ClavigerError as error:
            if error.retry_after is not None:
                self._paused = (self._now() + error.retry_after, again(error))
            raise

        def text(name: str) -> Optional[str]:
            value = answer.get(name)
            return value if isinstance(value, str) and value else None

        access, life = text("access_token"), answer.get("expires_in")
        is_token = access is not None and re.fullmatch(r"[\x21-\x7e]+", access) is not None
        if access is None or not is_token or not isinstance(life, (int, float)) or life <= 0:
            raise Unavailable("the server's answer has no tokens", status=200)
        place = Place(text("tenant_id"), text("org_id"), text("role"))
        if before is not None and place._is_other_than(before):
            self._era += 1
        refresh_token = text("refresh_token")
        if refresh_token is not None:
            # Before the tokens: nobody may take these before it is stored.
            self._refresh_token = self._unsaved = refresh_token
        # Should it come to the password again, then for the same place.
        self._place = place
        stale_at = asked + life - min(AHEAD, life / 2)
        self._tokens = Tokens(access, place, self._era, stale_at=stale_at, ends_at=asked + life)
        return self._tokens

    def _ask(self, switch_to: Optional[Place]) -> dict[str, Any]:
        """New tokens, by the refresh token, or else by the password."""
        if self._refresh_token is not None:
            try:
                return self._refresh(self._refresh_token, switch_to or Place())
            except SignInRefused as error:
                if error.status != 401:
                    raise
                # It will not be good again, and showing it again would be a try more.
                self._refresh_token = None
                if self._password is None:
                    self._end(error)
                    raise
        try:
            return self._sign_in(switch_to or self._place)
        except SignInRefused as error:
            # A wrong password stays wrong; ten tries would shut out whoever has the right one.
            if error.status == 401:
                self._end(error)
            raise

    def _refresh(self, refresh_token: str, place: Place) -> dict[str, Any]:
        body = {"refresh_token": refresh_token, "tenant_id": place.tenant_id, "org_id": place.org_id}
        try:
            return self._post("refresh", body)
        except Unavailable as error:
            if error.status is not None:
                raise
        # The answer was lost. The server may have used the token up, and gives the same successor for a short time.
        return self._post("refresh", body)

    def _sign_in(self, place: Place) -> dict[str, Any]:
        body = {
            "email": self._email,
            "password": self._password,
            "tenant_id": place.tenant_id,
            "org_id": place.org_id,
        }
        return self._post("sign-in", body)

    def _save(self) -> None:
        """Until the caller has stored the refresh token, the access token is not used: a crash would lose both."""
        if self._unsaved is not None:
            if self._on_refresh_token is not None:
                self._on_refresh_token(self._unsaved)
            self._unsaved = None

    def _end(self, error: ClavigerError) -> None:
        self._over = again(error)
        self._tokens = self._refresh_token = self._unsaved = None
        self._left.clear()

    def _post(self, what: str, body: dict[str, Optional[str]], bearer: Optional[str] = None) -> dict[str, Any]:
        body = {name: value for name, value in body.items() if value is not None}
        headers = {"Accept": "application/json"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        lost = None
        try:
            with self._http() as http:
                response = http.post(f"{self._origin}/auth/v1/{what}", json=body, headers=headers)
        except httpx.TransportError as error:
            lost = f"{type(error).__name__}: {error}"
        if lost is not None:
            # Outside of `except`: httpx's error holds the request, and with it the secrets that were sent.
            raise Unavailable(f"{what}: no answer from {self._origin}: {lost}")
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            answer = None
        if not response.is_success:
            said = text_of(answer)
            # Some servers repeat what they were sent.
            for secret in (body.get("password"), body.get("refresh_token"), body.get("token"), bearer):
                if said and secret:
                    said = said.replace(secret, "(..)")
            why = f": {said}" if said else ""
            seconds = re.fullmatch(r"[0-9]{1,9}", response.headers.get("Retry-After", ""), re.ASCII)
            retry_after = int(seconds.group()) if seconds else None
            raise failure(f"{what}: {response.status_code}{why}", response.status_code, retry_after)
        if not isinstance(answer, dict):
            raise Unavailable(f"{what}: the answer is no JSON", status=response.status_code)
        return answer
