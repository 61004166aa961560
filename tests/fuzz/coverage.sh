#!/usr/bin/env bash
# coverage.sh BUILD PROGRAM... - run tests that were compiled with --coverage into BUILD, and say how many lines of the
# parsers they reach; status 1 if fewer than 92 of 100 in all.
set -u
B=$1; shift
cd "$(dirname "$0")/../.." || exit 2
PARSERS="common/unpickle.c common/unpickle_torch.c common/unzip.c common/checkpoint*.c common/safetensors.c common/onnx.c
         common/image*.c common/config.c common/stream.c common/doc.c common/posed_views.c common/world.c common/kind.c
         common/text.c common/slurp.c common/capture.c common/transforms.c common/colmap.c tools/pf-mask/strip.c
         tools/pf-crop/list.c tools/pf-stream/table.c tools/pf-report/manifest.c
         tools/pf-eval/shape*.c kernels/raster/ply.c kernels/raster/scene.c kernels/raster/texture.c"
find "$B" -name '*.gcda' -delete
for t in "$@"; do
    CMOCKA_MESSAGE_OUTPUT=TAP "$t" >"$B/said" 2>&1 || { echo "$t fails:"; grep -m5 '^not ok' "$B/said"; }
done
for f in $PARSERS; do
    # "Lines executed:93.10% of 203", of the file itself and not of what it includes.
    gcov -n -o "$B/$f.gcda" "$f" 2>/dev/null | grep -A1 "^File '$f'" | sed -n "s,Lines executed:\(.*\)% of \(.*\),$f \1 \2,p"
done | awk '{printf "%-36s %6.2f %% of %4d lines\n", $1, $2, $3; hit += $2 * $3 / 100; all += $3}
    END {if (!all) {print "nothing was measured"; exit 1}
    printf "%-36s %6.2f %% of %4d lines\n", "all parsers", 100 * hit / all, all; exit hit < 0.92 * all}'
