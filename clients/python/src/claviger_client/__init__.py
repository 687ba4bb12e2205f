"""Requests to an API behind Claviger, with httpx.

`client` and `async_client` make an httpx client that signs in with a `Credential`, keeps the token fresh, and when a
token is refused all the same gets one more and sends the request once more. `ClavigerAuth` is the part that does it.
"""

from ._auth import ClavigerAuth, async_client, client
from ._credential import Credential
from ._errors import ClavigerError, SignInRefused, TooManyTries, Unavailable
from ._session import Place

__all__ = [
    "ClavigerAuth",
    "ClavigerError",
    "Credential",
    "Place",
    "SignInRefused",
    "TooManyTries",
    "Unavailable",
    "async_client",
    "client",
]
