#!/bin/sh
# The first process of a test host, in namespaces of its own (pid, mount, network, uts, ipc). When it is killed, the kernel
# ends every process of the host and removes its mounts and links.
#
#     supervisor.sh NAME RUN_FOLDER LOG_FILE PROGRAM [ARGUMENT…]
#
# It prepares what a machine has, says so, waits for a line on standard input (its network is made from outside in the
# meantime), and then keeps PROGRAM running, as systemd would with Restart=always.
set -eu
name=$1 run=$2 log=$3
shift 3

hostname "$name"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/shoal /run/lock /run/cgroup
mount --bind "$run" /run/shoal

# /sys shows the links of the network namespace that it was mounted in
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
rmdir /run/cgroup

echo prepared
read -r _ # fails at end of file: whoever was making this host is gone
exec </dev/null >>"$log" 2>&1

while :; do
  "$@" &
  wait $! || echo "{\"message\":\"the daemon ended with $? and is started again\"}"
  sleep 0.2
done
