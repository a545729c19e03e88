#!/bin/sh
# The installed package under a real systemd: `sh tests/package/systemd.sh build/deb/sdcpd_*.deb`, as root, on Debian 12.
#
# systemd runs as process 1 of name spaces of its own, in this machine's root with the package laid over it in memory; what
# happens there is seen by nobody else. Tried: readiness, the sandbox, reload and its refusal, the watchdog, a stop, and a
# port that systemd opens. Not tried: limits of memory and tasks, where this machine's controllers are elsewhere.
set -eu

case "${1:-}" in
inside) # process 1 of the name spaces, before it becomes systemd
    work=$2 deb=$3 here=$4
    mount --make-rprivate /
    mount -t tmpfs tmpfs "$work"
    mkdir "$work/deb" "$work/up" "$work/work" "$work/root"
    dpkg -x "$deb" "$work/deb"
    if [ -d "$work/deb/lib" ]; then cp -a "$work/deb/lib/." "$work/deb/usr/lib/" && rm -r "$work/deb/lib"; fi
    mount -t overlay overlay -o "lowerdir=$work/deb:/,upperdir=$work/up,workdir=$work/work" "$work/root"
    cp "$here/tests/package/systemd.sh" "$here/tests/package/loopback.py" "$work/root/"
    cd "$work/root"
    mkdir -p oldroot
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    mount -t tmpfs -o mode=755 tmpfs dev
    for name in null zero full random urandom tty; do touch "dev/$name" && mount --bind "/dev/$name" "dev/$name"; done
    mkdir dev/shm dev/pts dev/mqueue
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    grep -q '^sdcpd:' etc/passwd || {
        echo 'sdcpd:x:64998:64998::/var/lib/sdcpd:/usr/sbin/nologin' >>etc/passwd
        echo 'sdcpd:x:64998:' >>etc/group
    }
    rm -rf etc/systemd/system && mkdir etc/systemd/system
    cat >etc/systemd/system/trial.service <<'UNIT'
[Unit]
DefaultDependencies=no
After=sdcpd.service
[Service]
Type=oneshot
StandardOutput=append:/mnt/trial.log
StandardError=inherit
ExecStart=/bin/sh /systemd.sh trial
UNIT
    printf '[Unit]\nRequires=systemd-journald.service\nWants=sdcpd.service trial.service\n' >etc/systemd/system/trial.target
    python3 loopback.py
    mount --bind "$5" mnt
    pivot_root . oldroot
    umount -l oldroot
    exec env -i container=trial /lib/systemd/systemd --system --unit=trial.target --log-target=journal --show-status=0
    ;;

trial) # below systemd
    verdict() { echo "$*" >/mnt/verdict; }
    trap 'journalctl --no-pager -u sdcpd.service | tail -40; verdict FAILED' EXIT
    of() { systemctl show sdcpd.service -p "$1" --value; }
    step() { printf 'systemd: %s\n' "$*"; }
    healthy() { python3 -c "from urllib.request import urlopen; assert urlopen('http://127.0.0.1:$1/healthz', timeout=30).read() == b'ok'"; }

    step "ready, and says how many printers are online"
    for _ in $(seq 60); do [ "$(of ActiveState)" = activating ] && sleep 0.5 || break; done
    [ "$(of ActiveState) $(of SubState)" = "active running" ]
    [ "$(of StatusText)" = "0 of 0 printers online" ]
    healthy 8080
    step "its own user, no privileges, filtered system calls"
    grep -q "^Uid:[[:space:]]$(id -u sdcpd)" "/proc/$(of MainPID)/status"
    grep -q '^CapBnd:[[:space:]]0*$' "/proc/$(of MainPID)/status"
    grep -q '^Seccomp:[[:space:]]2$' "/proc/$(of MainPID)/status"
    step "a reload"
    systemctl reload sdcpd.service
    [ "$(of ActiveState)" = active ]
    step "a reload that is refused: the status says why"
    cp /etc/sdcpd/sdcpd.toml /tmp/good.toml
    echo 'nonsense = 1' >>/etc/sdcpd/sdcpd.toml
    systemctl reload sdcpd.service
    of StatusText | grep -q 'refused.*nonsense'
    cat /tmp/good.toml >/etc/sdcpd/sdcpd.toml
    step "the watchdog is fed, and ends a daemon that hangs; it comes back"
    mkdir -p /run/systemd/system/sdcpd.service.d
    printf '[Service]\nWatchdogSec=3s\nRestartSec=1s\n' >/run/systemd/system/sdcpd.service.d/soon.conf
    systemctl daemon-reload
    systemctl restart sdcpd.service
    sleep 5 # nothing else tells that nothing has happened
    [ "$(of NRestarts)" = 0 ]
    kill -STOP "$(of MainPID)"
    for _ in $(seq 60); do [ "$(of NRestarts) $(of ActiveState)" = "1 active" ] && break || sleep 0.5; done
    [ "$(of NRestarts) $(of ActiveState)" = "1 active" ]
    step "a stop that counts as clean"
    systemctl stop sdcpd.service
    [ "$(of ActiveState) $(of Result)" = "inactive success" ]
    step "a port below 1024 that systemd opens, and that is there while the daemon starts"
    printf '[Socket]\nListenStream=0.0.0.0:80\nFileDescriptorName=web\n' >/run/systemd/system/sdcpd.socket
    sed -i 's/^listen = \["tcp:8080"\]/listen = ["systemd:domain=INET:name=web"]/' /etc/sdcpd/sdcpd.toml
    systemctl daemon-reload
    systemctl start sdcpd.socket
    healthy 80
    systemctl restart --no-block sdcpd.service
    healthy 80
    trap - EXIT
    verdict passed
    ;;

*) # outside
    [ "$(id -u)" = 0 ] || { echo "SKIP: needs root"; exit 0; }
    [ -x /lib/systemd/systemd ] || { echo "SKIP: no systemd here"; exit 0; }
    deb=$(realpath "$1") here=$(cd "$(dirname "$0")/../.." && pwd)
    work=$(mktemp -d) said=$(mktemp -d)
    # shellcheck disable=SC2016 # the inner shell expands them
    unshare --mount sh -c 'mount -t cgroup2 none "$0" && mkdir "$0/sdcpd-trial-$$" && echo $$ >"$0/sdcpd-trial-$$/cgroup.procs" &&
        echo $$ >"$1/group" && umount "$0" && shift &&
        exec unshare --mount --pid --uts --ipc --cgroup --net --fork --kill-child sh "$@"' \
        "$work" "$said" "$0" inside "$work" "$deb" "$here" "$said" </dev/null >"$said/start.log" 2>&1 &
    outer=$!
    for _ in $(seq 120); do { [ -e "$said/verdict" ] || ! kill -0 $outer 2>/dev/null; } && break || sleep 1; done
    for child in $(cat "/proc/$outer/task/$outer/children" 2>/dev/null); do kill -9 "$child"; done
    wait $outer 2>/dev/null || true
    cat "$said/trial.log" 2>/dev/null || cat "$said/start.log"
    verdict=$(cat "$said/verdict" 2>/dev/null || echo "FAILED: no verdict")
    # shellcheck disable=SC2016
    unshare --mount sh -c 'mount -t cgroup2 none "$0" && find "$0/sdcpd-trial-$1" -depth -type d -exec rmdir {} +' "$work" "$(cat "$said/group")" || true
    rm -rf "$work" "$said"
    echo "systemd: $verdict"
    [ "$verdict" = passed ]
    ;;
esac
