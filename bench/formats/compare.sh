#!/usr/bin/env bash
# Trains an epoch on each format of bench/formats/write.py and compares the losses.
# usage: bash bench/formats/compare.sh DIR [train flags]
set -euo pipefail
dir=$1
shift
winnow=${WINNOW:-bin/winnow}
for spec in "folder:$dir/folder" "csv:$dir/list.csv,root=$dir/folder" "jsonl:$dir/list.jsonl,root=$dir/folder" "tar:$dir/all-*.tar" "parquet:$dir/all.parquet"; do
	run=$dir/run-${spec%%:*}
	"$winnow" train --bundle lenet --data "$spec" --epochs 1 --seed 1 --prune none --device cpu --quiet --out "$run" --overwrite "$@"
	printf '%-8s ' "${spec%%:*}"
	sed 's/,"learning_rate.*//' "$run/metrics.jsonl"
done | tee "$dir/losses"
[ "$(sed 's/^[a-z]* *//' "$dir/losses" | sort -u | wc -l)" = 1 ] && echo "the same to the last bit" || { echo "they differ"; exit 1; }
