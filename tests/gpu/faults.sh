#!/usr/bin/env bash
# faults.sh [BIN [FAULT [POINTS]]] - let calls of CUDA fail in a small run of each tool on a GPU (tests/fault/cuda.c).
# BIN: the tools; FAULT: the folder that holds fault and cuda/libpf-cuda.so (make faults-cuda, or the bundle's fault/).
# POINTS: so many of each kind and tool, spread, 8 without it; 0: all.  $ONLY: names of those to try; $JOBS: so many tools
# at once.  Prints points tried and survived, and those that were not; status 1 if there are any.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
BIN=$(realpath "${1:-$root/build/bin}") FAULT=$(realpath "${2:-$root/build/release-cuda/tests/fault}") POINTS=${3:-8}
JOBS=${JOBS:-$((($(nproc) + 3) / 4))}
demo=$root/configs/demo net=$root/configs/cutout/weights.safetensors
weights=(-c "$demo/config.yaml" -w "$demo/weights.safetensors")
nvidia-smi -L >/dev/null 2>&1 || { echo "no GPU here: nothing was checked" >&2; exit 1; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2
PATH=$BIN:$PATH

made() { "$@" -q 2>said || { cat said; echo "cannot make the inputs: $*"; exit 2; }; }
made pf-crop -c "$demo/config.yaml" --crop-size -1 --input-elevation 20 -o crop.pf "$demo/photos/ball-20.png"
made pf-clip-embed -d cuda "${weights[@]}" -o clip.pf crop.pf
made pf-sample -d cuda "${weights[@]}" --steps 20 --target-elevation 30 -o views.pf clip.pf
made pf-mask -o masked.pf views.pf
made pf-neus -d cuda -c "$root/configs/neus.yaml" --steps 300 -o field.pf masked.pf
made pf-extract-mesh -d cuda --resolution 32 -o mesh.glb field.pf
mkdir results

# try NAME OUTPUT TOOL ARGUMENT...: a folder of its own for each, so that some can run at once; @ in an argument is that folder.
try() {
    local name=$1 output=$2 tool=$3; shift 3
    [[ " ${ONLY:-$name} " == *" $name "* ]] || return
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
    mkdir "$name"
    { "$FAULT/fault" -g "$FAULT/cuda" -p "$POINTS" -n "$name" "$name/$output" "$BIN/$tool" -q -d cuda "${@//@/$name}" \
        >"results/$name" 2>&1; echo $? >"$name.status"; } &
}
# Three steps: a graph is recorded in the second and launched from then on.
try clip-embed o.pf pf-clip-embed "${weights[@]}" -o @/o.pf crop.pf
try sample o.pf pf-sample "${weights[@]}" --steps 3 -o @/o.pf clip.pf
try sample-f32 o.pf pf-sample "${weights[@]}" --steps 3 --precision f32 -o @/o.pf clip.pf
try cutout o.png pf-cutout --method net -w "$net" -o @/o.png "$root/tests/data/images/photo.jpg"
try mask-net o.pf pf-mask --method net -w "$net" -o @/o.pf views.pf
try neus o.pf pf-neus -c "$root/configs/neus.yaml" --steps 20 -o @/o.pf masked.pf
try neus-mlp o.pf pf-neus -c "$root/configs/neus-mlp.yaml" --steps 5 -o @/o.pf masked.pf
try nerf o.pf pf-neus --method nerf -c "$root/configs/nerf.yaml" --steps 20 -o @/o.pf masked.pf
try mesh o.glb pf-extract-mesh --resolution 32 -o @/o.glb field.pf
try video 0000.png pf-render-video --frames 1 --size 32 --png @ field.pf
if pf-render-mesh -q -d cpu --view-num 1 --size 32 --fit -o seen.pf mesh.glb 2>said; then
    try render-mesh o.pf pf-render-mesh --view-num 1 --size 32 --fit -o @/o.pf mesh.glb
else
    echo "render-mesh: not tried: $(tail -n 1 said)"
fi
wait
cat results/*
awk '$3 ~ /^[0-9]+$/ && $4 == "points" {tried[$1] += $5; survived[$1] += $7; all += $5; good += $7}
    END {for (n in tried) printf "%-16s %5d tried %5d survived\n", n, tried[n], survived[n] | "sort"; close("sort")
         printf "%-16s %5d tried %5d survived\n", "all", all, good}' results/*
# Every tool launches something, or was not seen to.
awk '$2 == "cuda-launch" && $3 > 0 {launched++} END {exit !launched || launched != ARGC - 1}' results/* &&
    ! grep -qvx 0 ./*.status
