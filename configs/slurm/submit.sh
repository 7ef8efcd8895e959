#!/bin/bash
# Explain a folder of checkpoints in N shards on Slurm, and merge them:
#
#     configs/slurm/submit.sh N CHECKPOINTS OBSERVATIONS RUN [OPTIONS OF lrpdyn compute...]
#
# Prints the number of the job that merges. All paths must be on a file system that the nodes share.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: $0 N CHECKPOINTS OBSERVATIONS RUN [OPTIONS OF lrpdyn compute...]" >&2
    exit 2
fi
here=$(dirname "$0")
shards=$1
export LRPDYN_CHECKPOINTS=$2 LRPDYN_OBSERVATIONS=$3 LRPDYN_OUT=$4
shift 4
array=$(sbatch --parsable --export=ALL --array="0-$((shards - 1))" "$here/shards.sh" "$@")
sbatch --parsable --export=ALL --dependency="afterok:$array" --kill-on-invalid-dep=yes "$here/merge.sh"
