#!/bin/bash
# ablate.sh BIN PACK OUT [SECONDS] - the tables of kernels/field/field.md, 13, on a machine with GPUs:
# one elevation, several, worse views.  PACK: what ablate.py pack wrote.  SECONDS: of all three.
set -eu
bin=$1 pack=$2 out=$3 limit=${4:-240} here=$(dirname "$0")
gpus=$(nvidia-smi --query-gpu=index --format=csv,noheader)
mkdir -p "$out"

# table NAME SECONDS OPTION... - OUT/NAME.tsv, and the objects' own rows in OUT/NAME-each.tsv
table() {
	local name=$1 seconds=$2
	shift 2
	echo "== $name"
	# shellcheck disable=SC2086
	python3 "$here"/ablate.py run "$pack" --bin "$bin" -v "$here"/ablate.variants -d cuda \
		--gpus $gpus --jobs "${JOBS:-16}" --chunks 3 --limit "$seconds" \
		--each "$out/$name-each.tsv" "$@" | tee "$out/$name.tsv"
}

table one $((limit * 55 / 100)) --elevations 30 --pick base new grid fine long blind rgb late tone
table several $((limit * 20 / 100)) --elevations 30+0+60+-20 30+-20 --pick base fine late
table worse $((limit * 25 / 100)) --degrade none blur color shift masks --objects 10 --pick base fine late tone
