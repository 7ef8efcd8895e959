#!/bin/bash
# One shard of a run for each task of an array. Submit both jobs with configs/slurm/submit.sh.
#SBATCH --job-name=lrpdyn
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=lrpdyn-%A_%a.log
set -euo pipefail

# A task that is put back in the queue goes on where it was: the same command, the same folder.
exec lrpdyn compute "$LRPDYN_CHECKPOINTS" "$LRPDYN_OBSERVATIONS" \
    --shard "$((SLURM_ARRAY_TASK_ID + 1))/$SLURM_ARRAY_TASK_COUNT" \
    --workers "$SLURM_CPUS_PER_TASK" \
    -o "$LRPDYN_OUT-parts/part-$SLURM_ARRAY_TASK_ID" "$@"
