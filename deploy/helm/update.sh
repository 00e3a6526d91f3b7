#!/bin/sh
# update.sh: copies the dashboard and the alerts of deploy/observability into the chart, where alone helm can read them.
#
#     deploy/helm/update.sh [--check]     --check: only say whether the copies are current
set -eu
cd -- "$(dirname -- "$0")/niffler-png"
from=../../observability
mkdir -p files
for name in dashboard.json rules.yaml; do
    if [ "${1-}" = --check ]; then
        cmp "$from/$name" "files/$name" || { echo "update.sh: run deploy/helm/update.sh" >&2; exit 1; }
    else
        cp "$from/$name" "files/$name"
    fi
done
