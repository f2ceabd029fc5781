"""AUTHD_ISSUER=http://localhost:8000 python main.py"""

import os
import socket
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI

from auth import SignedIn

signed_in = SignedIn(
    issuer=os.environ["AUTHD_ISSUER"],
    jwks_url=os.environ.get("AUTHD_JWKS_URL"),
    cooldown=float(os.environ.get("JWKS_COOLDOWN", "30")),
)
app = FastAPI()


@app.get("/whoami")
def whoami(user: Annotated[dict, Depends(signed_in)]) -> dict:
    return {"sub": user["sub"]}


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "3002"))))
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
