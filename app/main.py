import gc
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.cors import CORSMiddleware
from sqlalchemy.exc import DBAPIError
from sqlmodel import select
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import settings
from app.database import SessionDep, create_tables, engine
from app.docs import add_docs
from app.errors import PUBLIC, TOO_LARGE, UNAVAILABLE, add_error_handlers
from app.routers import admin, auth, posts, users


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    try:
        await run_in_threadpool(create_tables, engine)
    except (DBAPIError, TypeError, ValueError) as error:
        raise ConnectionError(f"Cannot start without the database: {getattr(error, 'orig', error)}") from None
    # Collect garbage less often, and without a look at the modules: a fifth more requests, twice at 1,000 clients.
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    yield
    engine.dispose()


class ProtectiveHeaders:
    """Keep browsers from guessing content types, and caches from keeping what was answered to a token.

    Of a failed start it leaves the reason, without the traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if "Authorization" in Headers(scope=scope):
                    headers["Cache-Control"] = "no-store"
            elif message["type"] == "lifespan.startup.failed":
                message["message"] = message["message"].rpartition("Error: ")[2].strip()
            await send(message)

        await self.app(scope, receive, send_with_headers)


app = FastAPI(
    title="FastAPI testing example",
    summary="Users, posts, password login, owner and admin rights.",
    version="1.0.0",
    license_info={"name": "MIT", "identifier": "MIT"},
    servers=[{"url": "/"}],
    openapi_tags=[
        {"name": "auth", "description": "Register, and exchange a password for a token."},
        {"name": "users", "description": "Your own account."},
        {"name": "posts", "description": "Everyone reads; owners and admins change."},
        {"name": "admin", "description": "All accounts, for admins."},
        {"name": "service", "description": "Whether the service is up."},
    ],
    docs_url=None,
    redoc_url=None,
    lifespan=lifespan,
    responses=TOO_LARGE,
    max_body_size=1024 * 1024,
    generate_unique_id_function=attrgetter("name"),
)
if settings.cors_origins:
    origins, seen = re.findall(r"[^,\s]+", settings.cors_origins), ["Link", "Retry-After"]
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["Authorization"],
        expose_headers=seen,
    )
app.add_middleware(ProtectiveHeaders)
add_error_handlers(app)
for router in (auth.router, users.router, posts.router, admin.router):
    app.include_router(router)
add_docs(app)


@app.get("/", tags=["service"], openapi_extra=PUBLIC)
async def read_root() -> dict[str, str]:
    """Say hello."""
    return {"message": "FastAPI testing example"}


@app.get("/health", tags=["service"], openapi_extra=PUBLIC, responses=UNAVAILABLE)
def read_health(session: SessionDep) -> dict[str, str]:
    """Ask the database whether it answers."""
    session.exec(select(1))
    return {"status": "ok"}
