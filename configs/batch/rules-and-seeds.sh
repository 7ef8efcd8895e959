#!/usr/bin/env bash
# Explain several trainings by several rules, and compare all runs in one table.
#
#     RULES="zplus gamma:0.25" configs/batch/rules-and-seeds.sh TRAININGS OBSERVATIONS OUT
#
# TRAININGS holds a folder of checkpoints for each seed. Whatever else compute is to be told stands in
# variables: LRPDYN_COMPUTE_EVERY=10, LRPDYN_COMPUTE_TARGET=final. The runs lie in OUT/TRAINING/RULE, the table
# in OUT/comparison.txt and OUT/comparison.csv. The same command goes on where it was stopped; what is finished
# is left as it is. What fails is named at the end, and the rest is done.
set -euo pipefail

trainings=$1 observations=$2 out=$3
runs=() failed=()
for training in "$trainings"/*/; do
    for rule in ${RULES:-zplus gamma:0.25 epsilon-plus}; do
        run=$out/$(basename "$training")/${rule//[^A-Za-z0-9.-]/_}
        status=0
        lrpdyn compute "$training" "$observations" --rule "$rule" -o "$run" || status=$?
        case $status in
            0 | 3) runs+=("$run") ;;           # 3: done, without what --skip-bad left out
            130 | 143) exit "$status" ;;       # stopped by a signal
            *) failed+=("$run") ;;
        esac
    done
done
if ((${#runs[@]} > 1)); then
    lrpdyn compare "${runs[@]}" --by rule > "$out/comparison.txt"
    lrpdyn compare "${runs[@]}" --by rule --format csv > "$out/comparison.csv"
fi
if ((${#failed[@]})); then
    printf 'not done: %s\n' "${failed[@]}" >&2
    exit 1
fi
