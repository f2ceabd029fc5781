"""What schemathesis needs of the public door: somebody who may call, for as long as the calls leave that one alone, and users to
whom something can be done.

Among the calls are those that end sessions, delete accounts and ban users, so somebody else calls every few calls: an administrator
by an access token, by a session token, or a service; and there is somebody else to be looked after."""

import itertools
import json
import os
import secrets
import subprocess
import threading
import urllib.request

import schemathesis
from schemathesis import GenerationMode

URL = os.environ["AUTHD_URL"]
AUTHCTL = [os.environ["AUTHCTL_BIN"], "--socket", os.environ["AUTHCTL_SOCKET"]]
SCOPES = "users:read,users:write,users:ban,users:delete,users:set-password,users:set-role,sessions:read,sessions:revoke"
CALLS = 15
PASSWORD = "plum orbit candle 47"

turns = itertools.count()
lock = threading.Lock()
# What is known to be there, by the names under which requests ask for it.
there = {}


def authctl(*words: str) -> str:
    return subprocess.run([*AUTHCTL, *words], check=True, capture_output=True, text=True).stdout.strip()


def post(path: str, body: dict) -> dict:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/api/auth{path}", data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def sign_up() -> dict:
    name = f"u{secrets.token_hex(8)}"
    made = post("/signup", {"email": f"{name}@example.com", "username": name, "password": PASSWORD, "mode": "token"})
    return {**made, "email": f"{name}@example.com", "username": name}


def administrator(by_session: bool) -> str:
    made = sign_up()
    authctl("user", "role", made["email"], "admin", "--yes")
    return post("/sign-in/email", {"email": made["email"], "password": PASSWORD})["token"] if by_session else made["access_token"]


def service() -> str:
    return authctl("token", "service", "create", f"s{secrets.token_hex(8)}", "--scope", SCOPES, "--expires", "1h")


def callers():
    """A caller for so many requests, and another one for the next."""
    for turn in itertools.count():
        other = sign_up()
        there.update(
            userId=other["user"]["id"],
            id=other["user"]["id"],
            email=other["email"],
            username=other["username"],
            password=PASSWORD,
            currentPassword=PASSWORD,
            refresh_token=other["refresh_token"],
        )
        caller = service() if turn % 3 == 0 else administrator(turn % 3 == 1)
        yield from itertools.repeat(caller, CALLS)


def about_what_is_there(values) -> None:
    """Half of the requests are about what is there."""
    if isinstance(values, dict) and next(turns) % 2:
        values.update({name: there[name] for name, value in values.items() if name in there and isinstance(value, str)})


@schemathesis.auth(refresh_interval=None)
class Callers:
    every = callers()

    def get(self, case, context):
        with lock:
            return next(self.every)

    def set(self, case, data, context):
        # What was made to be wrong stays so.
        if case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE:
            for values in (case.body, case.query):
                about_what_is_there(values)
        if case.operation.path.endswith("/refresh"):
            return
        of_service = data.startswith("authd_svc_")
        if of_service and "/admin/" not in case.operation.path:
            return
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
