#!/usr/bin/env bash
# A Prefect worker whose flow runs drive the Ray cluster at RAY_ADDRESS. Ray wants a node on a driver's machine, so
# this one joins with no CPUs and no GPUs: it gets no work. When either of the two ends, both do: a fresh start mends it.
set -euo pipefail
: "${RAY_ADDRESS:?host:port of the Ray head}" "${PREFECT_API_URL:?}"
RAY_HEAD=$RAY_ADDRESS RAY_NODE_CPUS=0 bash "$(dirname "$0")/ray-node.sh" worker &
node=$!
prefect worker start --pool "${PREFECT_POOL:-pcakd}" --type process &
worker=$!
# First the worker, so that it takes no more runs; then the node that the runs need.
stop() {
  trap '' TERM INT
  kill -TERM "$worker" 2>/dev/null || true
  wait "$worker" || true
  kill -TERM "$node" 2>/dev/null || true
  wait "$node" || true
  exit 0
}
trap stop TERM INT
wait -n || true
echo "prefect-worker.sh: the Prefect worker or its Ray node has ended" >&2
trap '' TERM INT
kill -TERM "$worker" "$node" 2>/dev/null || true
wait || true
exit 1
