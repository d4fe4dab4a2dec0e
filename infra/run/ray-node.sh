#!/usr/bin/env bash
# A Ray node: `ray-node.sh head` or `ray-node.sh worker`; a worker joins the cluster at RAY_HEAD.
set -euo pipefail
role=${1:?head or worker}
unset RAY_ADDRESS # a node would look for a cluster there
options=(--block --disable-usage-stats "--object-store-memory=${RAY_OBJECT_STORE_BYTES:-1000000000}")
if [ -n "${RAY_NODE_CPUS:-}" ]; then options+=("--num-cpus=$RAY_NODE_CPUS"); fi
if [ -n "${RAY_NODE_FOLDER:-}" ]; then options+=("--temp-dir=$RAY_NODE_FOLDER"); fi
if [ -n "${RAY_NODE_IP:-}" ]; then options+=("--node-ip-address=$RAY_NODE_IP"); fi
case $role in
  head) exec ray start --head --include-dashboard=false "--port=${RAY_PORT:-6379}" "${options[@]}" ;;
  worker) exec ray start "--address=${RAY_HEAD:?host:port of the head}" "${options[@]}" ;;
  *) echo "ray-node.sh: $role is neither head nor worker" >&2 && exit 2 ;;
esac
