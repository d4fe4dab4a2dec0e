#!/usr/bin/env bash
# Start or stop a one-node Ceph object gateway (a real S3 server that judges signatures and checksums) on loopback,
# state in memory. Packages: install.sh beside this file.
#   ceph_rgw.sh start DIR [PORT]   -> S3 at http://127.0.0.1:PORT, keys testaccess / testsecret
#   ceph_rgw.sh stop DIR
# Needs root. Seen with Ceph 16.2.15: up in about 12 s, 370 MB resident.
# Known of this server: bucket names need 3 characters or more; If-Match wants the ETag unquoted;
# If-None-Match is enforced on PutObject (412, one winner of 16 at once) but not on CompleteMultipartUpload;
# pyarrow's S3FileSystem needs AWS_REQUEST_CHECKSUM_CALCULATION=when_required in the environment.
set -euo pipefail
action=${1:?start or stop}; dir=${2:?state directory}; port=${3:-19002}
if [ "$action" = stop ]; then
  for name in rgw osd mon; do
    [ -f "$dir/$name.pid" ] || continue
    pid=$(cat "$dir/$name.pid")
    kill "$pid" 2>/dev/null || continue
    # Nothing in memory is worth a slow farewell.
    for _ in $(seq 20); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
  exit 0
fi
mkdir -p "$dir"/{mon,osd,run,log}; dir=$(cd "$dir" && pwd); conf="$dir/ceph.conf"
fsid=$(cat /proc/sys/kernel/random/uuid)
cat >"$conf" <<CONF
[global]
fsid=$fsid
mon_host=[v2:127.0.0.1:$((port + 300)),v1:127.0.0.1:$((port + 301))]
public_addr=127.0.0.1
cluster_addr=127.0.0.1
auth_cluster_required=none
auth_service_required=none
auth_client_required=none
# without crc mode radosgw waits forever for authentication
ms_mon_client_mode=crc
ms_mon_cluster_mode=crc
ms_mon_service_mode=crc
osd_pool_default_size=1
osd_pool_default_min_size=1
osd_pool_default_pg_num=4
mon_allow_pool_size_one=true
mon_max_pg_per_osd=2000
osd_crush_chooseleaf_type=0
run_dir=$dir/run
admin_socket=$dir/run/\$name.\$pid.asok
log_file=$dir/log/\$name.log
pid_file=$dir/run/\$name.pid
crash_dir=$dir/run
keyring=$dir/keyring
[mon]
mon_data=$dir/mon
[osd]
osd_data=$dir/osd
osd_objectstore=memstore
memstore_device_bytes=2147483648
[client.rgw]
rgw_frontends=beast endpoint=127.0.0.1:$port
rgw_thread_pool_size=32
debug_rgw=0
CONF
monmaptool --create --addv a "[v2:127.0.0.1:$((port + 300)),v1:127.0.0.1:$((port + 301))]" --fsid "$fsid" "$dir/monmap" >/dev/null
ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
ceph-mon -c "$conf" -i a -f >"$dir/log/mon.out" 2>&1 & echo $! >"$dir/mon.pid"
osd_uuid=$(cat /proc/sys/kernel/random/uuid)
timeout 60 ceph -c "$conf" osd new "$osd_uuid" >/dev/null
ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_uuid" >"$dir/log/osd-mkfs.out" 2>&1
ceph-osd -c "$conf" -i 0 -f >"$dir/log/osd.out" 2>&1 & echo $! >"$dir/osd.pid"
ceph -c "$conf" osd crush add osd.0 1 root=default host=h >/dev/null 2>&1 || true
radosgw -c "$conf" -n client.rgw -f >"$dir/log/rgw.out" 2>&1 & echo $! >"$dir/rgw.pid"
timeout 120 radosgw-admin -c "$conf" -n client.rgw user create --uid=test --display-name=test \
  --access-key=testaccess --secret-key=testsecret >/dev/null 2>"$dir/log/admin.out"
for _ in $(seq 600); do (echo >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && exit 0; sleep 0.1; done
echo "the object gateway did not listen on port $port; see $dir/log" >&2; exit 1
