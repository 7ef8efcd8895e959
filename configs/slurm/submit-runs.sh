#!/bin/bash
# Explain several trainings by several rules on Slurm, a task for each run, and compare all runs in one table:
#
#     RULES="zplus gamma:0.25" configs/slurm/submit-runs.sh TRAININGS OBSERVATIONS OUT [OPTIONS OF lrpdyn compute...]
#
# TRAININGS holds a folder of checkpoints for each seed. The runs lie in OUT/TRAINING/RULE, and OUT/runs.txt lists
# them. The same command goes on where it was stopped; what is finished is left as it is. Prints the number of the
# job that compares. All paths must be on a file system that the nodes share.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: RULES=\"RULE...\" $0 TRAININGS OBSERVATIONS OUT [OPTIONS OF lrpdyn compute...]" >&2
    exit 2
fi
here=$(dirname "$0") trainings=$1
export LRPDYN_OBSERVATIONS=$2 LRPDYN_OUT=$3
shift 3
mkdir -p "$LRPDYN_OUT"
for training in "$trainings"/*/; do
    for rule in ${RULES:-zplus gamma:0.25 epsilon-plus}; do
        printf '%s\t%s\t%s\n' "$training" "$rule" "$(basename "$training")/${rule//[^A-Za-z0-9.-]/_}"
    done
done > "$LRPDYN_OUT/runs.txt"
tasks=$(wc -l < "$LRPDYN_OUT/runs.txt")
array=$(sbatch --parsable --export=ALL --array="0-$((tasks - 1))" "$here/runs.sh" "$@")
# Runs that failed must not keep the others from being compared.
sbatch --parsable --export=ALL --dependency="afterany:$array" "$here/compare.sh"
