FROM python:3.13-slim AS base
ENV PATH=/srv/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATABASE_URL=sqlite:////data/app.db
RUN useradd --uid 1000 --create-home app && install --directory --owner=app /data
WORKDIR /srv
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=30s --start-interval=1s --timeout=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=9)"]
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]


FROM base AS build
COPY --from=ghcr.io/astral-sh/uv:0.13 /uv /usr/local/bin/
# No user may write in /srv, so that what Python compiles to is made here.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --extra postgres --extra redis --no-dev


# What `docker compose` builds: the tests, what they need, and the right to write what they leave behind.
FROM build AS development
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --all-extras \
    && apt-get update && apt-get install --yes --no-install-recommends curl && rm -rf /var/lib/apt/lists/* \
    && chown app /srv
COPY . .
USER app


FROM base AS production
COPY --from=build /srv/.venv .venv
COPY app app
USER app
# Without a SECRET_KEY the app refuses to start, so that the first start makes one, and the volume keeps it.
ENTRYPOINT ["sh", "-c", "key=/data/secret_key; [ \"$SECRET_KEY\" ] || { [ -s $key ] || (umask 077; head -c 32 /dev/urandom | base64 >$key); export SECRET_KEY=$(cat $key); }; exec \"$@\"", "sh"]
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0"]
