#!/usr/bin/env bash
# Debian packages that the integration tests start as real servers; nothing to do where they are there already.
# The package list grows with the tests: one line a package, with the command that shows it is installed.
set -euo pipefail

packages=()
need() {  # need COMMAND PACKAGE
  command -v "$1" >/dev/null || packages+=("$2")
}
need ceph-mon ceph-mon          # an S3 server that judges, for the storage and pipeline tests
need ceph-osd ceph-osd
need radosgw radosgw
need ceph ceph-common
need chromium chromium          # a browser that looks at the bulk job's report
need curl curl                  # the requests that docs/pipeline.md shows
need jq jq
# PostgreSQL's programs are on nobody's PATH.
if ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; then need initdb postgresql; fi

if [ ${#packages[@]} -eq 0 ]; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${packages[*]} (needs Debian and root); tests that use them are skipped, under CI=true they fail" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
if [[ " ${packages[*]} " == *" postgresql "* ]]; then
  # The tests start servers of their own; the one that the package would start has no work here.
  apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null
  sed -ri 's/^#?(create_main_cluster) .*$/\1 = false/' /etc/postgresql-common/createcluster.conf
fi
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
