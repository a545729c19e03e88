#!/bin/sh
# Make what Python and Twisted would write into the virtual environment $1 if they could: the daemon's user cannot.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
cd "$1"
packages=$(echo lib/python3.*/site-packages)
# All files get the changelog's time in the package, so Twisted's cache would look no newer than what it describes:
# every start would read all plugins, and complain that it cannot keep what it found.
find "$packages"/twisted/plugins -name '*.py' -exec touch --date="@$((SOURCE_DATE_EPOCH - 86400))" {} +
rm -f "$packages"/twisted/plugins/dropin.cache
bin/python -I -B -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'
chmod 0644 "$packages"/twisted/plugins/dropin.cache
# Without the columns of expressions, which Twisted's tracebacks do not show and which take half a MB.
bin/python -I -B -X no_debug_ranges "$scripts/compile.py" .
