#!/usr/bin/env bash
# The MLflow server on PostgreSQL, behind user names and passwords; it alone reads and writes the artifacts' bucket.
set -euo pipefail
: "${MLFLOW_DATABASE_PASSWORD:?}" "${POSTGRES_HOST:?}" "${MLFLOW_ARTIFACTS:?folder or s3:// prefix of artifacts}"
: "${MLFLOW_AUTH_ADMIN_USERNAME:?}" "${MLFLOW_AUTH_ADMIN_PASSWORD:?}" "${MLFLOW_FLASK_SERVER_SECRET_KEY:?}"
login="postgresql://mlflow:${MLFLOW_DATABASE_PASSWORD}@${POSTGRES_HOST}"
umask 077
folder=$(mktemp -d)
# In a file and in the environment, since a command line can be read by other processes.
cat >"$folder/auth.ini" <<INI
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = ${login//%/%%}/mlflow_auth
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
INI
export MLFLOW_AUTH_CONFIG_PATH="$folder/auth.ini"
export MLFLOW_BACKEND_STORE_URI="$login/mlflow"
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
exec mlflow server --app-name basic-auth --host "${LISTEN_ON:-0.0.0.0}" --port "${PORT:-5000}" --workers "${WORKERS:-2}" \
  --allowed-hosts "${MLFLOW_ALLOWED_HOSTS:-mlflow,mlflow:5000,localhost:*,127.0.0.1:*}" \
  --serve-artifacts --artifacts-destination "$MLFLOW_ARTIFACTS"
