#!/usr/bin/env bash
# bench_photo.sh CONFIG WEIGHTS PHOTO VIEWS [ROUNDS] - one photo to views, and to a mesh and frames, by cold processes on a GPU.
# All tools of a pipe start at once, so that each opens the device while those before it work.  VIEWS: a views document of an
# object, which stands in for what random weights draw.  BIN: the tools; PHOTO's elevation is 20 degrees; $SAMPLE: more for
# pf-sample.  Prints the seconds of each round: views; mesh and 180 frames.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
config=$(realpath "$1") weights=$(realpath "$2") photo=$(realpath "$3") views=$(realpath "$4") rounds=${5:-3}
PATH=$(realpath "${BIN:-$root/build/bin}"):$PATH tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
model=(-q -c "$config" -w "$weights" -d cuda)
read -ra more <<<"${SAMPLE:-}"
now() { date +%s.%N; }
to_views() {
    pf-crop -q --crop-size 200 --input-elevation 20 "$photo" | pf-clip-embed "${model[@]}" |
        pf-sample "${model[@]}" "${more[@]}" --target-elevation 30 -o made.pf
}
for _ in $(seq "$rounds"); do
    a=$(now)
    to_views
    b=$(now)
    { to_views; cat "$views"; } | pf-mask -q --method alpha | pf-neus -q -d cuda -c "$root/configs/neus.yaml" |
        tee >(pf-extract-mesh -q -d cuda --resolution 512 -o mesh.ply; echo >meshed) |
        pf-render-video -q -d cuda --frames 180 --png frames
    until [ -e meshed ]; do sleep 0.01; done
    c=$(now)
    awk -v a="$a" -v b="$b" -v c="$c" 'BEGIN {printf "photo to views %.2f s, to a mesh of 512^3 and 180 frames %.2f s\n", b - a, c - b}'
    rm -rf meshed mesh.ply frames
done
