"""Verifies one access token as a Python backend would: by PyJWT and the published key set.

Reads a JSON object from standard input, because arguments are seen by every process of the machine and a token is a
secret: {"jwks_url", "token", "issuer", "audience", "algorithms"}. Prints the claims as JSON, or exits 1 with the name
of the exception.
"""

import json
import sys

import jwt


def verify(request):
    key = jwt.PyJWKClient(request["jwks_url"]).get_signing_key_from_jwt(request["token"])
    verified = jwt.decode_complete(
        request["token"],
        key,
        algorithms=request["algorithms"],
        issuer=request["issuer"],
        audience=request["audience"],
        options={"require": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"]},
    )
    # RFC 9068 section 4; PyJWT leaves it to its caller.
    if verified["header"].get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return verified["payload"]


def main():
    try:
        claims = verify(json.load(sys.stdin))
    except jwt.PyJWTError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
