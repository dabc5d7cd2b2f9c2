#!/bin/bash
# Two machines of four GPUs, a process each: sbatch docs/examples/slurm.sh
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=INT@120
#SBATCH --requeue
set -euo pipefail

# SIGINT comes two minutes before the end: every process stops at the same step,
# and the run is written. Queued again, the job goes on from there.
srun --mpi=pmix winnow train --bundle "${BUNDLE:-resnet20}" --data "${DATA:-cifar10:$PWD/cifar10}" \
  --batch-size 1024 --epochs 90 --lr 0.4 --warmup-epochs 5 --device "${DEVICE:-cuda}" \
  --resume auto --out "runs/$SLURM_JOB_NAME"
