#!/usr/bin/env bash
# Trains an epoch on each format of bench/formats/write.py and compares the losses.
# usage: bash bench/formats/compare.sh DIR [train flags]
set -euo pipefail
dir=$1
shift
winnow=${WINNOW:-bin/winnow}
status=0
compare() { # FOLDER SPEC...: the specs have the same losses, to the last bit
	local set=$1 spec
	shift
	for spec in "$@"; do
		"$winnow" train --bundle "$bundle" --data "$spec" --aug imagenet --epochs 1 --seed 1 --prune none --device cpu --quiet --out "$set/run-${spec%%:*}" --overwrite "${flags[@]}"
		printf '%-8s ' "${spec%%:*}"
		sed 's/,"learning_rate.*//' "$set/run-${spec%%:*}/metrics.jsonl"
	done | tee "$set/losses"
	if [ "$(wc -l <"$set/losses")" = $# ] && [ "$(sed 's/^[a-z0-9]* *//' "$set/losses" | sort -u | wc -l)" = 1 ]; then
		echo "$set: $# formats, the same to the last bit"
	else
		echo "$set: they differ"
		status=1
	fi
}
flags=("$@")
bundle=lenet
files() { echo "folder:$1/folder" "csv:$1/list.csv,root=$1/folder" "jsonl:$1/list.jsonl,root=$1/folder"; }
small() { echo "tar:$1/{train,val}-*.tar" "parquet:$1/{train,validation}-00000-of-00001.parquet" "npz:$1/all.npz" "npy:$1/npy"; }
# Folders are named without blanks: the lists are split at them.
set -f
compare "$dir/files" $(files "$dir/files") "tar:$dir/files/all-*.tar" "parquet:$dir/files/all.parquet"
compare "$dir/colour" $(files "$dir/colour") $(small "$dir/colour") "cifar10:$dir/colour/cifar"
compare "$dir/grey" $(files "$dir/grey") $(small "$dir/grey") "idx:$dir/grey/idx"
bundle=$dir/grey/run-idx/model.onnx flags+=(--num-classes 100)
compare "$dir/fine" $(files "$dir/fine") $(small "$dir/fine") "cifar100:$dir/fine/cifar"
exit $status
