#!/bin/sh
# Sees that the machine has what tocsin needs from its operating system, installs it from Debian's packages
# where it may, and otherwise says exactly what to type.
#   need.sh python [PYTHON]   Python 3.11 or newer, with venv
#   need.sh compiler [PYTHON] a C compiler and Python's headers, for the one compiled module
#   need.sh node              Node 20 or newer, with npm
#   need.sh tests             PostgreSQL's server, Chromium, Prometheus and its node exporter, vmagent,
#                             collectd, which the tests start
set -eu

missing=""
want() { missing="$missing $1"; }
found() { command -v "$1" >/dev/null 2>&1; }

case "${1:-}" in
python)
    python=${2:-python3}
    if ! found "$python"; then
        want python3; want python3-venv
    elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "tocsin needs Python 3.11 or newer; $python is $("$python" -V). Try: make PYTHON=python3.12" >&2
        exit 1
    elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        want python3-venv
    fi
    ;;
compiler)
    found "${CC:-cc}" || found gcc || { want gcc; want libc6-dev; }
    "${2:-python3}" -c 'import os, sysconfig; open(os.path.join(sysconfig.get_paths()["include"], "Python.h"))' \
        2>/dev/null || want python3-dev
    ;;
node)
    found node && found npm || { want nodejs; want npm; }
    ;;
tests)
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || want postgresql
    found chromium || found chromium-browser || found google-chrome || want chromium
    found prometheus-node-exporter || want prometheus-node-exporter
    found prometheus || want prometheus
    found vmagent || want victoria-metrics
    found collectd || want collectd-core
    ;;
*)
    echo "usage: need.sh python|compiler|node|tests" >&2
    exit 2
    ;;
esac

if [ -n "$missing" ]; then
    if found apt-get && [ "$(id -u)" = 0 ]; then
        as_root=""
    elif found apt-get && found sudo && sudo -n true 2>/dev/null; then
        as_root="sudo"
    else
        echo "Install these packages first, then run make again:$missing" >&2
        echo "  on Debian or Ubuntu: sudo apt-get install$missing" >&2
        exit 1
    fi
    echo "Installing$missing with apt-get."
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086 # the names are meant to be split
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if [ "$1" = node ]; then
    major=$(node -p 'process.versions.node.split(".")[0]')
    if [ "$major" -lt 20 ]; then
        echo "tocsin's web UI needs Node 20 or newer to build; this is $(node -v)." >&2
        exit 1
    fi
fi
