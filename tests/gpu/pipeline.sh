# The demo photo, and one to be cut out, through the tools on the CPU and on the GPU.
. "$(dirname "$0")/../tools/lib.sh"
demo=$ROOT/configs/demo
weights=(-c "$demo/config.yaml" -w "$demo/weights.safetensors")

# views DEVICE OUT [OPTION...]: from the photo to views.
views() {
    local d=$1 out=$2; shift 2
    pf-crop -q -c "$demo/config.yaml" --crop-size -1 --input-elevation 20 "$demo/photos/ball-20.png" |
        pf-clip-embed -q "${weights[@]}" -d "$d" "$@" | pf-sample -q "${weights[@]}" -d "$d" "$@" --steps 20 --latents \
            --target-elevation 30 -o "$out"
}

# cut DEVICE OUT [OPTION...]: a photo cut out by the network, as pf-crop takes it.
cut() {
    local d=$1 out=$2; shift 2
    pf-cutout -q --method net -w "$ROOT/configs/cutout/weights.safetensors" -d "$d" "$@" \
        "$ROOT/tests/data/images/photo.jpg" | pf-crop -q --input-elevation 20 -o "$out"
}

# near TENSOR A B LIMIT: the relative L2 distance of two streams' tensor, F32 or U8, is below LIMIT.
near() {
    pf-stream get "$1" "$2" >a.npy && pf-stream get "$1" "$3" >b.npy || return 1
    local type=f4 skip
    [ "$1" = views.image ] && type=u1
    skip=$((10 + $(od -An -tu2 -j8 -N2 a.npy)))
    paste <(od -An -v -t$type -j$skip -w${type#?} a.npy) <(od -An -v -t$type -j$skip -w${type#?} b.npy) |
        awk -v limit="$4" '{d += ($1 - $2) ^ 2; s += $1 ^ 2} END {e = sqrt(d / s); print e > "/dev/stderr"; exit !(e < limit)}'
}
[ "$(uname -m)" = x86_64 ] || { skip "the pipeline" "od's floats are checked on x86-64 alone"; exit 0; }

pf-sample -d cuda --version >/dev/null
if ! views cuda f32.pf --precision f32 2>err; then
    case $(cat err) in
    *"-d cpu"*) skip "views on the GPU" "no GPU"; exit 0 ;;
    esac
fi
ok "views on the CPU" views cpu cpu.pf
ok "latents in f32 are the CPU's" near views.latent cpu.pf f32.pf 1e-4
ok "views in f32 are the CPU's" near views.image cpu.pf f32.pf 1e-3
for p in tf32 f16 bf16; do
    ok "views in $p" views cuda $p.pf --precision $p
    ok "they are near the CPU's" near views.image cpu.pf $p.pf 3e-2
done
ok "again in bf16" views cuda again.pf --precision bf16
ok "the same bytes" cmp bf16.pf again.pf
ok "an object cut out on the CPU" cut cpu cut-cpu.pf
for p in f32 f16; do
    ok "on the GPU in $p" cut cuda cut-$p.pf --precision $p
    ok "it is near the CPU's" near input.alpha cut-cpu.pf cut-$p.pf 2e-2
done
ok "masks" pf-mask -q -o masked.pf f32.pf
for k in 1 2; do
    ok "a field on the GPU" pf-neus -q -c "$ROOT/configs/neus.yaml" -d cuda -o field$k.pf masked.pf
done
ok "the same bytes" cmp field1.pf field2.pf
ok "the first half of the training" pf-neus -q -c "$ROOT/configs/neus.yaml" -d cuda --stop-at 500 --checkpoint half.pf -o half-field.pf masked.pf
ok "the second half" pf-neus -q -c "$ROOT/configs/neus.yaml" -d cuda --resume half.pf -o field3.pf masked.pf
ok "give the same field" cmp field1.pf field3.pf
ok "a mesh" pf-extract-mesh -q -d cuda --resolution 128 -o mesh.ply field1.pf
ok "the CPU sees the GPU's field" pf-extract-mesh -q -d cpu --resolution 64 -o cpu.ply field1.pf
ok "frames" pf-render-video -q -d cuda --frames 3 --png frames field1.pf
