#!/usr/bin/env bash
# The Prefect server on PostgreSQL, behind a user name and password (PREFECT_SERVER_API_AUTH_STRING).
set -euo pipefail
: "${PREFECT_SERVER_API_AUTH_STRING:?set it to user:password}"
: "${PREFECT_DATABASE_PASSWORD:?}" "${POSTGRES_HOST:?}"
export PREFECT_SERVER_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect:${PREFECT_DATABASE_PASSWORD}@${POSTGRES_HOST}/prefect"
exec prefect server start --host "${LISTEN_ON:-0.0.0.0}" --port "${PORT:-4200}"
