#!/bin/bash
# One run for each task of an array. Submit it with configs/slurm/submit-runs.sh.
#SBATCH --job-name=lrpdyn-runs
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=lrpdyn-runs-%A_%a.log
set -euo pipefail

IFS=$'\t' read -r training rule run < <(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$LRPDYN_OUT/runs.txt")
# A task that is put back in the queue goes on where it was: the same command, the same folder.
exec lrpdyn compute "$training" "$LRPDYN_OBSERVATIONS" --rule "$rule" --workers "$SLURM_CPUS_PER_TASK" \
    -o "$LRPDYN_OUT/$run" "$@"
