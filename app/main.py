import gc
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import select
from starlette.middleware.errors import ServerErrorMiddleware

from app import errors, security, throttle
from app.config import KEY_HINT, STARTUP_FAILURE, settings
from app.database import SessionDep, check_writable, engine, upgrade_database
from app.docs import add_docs, document
from app.middleware import HttpMiddleware
from app.models import Greeting, Health, User
from app.routers import admin, auth, posts, users

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    try:
        if settings.fastapi_env == "production" and "secret_key" not in settings.model_fields_set:
            raise ValueError(f"SECRET_KEY is not set; {KEY_HINT}")
        # Try the key, as PyJWT refuses some, such as a public key. Then no login would work.
        security.create_token(user_id=1, version=1)
        upgrade_database()
        throttle.limiter.storage.get("any key")  # This fails if Redis does.
    except Exception as error:  # noqa: BLE001 - a migration can raise anything
        # `orig` is the message of the database, without any SQL.
        logger.critical("Cannot start: %s", getattr(error, "orig", error))
        # For an exception, even SystemExit, Starlette would log a traceback.
        os._exit(STARTUP_FAILURE)
    # Collect garbage less often. With 1,000 clients, this serves 1.6 times as many requests.
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    yield
    engine.dispose()


app = FastAPI(
    title="FastAPI testing example",
    summary="Users, posts, password login, owner and admin rights.",
    version="1.0.0",
    license_info={"name": "MIT", "identifier": "MIT"},
    docs_url=None,
    redoc_url=None,
    lifespan=lifespan,
    exception_handlers={
        RequestValidationError: errors.handle_invalid_request,
        SQLAlchemyError: errors.handle_database_error,
    },
    # Behind a proxy with TLS, a redirect could send the client, and its password, to plain http.
    redirect_slashes=False,
    # Generated clients name their functions after the operation ids, so keep these short.
    generate_unique_id_function=lambda route: route.name,
)
# What is added last is the outermost, so even a 500 gets CORS and protective headers. With a
# handler for `Exception` in `FastAPI(...)`, it would not.
app.add_middleware(ServerErrorMiddleware, handler=errors.handle_bug)
if settings.cors_origins:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["*"],
        allow_headers=["Authorization"],
        expose_headers=["Link", "Location", "Retry-After"],
    )
app.add_middleware(HttpMiddleware)
for router in (auth.router, users.router, posts.router, admin.router):
    # Set in `FastAPI(...)`, `max_body_size` would send its 413 without those headers.
    app.include_router(
        router, responses=document(errors.DatabaseUnavailable), max_body_size=1024 * 1024
    )
add_docs(app)


@app.get("/", tags=["service"])
async def read_root() -> Greeting:
    """Return a greeting."""
    return Greeting(message=app.title)


@app.get("/health", tags=["service"], responses=document(errors.DatabaseUnavailable))
def read_health(session: SessionDep) -> Health:
    """Check that the service can read and write its database."""
    try:
        session.exec(select(User.id).limit(1))
        check_writable(session)
    except SQLAlchemyError as error:  # Any error of the database means unhealthy.
        logger.error("Can't use the database: %r", error)
        raise errors.DatabaseUnavailable from error
    return Health()
