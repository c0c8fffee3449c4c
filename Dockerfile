FROM python:3.13-slim AS base
# SQLite can't delete many rows without temporary files, and with `--read-only` they only fit in /data.
ENV PATH=/srv/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATABASE_URL=sqlite:////data/app.db \
    SQLITE_TMPDIR=/data
RUN useradd --uid 1000 --create-home app && install --directory --owner=app /data
WORKDIR /srv
VOLUME /data
EXPOSE 8000
# http.client, because urllib would send this to the proxy when Docker sets HTTP_PROXY.
HEALTHCHECK --start-period=30s --start-interval=1s --timeout=10s CMD ["python", "-c", "\
from http.client import HTTPConnection; \
server = HTTPConnection('127.0.0.1', 8000, timeout=9); \
server.request('GET', '/health'); \
exit(server.getresponse().status != 200)"]


FROM base AS build
COPY --from=ghcr.io/astral-sh/uv:0.13 /uv /usr/local/bin/
# The app runs as a user who can't write to /srv, so compile the packages to bytecode here.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --extra postgres --extra redis --no-dev


# What compose.yaml builds: the tests and the packages that they need.
FROM build AS development
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --all-extras \
    && apt-get update && apt-get install --yes --no-install-recommends curl && rm -rf /var/lib/apt/lists/* \
    && chown app /srv
# Keep the key of the development server in the volume, or a new container would log everyone out.
RUN ln --symbolic /data/.secret_key .secret_key
COPY . .
USER app
CMD ["fastapi", "dev", "--host", "0.0.0.0", "--reload-dir", "app"]


FROM base AS production
COPY --from=build /srv/.venv .venv
COPY app app
# With a strict umask, only the owner of your checkout may read these files.
RUN chmod -R a+rX app
USER app
# Docker kills the container 10 seconds after SIGTERM, so stop waiting for slow clients before that.
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--timeout-graceful-shutdown", "8"]
