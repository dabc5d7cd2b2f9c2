#!/usr/bin/env bash
# usage: bench/tasks/run.sh [OUT]
# Trains each task of docs/tasks.md in full and pruned by the batch loss alone, over three seeds, into the
# experiments OUT/TASK (runs/tasks/TASK), and writes their tables. Goes on where it was stopped.
set -euo pipefail
out=${1:-runs/tasks}
winnow=${WINNOW:-bin/winnow}
mkdir -p "$out"
sizes=train=4000,test=1000
run() { # TASK FLAGS
	"$winnow" experiment --out "$out/$1" --batch-size 32 --epochs 6 --methods none,bls-infobatch --ratios 0.3 --seeds 3 --device cpu --markdown "${@:2}"
}
run multi --bundle lenet --data "glyphs:task=multi,$sizes" --loss bce --opt adam --lr 0.003 --batch-loss-only
[ -e "$out/lenet/model.onnx" ] || "$winnow" train --bundle lenet --limit-train 200 --limit-test 100 --epochs 1 --prune none --device cpu --quiet --out "$out/lenet"
run pose --bundle "$out/lenet/model.onnx" --num-classes 3 --data "glyphs:task=pose,$sizes" --loss mse --opt adam --lr 0.002 --batch-loss-only
run boxes --bundle onnx/export/testdata/detect.onnx --loss none --data "glyphs:task=boxes,size=32,$sizes" --opt adam --lr 0.001
run mask --bundle unet --data "glyphs:task=mask,$sizes" --opt adam --lr 0.003 --class-weights 0.1,1,1,1,1,1,1,1,1,1,1 --batch-loss-only
