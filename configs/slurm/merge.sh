#!/bin/bash
# Put the shards together, once all tasks of the array have ended well.
#SBATCH --job-name=lrpdyn-merge
#SBATCH --cpus-per-task=1
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --output=lrpdyn-merge-%j.log
set -euo pipefail

exec lrpdyn merge "$LRPDYN_OUT"-parts/part-* -o "$LRPDYN_OUT"
