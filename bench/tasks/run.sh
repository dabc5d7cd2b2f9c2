#!/usr/bin/env bash
# usage: bench/tasks/run.sh [OUT]
# Trains each task of docs/tasks.md in full and pruned by the batch loss alone, over three seeds, into the
# experiments OUT/TASK (runs/tasks/TASK), and writes their tables. Goes on where it was stopped.
set -euo pipefail
out=${1:-runs/tasks}
winnow=${WINNOW:-bin/winnow}
mkdir -p "$out"
common=(--batch-size 32 --epochs 8 --methods none,bls-infobatch --ratios 0.3 --seeds 3 --batch-loss-only --markdown)
sizes=train=3000,test=1000
"$winnow" experiment --bundle lenet --data "glyphs:task=multi,$sizes" --loss bce --lr 0.1 --out "$out/multi" "${common[@]}"
[ -e "$out/lenet/model.onnx" ] || "$winnow" train --bundle lenet --limit-train 200 --limit-test 100 --epochs 1 --prune none --quiet --out "$out/lenet"
"$winnow" experiment --bundle "$out/lenet/model.onnx" --num-classes 3 --data "glyphs:task=pose,$sizes" --loss mse --lr 0.05 --out "$out/pose" "${common[@]}"
"$winnow" experiment --bundle unet --data "glyphs:task=mask,$sizes" --lr 0.1 --class-weights 0.1,1,1,1,1,1,1,1,1,1,1 --out "$out/mask" "${common[@]}"
"$winnow" experiment --bundle onnx/export/testdata/detect.onnx --loss none --data "glyphs:task=boxes,size=32,$sizes" --lr 0.05 --out "$out/boxes" --batch-size 32 --epochs 8 --methods none,bls-infobatch --ratios 0.3 --seeds 3 --markdown
