"""fastapi-users as its documentation sets it up: sessions in a database (SQLite in a file), shown by a cookie.

Serves on a free port of this machine and says which, for the bench. argv: the database's file.
"""

import asyncio
import socket
import sys
import uuid

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, CookieTransport
from fastapi_users.authentication.strategy.db import AccessTokenDatabase, DatabaseStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyAccessTokenDatabase, SQLAlchemyBaseAccessTokenTableUUID
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    pass


engine = create_async_engine(f"sqlite+aiosqlite:///{sys.argv[1]}")
make_session = async_sessionmaker(engine, expire_on_commit=False)


async def get_session():
    async with make_session() as session:
        yield session


async def get_users(session=Depends(get_session)):
    yield SQLAlchemyUserDatabase(session, User)


async def get_tokens(session=Depends(get_session)):
    yield SQLAlchemyAccessTokenDatabase(session, AccessToken)


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = verification_token_secret = "a secret of the bench alone"


async def get_manager(users=Depends(get_users)):
    yield Manager(users)


def get_strategy(tokens: AccessTokenDatabase[AccessToken] = Depends(get_tokens)) -> DatabaseStrategy:
    return DatabaseStrategy(tokens, lifetime_seconds=3600)


backend = AuthenticationBackend(
    name="database", transport=CookieTransport(cookie_secure=False), get_strategy=get_strategy
)
users = FastAPIUsers[User, uuid.UUID](get_manager, [backend])


class UserRead(schemas.BaseUser[uuid.UUID]):
    pass


class UserCreate(schemas.BaseUserCreate):
    pass


class UserUpdate(schemas.BaseUserUpdate):
    pass


app = FastAPI()
app.include_router(users.get_auth_router(backend), prefix="/auth")
app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/auth")
app.include_router(users.get_users_router(UserRead, UserUpdate), prefix="/users")


async def main():
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"peer {listener.getsockname()[1]}", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).serve([listener])


asyncio.run(main())
