# sandbox: a decoder that was taken over (decoder.c) can do nothing, and what a tool has to do still goes.
# $PF_DECODER_SO: decoder.so.
. "$(dirname "$0")/../lib.sh"
DECODER=${PF_DECODER_SO:-$ROOT/build/release/tests/tools/sandbox/decoder.so}
if [ -n "${PF_SAN:-}" ]; then skip "sandbox" "sanitizers need more of the system"; exit; fi
if ! pf-stream cat --sandbox "$DATA/seeds/document/views" >views.pf 2>said; then skip "sandbox" "$(<said)"; exit; fi
mkdir out a b elsewhere; echo bytes >elsewhere/file
. "$ROOT/tests/tools/small-field.inc"
small_field field.pf

# taken TOOL ARGUMENT...: run it with the decoder; "report" has what it could do.
taken() {
    LD_PRELOAD=$DECODER PF_DECODER=7 PF_ELSEWHERE=$TMP/elsewhere "$@" 7>report >output 2>said
}
# harmless TOOL ARGUMENT...: it works, and the decoder was there and could do nothing.
harmless() {
    taken "$@" || { cat said >&2; return 1; }
    [ "$(grep -c '^tried 20$' report)" != 0 ] && ! grep '^allowed' report >&2 && grep -qx bytes elsewhere/file
}
check() { ok "a decoder taken over can do nothing: $1" harmless "${@:2}"; }

check pf-crop pf-crop --opaque -o out/crop.pf "$DATA/images/photo_rgb.png"
check "pf-crop, of WebP" pf-crop --opaque -o out/crop.pf "$DATA/images/photo.webp"
check "pf-crop, of JPEG" pf-crop --opaque -o out/crop.pf "$DATA/images/photo.jpg"
check pf-cutout pf-cutout --method plain -o out/cut.png "$DATA/images/photo_rgb.png"
check pf-mask pf-mask --method white -o out/masked.pf views.pf
check pf-stream pf-stream png -o 'out/%i/sheet.png' views.pf
check pf-weights pf-weights convert -o out/weights.safetensors "$DATA/checkpoint/crc.safetensors"
check pf-extract-mesh pf-extract-mesh -q --resolution 16 -o out/mesh.glb field.pf
check pf-render-video pf-render-video -q --frames 1 --size 16 --png out/frames -o out/video.mp4 field.pf
check pf-eval pf-eval mesh out/mesh.glb out/mesh.glb
check "assimp's process" pf-render-mesh -q --size 16 --fit -o out/mesh.pf out/mesh.glb
# Of ARCH=generic: each that the tools above may have started.
for level in x86-64:sse2 x86-64-v3:avx2 x86-64-v4:avx512vl; do
    crop=$BIN/../lib/posefusion/${level%:*}/pf-crop
    if [ -e "$crop" ] && grep -qw "${level#*:}" /proc/cpuinfo; then
        check "pf-crop of ${level%:*}" "$crop" --opaque -o out/crop.pf "$DATA/images/photo_rgb.png"
    fi
done

# So that the test is one: without the sandbox all that goes.
without() {
    taken pf-crop --no-sandbox --opaque -o out/crop.pf "$DATA/images/photo_rgb.png"
    [ "$(grep -c '^allowed' report)" -ge 15 ]
}
ok "without the sandbox it could do much" without

# A decoder that writes beside the output may; more than one place is known.
ok "all places of outputs can be written" pf-render-video -q --frames 1 --size 16 --png a/frames -o 'b/video.mp4' field.pf
