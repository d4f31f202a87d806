#!/usr/bin/env bash
# Scans templates with checkov, as they are and once more without the conditions of their resources: checkov passes
# over a resource whose condition is false by the defaults.
#
# usage: checkov.sh path/to/checkov template.yaml …   (from the root of the repository)
set -euo pipefail

checkov=$1
shift

copies=$(mktemp -d)
trap 'rm -rf "$copies"' EXIT

arguments=()
for template in "$@"; do
    mkdir -p "$copies/$(dirname "$template")"
    sed '/^    Condition: /d' "$template" >"$copies/$template"
    arguments+=(--file "$template" --file "$copies/$template")
done

"$checkov" --framework cloudformation --compact --quiet --skip-download "${arguments[@]}"
