#!/bin/sh
# Build the package from this checkout, into build/deb; `make deb` calls this. Installs what the build needs; with the word
# "missing" it only names that.
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "make deb: $*" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "needs Debian 12 or a system like it, with apt-get: there is none here."

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "some packages have to be installed. Run, as root: $*"
    fi
}

needed=$(sed -n '/^Build-Depends:/,/^[A-Z][a-z-]*:/p' debian/control | sed 's/^Build-Depends://; /^[A-Z]/d; s/([^)]*)//g' | tr ',\n' '  ')
needed=$(echo "$needed" | sed 's/debhelper-compat/debhelper/')
missing=
for package in dpkg-dev fakeroot lintian $needed; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ "${1:-}" = missing ]; then
    echo "$missing"
    exit
fi
if [ -n "$missing" ]; then
    echo "make deb: installing$missing"
    # shellcheck disable=SC2086 # a list of names
    { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; } ||
        fail "cannot install$missing; apt-get says above why."
fi

# A copy of what git knows or would take, as it is in the checkout: a build leaves nothing behind in that. Where git does
# not know the place (an unpacked archive), it is everything but what the Makefile makes.
rm -rf build/deb
mkdir -p build/deb/source
if git ls-files --cached --others --exclude-standard -z >build/deb/files 2>/dev/null; then
    # Files that are deleted and not yet committed so are in that list.
    tar --create --null --files-from=build/deb/files --ignore-failed-read --file=- 2>/dev/null
else
    tar --create --exclude=./.venv --exclude=./build --exclude=./.run --exclude=./.git --file=- .
fi | tar --extract --directory=build/deb/source
rm -f build/deb/files
cd build/deb/source
# Nothing is compiled (wheels only), so build-essential, which Debian takes for granted, is not needed and not asked for.
dpkg-checkbuilddeps -I
dpkg-buildpackage --no-check-builddeps --no-sign --build=binary
cd ..
rm -rf source
lintian --fail-on error,warning --allow-root ./*.changes
ls -l ./*.deb
