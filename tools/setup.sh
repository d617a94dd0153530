#!/usr/bin/env bash
# Makes the virtual environment: the first Python from 3.11 to 3.13 that is there, then the pinned packages.
set -euo pipefail
venv=$1
if [ ! -x "$venv/bin/python" ]; then
    for candidate in python3.11 python3.12 python3.13 python3; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            "$candidate" -m venv "$venv"
            break
        fi
    done
fi
if [ ! -x "$venv/bin/python" ]; then
    echo "no Python from 3.11 to 3.13 with venv was found on PATH: install one (Debian: apt install python3-venv)" >&2
    exit 1
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[cli,dev]'
