#!/bin/sh
# First program of every host and build container (below docker-init): name server, metadata address, engine, user data, agent.
# /etc/localaws/boot.env says GATEWAY (address of the local AWS), KIND (host or box), ENGINE (yes or no).
set -u
# shellcheck source=/dev/null
. /etc/localaws/boot.env
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
log=/var/log/localaws.log

# Docker's own name server does not forward from internal networks.
printf 'nameserver %s\noptions timeout:2 attempts:2\n' "$GATEWAY" > /etc/resolv.conf

# Instances ask 169.254.169.254, build containers 169.254.170.2; both live on this container's own loopback, so that the question
# can never reach the metadata service of the machine below.
case $KIND in
    host) address=169.254.169.254 ;;
    *) address=169.254.170.2 ;;
esac
ip address add "$address/32" dev lo
# The network leads nowhere but to the local AWS. Without a route what asks for more is told at once and does not wait.
ip route delete default 2>> "$log" || :
python3 /opt/localaws/metadata.py "$KIND" "$address" >> "$log" 2>&1 &

engine=
# shellcheck disable=SC2153  # boot.env has it
if [ "$ENGINE" = yes ]; then
    # Control groups are mounted read-only in a container; the engine inside needs to write them.
    for folder in /sys/fs/cgroup /sys/fs/cgroup/*; do
        mountpoint -q "$folder" && mount -o remount,bind,rw "$folder"
    done
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        # Version 2: a group with processes of its own cannot hand controllers to groups below it.
        mkdir -p /sys/fs/cgroup/init
        xargs -rn1 < /sys/fs/cgroup/cgroup.procs > /sys/fs/cgroup/init/cgroup.procs 2>> "$log" || :
        sed -e 's/ / +/g' -e 's/^/+/' < /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control 2>> "$log" || :
    fi
    dockerd --storage-driver overlay2 --log-level warn >> /var/log/dockerd.log 2>&1 &
    engine=$!
fi

stop() {
    # Ends the engine first: it stops its containers and remembers which are to come back.
    [ -n "$engine" ] && kill "$engine" && wait "$engine"
    exit 0
}
trap stop TERM INT

# Wait until the engine answers, at most a minute; the sleep is a child, so that TERM is heard at once.
if [ -n "$engine" ]; then
    tries=0
    until [ -S /run/docker.sock ] && docker version > /dev/null 2>&1 || [ "$tries" -ge 300 ]; do
        tries=$((tries + 1))
        sleep 0.2 & wait $!
    done
fi
: > /run/localaws-booted

if [ "$KIND" = host ]; then
    [ -x /opt/codedeploy-agent/bin/codedeploy-agent ] && /opt/codedeploy-agent/bin/codedeploy-agent start >> "$log" 2>&1
    cloud=/var/lib/cloud/instance
    if [ -s /etc/localaws/user-data ] && [ ! -e "$cloud/boot-finished" ]; then
        mkdir -p "$cloud"
        cp /etc/localaws/user-data "$cloud/user-data.txt"
        chmod 700 "$cloud/user-data.txt"
        if [ "$(head -c 2 "$cloud/user-data.txt")" = '#!' ]; then
            (cd / && exec "$cloud/user-data.txt") >> /var/log/cloud-init-output.log 2>&1
            echo "$?" > "$cloud/exit-status"
        else
            echo 'Unhandled non-multipart (text/x-not-multipart) userdata: only scripts that begin with #! are run here' \
                >> /var/log/cloud-init-output.log
        fi
        date -u +%FT%TZ > "$cloud/boot-finished"
    fi
fi

while :; do
    sleep 3600 & wait $!
done
