"""Verifies authd's access tokens: a dependency for FastAPI, with PyJWT."""

from typing import Annotated

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

bearer = HTTPBearer(auto_error=False)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


class SignedIn:
    """`issuer` is authd's http.public_url; `audience` one of its token.audience, if that is set."""

    def __init__(self, issuer: str, audience: str | None = None, jwks_url: str | None = None, cooldown: float = 30):
        self.issuer = issuer
        self.audience = audience or issuer
        # Asked for once in five minutes, and when a token names a key that is not in it; but not more often than `cooldown`
        # (seconds), whatever `kid`s strangers make up.
        self.keys = jwt.PyJWKClient(
            jwks_url or issuer + "/.well-known/jwks.json", lifespan=300, cooldown_duration=cooldown, timeout=5
        )

    # Not `async`: the key set is fetched by a call that blocks, so FastAPI runs this on a thread.
    def __call__(self, credentials: Bearer) -> dict:
        if credentials is None:
            raise HTTPException(401, "UNAUTHORIZED", {"WWW-Authenticate": "Bearer"})
        try:
            return self.verify(credentials.credentials)
        except jwt.PyJWKClientConnectionError as error:
            raise HTTPException(503, "KEYS_UNAVAILABLE") from error
        except jwt.PyJWTError as error:
            raise HTTPException(401, "INVALID_TOKEN", {"WWW-Authenticate": 'Bearer error="invalid_token"'}) from error

    def verify(self, token: str) -> dict:
        if jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
        return jwt.decode(
            token,
            self.keys.get_signing_key_from_jwt(token).key,
            algorithms=["EdDSA"],
            issuer=self.issuer,
            audience=self.audience,
            options={"require": ["sub", "sid", "exp"]},
        )
