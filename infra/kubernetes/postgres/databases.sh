#!/bin/sh
# Run once by the PostgreSQL image, on an empty data folder: a database and a login for each server that keeps one here.
set -eu
create() {  # create LOGIN PASSWORD DATABASE...
  login=$1 password=$2
  shift 2
  # psql quotes what it is given as variables; the here-document is plain.
  psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set=login="$login" --set=password="$password" <<'SQL'
CREATE ROLE :"login" LOGIN PASSWORD :'password';
SQL
  for database in "$@"; do
    psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
      --set=login="$login" --set=database="$database" <<'SQL'
CREATE DATABASE :"database" OWNER :"login";
REVOKE CONNECT ON DATABASE :"database" FROM PUBLIC;
SQL
  done
}
create prefect "$PREFECT_DATABASE_PASSWORD" prefect
create mlflow "$MLFLOW_DATABASE_PASSWORD" mlflow mlflow_auth
