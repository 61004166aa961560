#!/usr/bin/env bash
# faults.sh FAULT MALLOC_SO [POINTS] - let allocations and system calls of a small run of each tool fail (fault.c).
# POINTS: so many of each kind and tool, spread; without it all, or fewer where a run is long.  $BIN: the tools; $ONLY:
# names of those to try; $FEW: only those that need no network.  Prints points tried and survived; status 1 if one was not survived.
set -u
FAULT=$1 SO=$2 POINTS=${3:-}
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${BIN:-$ROOT/build/bin} DATA=$ROOT/tests/data DEMO=$ROOT/configs/demo
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
mkdir "$TMP/out"
cd "$TMP" || exit 2
bad=0

# try NAME POINTS OUTPUT TOOL ARGUMENT...: all points if POINTS is 0.
try() {
    local name=$1 points=$2 output=$TMP/out/$3 tool=$4; shift 4
    [[ " ${ONLY:-$name} " == *" $name "* ]] || return
    local more=()
    [ -n "${MAPPED:-}" ] && more=(-m "$MAPPED")
    [ -n "${SAYS:-}" ] && more+=(-s "$SAYS")
    "$FAULT" -p "${POINTS:-$points}" -n "$name" "${more[@]}" "$SO" "$output" "$BIN/$tool" "$@" -q -o "$output" || bad=1
}
made() { "$@" 2>said || { cat said; echo "cannot make the inputs: $*"; exit 2; }; }

cp "$DATA/checkpoint/small.ckpt" small.ckpt
MAPPED=$TMP/small.ckpt try weights 0 w.safetensors pf-weights convert small.ckpt
PATH=$BIN:$PATH
made pf-crop -q -c "$DEMO/config.yaml" --opaque -o crop.pf --crop-size -1 --input-elevation 20 "$DATA/images/photo.webp"
for f in webp png jpg; do
    try "crop-$f" 0 c.pf pf-crop --opaque --crop-size -1 --input-elevation 20 "$DATA/images/photo.$f"
done
field=$DATA/hostile/harmless/tiny.field.pf views=$DATA/seeds/document/views
try stream-cat 0 s.pf pf-stream cat crop.pf "$field"
try stream-info 0 s.json pf-stream info --json crop.pf
try stream-get 0 s.npy pf-stream get input.image crop.pf
try stream-png 0 s.png pf-stream png crop.pf
try stream-pack 0 s.pf pf-stream pack --center 0,0,0 --scale 1 --images "$DATA/images" "$DATA/seeds/transforms/instant_ngp"
try stream-table 0 t.txt pf-stream table "$DATA/seeds/manifest/done_and_failed"
[ -z "${FEW:-}" ] || exit $bad
try mask 0 a.pf pf-mask --method white "$views"
try cutout 0 c.png pf-cutout --method plain "$DATA/images/photo_rgb.png"
cat >neus.yaml <<'END'
neus: {levels: 2, level_features: 1, log2_table: 8, base_resolution: 4, max_resolution: 8, hidden: 8, color_hidden: 8,
       geo_features: 4, start_levels: 1, level_steps: 1, occupancy_resolution: 16, ray_samples: 16, steps: 5, batch_rays: 32,
       foreground_rays: 8}
END
try neus 200 f.pf pf-neus -c neus.yaml "$views"
made pf-neus -q -c neus.yaml --steps 60 -o field.pf "$views"
try mesh 200 m.glb pf-extract-mesh --resolution 16 field.pf
try video 200 v.mp4 pf-render-video --frames 1 --size 16 "$field"
made pf-extract-mesh -q --resolution 16 -o mesh.glb field.pf
try eval 200 e.tsv pf-eval mesh --samples 1000 mesh.glb mesh.glb
made pf-render-mesh -q --view-num 1 --size 16 --fit -o seen.pf mesh.glb
try eval-views 200 e.tsv pf-eval views seen.pf seen.pf
try render-mesh 100 r.pf pf-render-mesh --view-num 1 --size 16 --fit mesh.glb
mkdir object; cp field.pf mesh.glb object
SAYS='class="problem"' try report 200 r.html pf-report object
mkdir batch batch/chair && cp "$DATA/images/photo.png" batch/chair/cutout.png && cp "$DATA/images/photo.png" batch/chair/0.png
cp "$DATA/seeds/manifest/done_and_failed" batch/manifest.jsonl
SAYS='class="problem"' try report-batch 200 r.html pf-report batch
try clip-embed 200 e.pf pf-clip-embed -c "$DEMO/config.yaml" -w "$DEMO/weights.safetensors" crop.pf
made pf-clip-embed -q -c "$DEMO/config.yaml" -w "$DEMO/weights.safetensors" -o clip.pf crop.pf
try sample 8 v.pf pf-sample -c "$DEMO/config.yaml" -w "$DEMO/weights.safetensors" --steps 1 clip.pf
made pf-sample -q -c "$DEMO/config.yaml" -w "$DEMO/weights.safetensors" --steps 1 -o views.pf clip.pf
made pf-mask -q -o masked.pf views.pf
try pick 20 p.pf pf-pick -c "$DEMO/config.yaml" -w "$DEMO/weights.safetensors" masked.pf
exit $bad
