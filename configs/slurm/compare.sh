#!/bin/bash
# Compare the runs that are there in one table, and name those that are not, once all tasks have ended.
#SBATCH --job-name=lrpdyn-compare
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=01:00:00
#SBATCH --output=lrpdyn-compare-%j.log
set -euo pipefail

runs=() failed=()
while IFS=$'\t' read -r _ _ run; do
    if [ -f "$LRPDYN_OUT/$run/dynamics.npy" ]; then runs+=("$LRPDYN_OUT/$run"); else failed+=("$LRPDYN_OUT/$run"); fi
done < "$LRPDYN_OUT/runs.txt"
if ((${#runs[@]} > 1)); then
    lrpdyn compare "${runs[@]}" --by rule > "$LRPDYN_OUT/comparison.txt"
    lrpdyn compare "${runs[@]}" --by rule --format csv > "$LRPDYN_OUT/comparison.csv"
fi
if ((${#failed[@]})); then
    printf 'not done: %s\n' "${failed[@]}" >&2
    exit 1
fi
