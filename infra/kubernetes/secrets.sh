#!/bin/sh
# Make the secrets that the manifests refer to, in namespace pcakd, with fresh random passwords; those that exist stay.
#     AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... sh infra/kubernetes/secrets.sh
# Without the two variables random ones are made, which only the S3 server of overlays/local takes.
# POSTGRES_PASSWORD, PREFECT_DATABASE_PASSWORD and MLFLOW_DATABASE_PASSWORD: of a database that is there already.
set -eu
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
secret() {  # secret NAME KEY=VALUE...; values go through files, since a command line can be read by others
  name=$1
  shift
  if kubectl --namespace pcakd get secret "$name" >/dev/null 2>&1; then
    echo "secret $name: was there"
    return
  fi
  mkdir "$folder/$name"
  for pair in "$@"; do printf '%s' "${pair#*=}" >"$folder/$name/${pair%%=*}"; done
  kubectl --namespace pcakd create secret generic "$name" --from-file="$folder/$name"
}
secret pcakd-s3 "AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-pcakd}" "AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-$(random)}"
secret pcakd-databases "postgres-password=${POSTGRES_PASSWORD:-$(random)}" \
  "prefect-password=${PREFECT_DATABASE_PASSWORD:-$(random)}" "mlflow-password=${MLFLOW_DATABASE_PASSWORD:-$(random)}"
secret pcakd-prefect "login=pcakd:$(random)"
secret pcakd-mlflow-admin "password=$(random)" "session-key=$(random)"
secret pcakd-mlflow "username=pcakd" "password=$(random)"
secret pcakd-ray "token=$(random)"
