#!/bin/sh
# Write infra/.env from infra/.env.example, with a fresh random password wherever it says <random>. Never overwrites.
set -eu
folder=$(cd "$(dirname "$0")/.." && pwd)
if [ -e "$folder/.env" ]; then
  echo "infra/.env is there already; remove it for a new one (the old passwords stay in the volumes' databases)" >&2
  exit 1
fi
umask 077
while IFS= read -r line; do
  while case $line in *"<random>"*) true ;; *) false ;; esac; do
    password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    line="${line%%<random>*}$password${line#*<random>}"
  done
  printf '%s\n' "$line"
done <"$folder/.env.example" >"$folder/.env.part"
mv "$folder/.env.part" "$folder/.env"
echo "infra/.env is written; it holds passwords, and git ignores it"
