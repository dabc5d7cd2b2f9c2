#!/usr/bin/env bash
# Export and train five networks for twenty steps on images, and show that the loss falls.
# usage: steps.sh FOLDER     with FOLDER/NAME.dynamo.onnx (runs/models/torchvision), made by gen.py; bin/winnow must be built
set -euo pipefail
models=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in resnet18 mobilenet_v3_small efficientnet_b0 convnext_tiny vit_b_32; do
  bin/winnow export "$models/$name.dynamo.onnx" -o "$work/$name" --opt adamw --weight-decay 0.01 \
    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  # 4 epochs of 160 images, 32 at a time: twenty steps
  bin/winnow train --bundle "$work/$name" --data glyphs:color=rgb,size=64 --limit-train 160 --limit-test 64 \
    --batch-size 32 --epochs 4 --lr 0.0003 --sched constant --prune none --seed 1 --out "$work/run" --overwrite --quiet
  awk -v name="$name" '{ match($0, /"train_loss":[0-9.]+/); loss[NR] = substr($0, RSTART + 13, RLENGTH - 13) }
    END { printf "%-20s", name; for (i = 1; i <= NR; i++) printf " %.4f", loss[i]; print ""; exit !(loss[NR] < loss[1]) }' "$work/run/metrics.jsonl"
done
