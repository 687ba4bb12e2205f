"""What can go wrong with signing in. None of these errors holds a secret."""

from __future__ import annotations

from typing import Any, Optional


class ClavigerError(Exception):
    """Signing in, refreshing, switching or signing out did not work."""

    def __init__(self, message: str, *, status: Optional[int] = None, retry_after: Optional[int] = None):
        super().__init__(message)
        #: The status that was answered; `None` if there was no answer.
        self.status = status
        #: After how many seconds to ask again, if the server said so.
        self.retry_after = retry_after


class SignInRefused(ClavigerError):
    """Nobody is signed in.

    401 if the password or the refresh token is not good (any more), 403 if the account, the membership, the
    organization or the tenant is suspended or of somebody else.
    """


class TooManyTries(ClavigerError):
    """429: too many tries without success. `retry_after` says when the next is looked at."""


class Unavailable(ClavigerError):
    """The server cannot say: it answered 5xx, nothing readable or not at all.

    Nothing is known about the credential.
    """


def failure(message: str, status: int, retry_after: Optional[int]) -> ClavigerError:
    """The error for a status that is no success."""
    kind = ClavigerError
    if status in (401, 403):
        kind = SignInRefused
    elif status == 429:
        kind = TooManyTries
    elif status >= 500:
        kind = Unavailable
    return kind(message, status=status, retry_after=retry_after)


def again(error: ClavigerError, *, retry_after: Optional[int] = None) -> ClavigerError:
    """The same error once more, for somebody else who hears of it: a traceback is one caller's."""
    seconds = error.retry_after if retry_after is None else retry_after
    return type(error)(str(error), status=error.status, retry_after=seconds)


def text_of(body: Any) -> Optional[str]:
    """The API's own text in the body of a refusal, if there is one. Each API has its errors in a form of its own."""
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("code")
    for text in (body.get("error_description"), inner, body.get("title")):
        if isinstance(text, str) and text:
            # It goes to logs, where a line is one entry.
            return " ".join(text.split())[:300]
    return None
