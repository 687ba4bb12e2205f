"""Verifies an identity token with PyJWT, which knows nothing of Claviger, and prints its claims as JSON.

    ISSUER, AUDIENCE    what the token has to be of and for, as https://api.synq.io and synq
    JWKS_URL            where the public keys are, as http://127.0.0.1:8081/.well-known/jwks.json
    TOKEN               the token

Gives 1 and the reason for a token that does not verify.
"""

import json
import os
import sys

import jwt


def verified(token: str, *, issuer: str, audience: str, jwks_url: str) -> dict:
    """The claims of a token that is good."""
    # Looked at before the key is: tokens of other kinds may be signed with it.
    if jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("the type of the token is not `at+jwt`")
    key = jwt.PyJWKClient(jwks_url).get_signing_key_from_jwt(token)
    return jwt.decode(
        token,
        key,
        # Never what the token itself says.
        algorithms=["EdDSA"],
        issuer=issuer,
        audience=audience,
        options={"require": ["iss", "aud", "sub", "iat", "exp", "jti"]},
    )


def main() -> int:
    names = ("ISSUER", "AUDIENCE", "JWKS_URL", "TOKEN")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        print(f"error: not set: {', '.join(missing)}", file=sys.stderr)
        return 2
    issuer, audience, jwks_url, token = (os.environ[name] for name in names)
    try:
        claims = verified(token, issuer=issuer, audience=audience, jwks_url=jwks_url)
    except jwt.PyJWKClientConnectionError as error:
        # That says nothing about the token.
        print(f"error: no keys: {error}", file=sys.stderr)
        return 2
    except jwt.PyJWTError as error:
        print(f"refused: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(claims, indent=2, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
