"""What somebody signs in with."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Optional


class Credential:
    """A token alone, or a refresh token, or e-mail address and password, or both of these. It cannot be printed.

    With `tenant_id` and `org_id` somebody signs in there; otherwise the server takes the first place where they are
    active. With a refresh token, the password is used when that one is refused.
    """

    __slots__ = ("_email", "_org_id", "_password", "_refresh_token", "_tenant_id", "_token")

    def __init__(
        self,
        *,
        token: Optional[str] = None,
        refresh_token: Optional[str] = None,
        email: Optional[str] = None,
        password: Optional[str] = None,
        tenant_id: Optional[str] = None,
        org_id: Optional[str] = None,
    ):
        if bool(email) != bool(password):
            raise ValueError(f"there is `{'email' if email else 'password'}` without the other one")
        if not (token or refresh_token or email):
            raise ValueError("a credential is a `token`, a `refresh_token`, or `email` and `password`")
        if token and (refresh_token or email):
            raise ValueError("a `token` stands alone: nobody could say which is meant")
        # What cannot stand in a header would be named, with its text, by the error of whoever tries.
        if token and re.fullmatch(r"[\x21-\x7e]+", token) is None:
            raise ValueError("the `token` has characters that no token has, such as a line break")
        self._token = token or None
        self._refresh_token = refresh_token or None
        self._email = email or None
        self._password = password or None
        self._tenant_id = tenant_id or None
        self._org_id = org_id or None

    @classmethod
    def from_environment(cls, prefix: str, environment: Mapping[str, str] = os.environ) -> Credential:
        """Reads `<prefix>_REFRESH_TOKEN`, `<prefix>_EMAIL` and `<prefix>_PASSWORD`, or else `<prefix>_TOKEN`.

        And `<prefix>_TENANT_ID` and `<prefix>_ORG_ID`, if the place matters. A token does not come first, as nobody
        prolongs it. `ValueError` names the variables, if they are no credential.
        """

        def read(name: str) -> Optional[str]:
            return environment.get(f"{prefix}_{name}") or None

        email, password, refresh_token = read("EMAIL"), read("PASSWORD"), read("REFRESH_TOKEN")
        tenant_id, org_id = read("TENANT_ID"), read("ORG_ID")
        if (email is None) != (password is None):
            there, missing = ("PASSWORD", "EMAIL") if email is None else ("EMAIL", "PASSWORD")
            raise ValueError(f"`{prefix}_{there}` is set without `{prefix}_{missing}`")
        if refresh_token or email:
            return cls(refresh_token=refresh_token, email=email, password=password, tenant_id=tenant_id, org_id=org_id)
        token = read("TOKEN")
        if token:
            return cls(token=token, tenant_id=tenant_id, org_id=org_id)
        raise ValueError(
            f"there is no credential: set `{prefix}_TOKEN`, `{prefix}_REFRESH_TOKEN`, "
            f"or `{prefix}_EMAIL` and `{prefix}_PASSWORD`"
        )

    def __repr__(self) -> str:
        return "Credential(..)"
