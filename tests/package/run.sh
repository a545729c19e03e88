#!/bin/sh
# `make test-deb`: the package that `make deb` has built, tried in a clean Debian 12 root with a network of its own.
#
#   SDCPD_MIRROR    where debootstrap and apt fetch Debian from (the default is debootstrap's)
#   SDCPD_PREVIOUS  an older package, to upgrade from that one
#   SDCPD_SAMPLES   the sliced samples for the test of a print
#
# It ends with status 0 and a line that begins with SKIP where the machine cannot do it: no root, no name spaces of its
# own, no mirror. After such a line it goes on where there is no systemd-nspawn that boots, or no samples.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD

skip() {
    echo "SKIP make test-deb: $*"
    exit 0
}

if [ "${1:-}" != inside ]; then
    [ "$(id -u)" = 0 ] || skip "a clean root is set up by root only. Run it with sudo."
    deb=$(ls build/deb/sdcpd_*.deb)
    for program in debootstrap unshare; do
        command -v $program >/dev/null && continue
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $program >/dev/null; } ||
            skip "$program is not there and cannot be installed."
    done
    unshare --mount --pid --net --fork true 2>/dev/null || skip "this machine gives nobody mounts, processes and a network of his own."
    root=$(mktemp -d)
    # In a name space of its own, so that nothing stays mounted and no process is left, whatever happens.
    status=0
    unshare --mount --mount-proc --pid --fork --kill-child sh "$0" inside "$root" "$here/$deb" || status=$?
    rm -rf "$root"
    exit $status
fi

root=$2 deb=$3
begun=$(date +%s)
step() { printf '\ntest-deb: %4d s: %s\n' $(($(date +%s) - begun)) "$*"; }
inside() { chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive "$@"; }
# Loopback only: the daemon has its usual ports, and its searches reach nobody.
# shellcheck disable=SC2016 # the inner shell expands them
alone() { unshare --net sh -c 'python3 "$0/tests/package/loopback.py" && exec "$@"' "$here" "$@"; }

mount -t tmpfs -o size=2g,mode=755 sdcpd-test "$root" 2>/dev/null || true
step "a clean Debian 12"
# shellcheck disable=SC2086 # no mirror is no word
if ! debootstrap --variant=minbase --include=ca-certificates bookworm "$root" ${SDCPD_MIRROR:-} >"$root.log" 2>&1; then
    tail -5 "$root.log"
    rm -f "$root.log"
    skip "debootstrap could not make a Debian root; it says above why."
fi
rm -f "$root.log"
mount -t proc proc "$root/proc"
mount -t devpts devpts "$root/dev/pts" 2>/dev/null || true
[ -e "$root/dev/null" ] || mount --bind /dev "$root/dev"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
mkdir -p "$root/srv/sdcpd" "$root/srv/samples"
cp -r debian tests pyproject.toml "$root/srv/sdcpd"
cp "$deb" "$root/srv/sdcpd.deb"
if [ -n "${SDCPD_PREVIOUS:-}" ]; then cp "$SDCPD_PREVIOUS" "$root/srv/previous.deb"; fi
samples=${SDCPD_SAMPLES:-$here/../shared/samples}
if [ -d "$samples" ]; then cp "$samples"/* "$root/srv/samples"; fi

step "apt install ./sdcpd.deb: what it depends on is enough"
inside apt-get install -y -qq --no-install-recommends /srv/sdcpd.deb
# shellcheck disable=SC2016 # dpkg-query's words
inside dpkg-query --show --showformat='${Package} ${Version}: ${Installed-Size} KiB installed\n' sdcpd

step "install, use, upgrade, remove, purge"
alone chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 SDCPD_DEB=/srv/sdcpd.deb \
    ${SDCPD_PREVIOUS:+SDCPD_PREVIOUS=/srv/previous.deb} /srv/sdcpd/debian/tests/lifecycle

step "the same, with systemd as process 1"
if ! command -v systemd-nspawn >/dev/null; then
    echo "SKIP systemd as process 1: there is no systemd-nspawn (apt-get install systemd-container)."
elif ! inside apt-get install -y -qq --no-install-recommends systemd systemd-sysv /srv/sdcpd.deb >/dev/null; then
    echo "SKIP systemd as process 1: it cannot be installed."
else
    rm "$root/usr/sbin/policy-rc.d"
    cat >"$root/etc/systemd/system/sdcpd-test.service" <<'UNIT'
[Service]
Type=oneshot
Environment=SDCPD_DEB=/srv/sdcpd.deb
ExecStart=/bin/sh -c 'touch /srv/booted; /srv/sdcpd/debian/tests/lifecycle >/srv/said 2>&1; echo $? >/srv/status; journalctl --unit sdcpd >/srv/journal; systemctl --no-block poweroff'
[Install]
WantedBy=multi-user.target
UNIT
    inside systemctl --quiet enable sdcpd-test
    # systemd-nspawn keeps mounts that it finds: with our list of processes systemd takes its root for a chroot.
    umount "$root/dev/pts" "$root/proc" 2>/dev/null || true
    timeout --kill-after=10 600 systemd-nspawn --quiet --directory "$root" --private-network --keep-unit --register=no \
        --boot </dev/null >"$root/srv/console" 2>&1 &
    machine=$!
    for _ in $(seq 150); do { [ -e "$root/srv/booted" ] || ! kill -0 $machine 2>/dev/null; } && break || sleep 1; done
    [ -e "$root/srv/booted" ] || kill $machine 2>/dev/null || true
    wait $machine || true
    mount -t proc proc "$root/proc"
    if [ ! -e "$root/srv/booted" ]; then
        tail -3 "$root/srv/console"
        echo "SKIP systemd as process 1: it does not boot on this machine; it says above why."
    else
        cat "$root/srv/said"
        [ "$(cat "$root/srv/status")" = 0 ] || { cat "$root/srv/journal"; exit 1; }
    fi
fi

step "what the end-to-end test needs"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
inside apt-get install -y -qq --no-install-recommends /srv/sdcpd.deb curl python3-pytest python3-twisted >/dev/null
step "the end-to-end test of the source tree, with the installed programs, as the service's user"
status=0
alone chroot "$root" setpriv --reuid sdcpd --regid sdcpd --clear-groups --no-new-privs env -i PATH=/usr/bin:/bin \
    LANG=C.UTF-8 HOME=/tmp SDCPD_SAMPLES=/srv/samples ${SDCPD_REQUIRE_ALL:+SDCPD_REQUIRE_ALL=1} \
    sh -c 'cd /srv/sdcpd && exec debian/tests/print' || status=$?
case $status in
    0) ;;
    77) echo "SKIP the test of a print: it says above what is missing." ;;
    *) exit "$status" ;;
esac
step "passed"
