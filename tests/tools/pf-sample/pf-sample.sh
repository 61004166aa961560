# pf-sample --plan, with the model that ships: what it says is what a run takes.
. "$(dirname "$0")/../lib.sh"
D=$ROOT/configs/demo
sample() { pf-sample -q -d cpu -c "$D/config.yaml" -w "$D/weights.safetensors" "$@"; }
# mb FILE WORDS: the number behind these words at the beginning of a line.
mb() { sed -n "s/^$2  *\([0-9.]*\) MB.*/\1/p" "$1"; }

# same OPTION...: -v says after a run what the plan says before it.
same() {
    sample --plan "$@" >plan && sample -v --steps 1 "$@" -o views.pf photo.pf 2>said || return 1
    local kept=$(mb plan 'weights and constants') peak=$(mb plan 'activations at most') total=$(mb plan total)
    echo "the run: $(cat said), the plan: $kept, $peak, $total" >&2
    grep -qF "memory: $kept MB of weights and constants, $peak MB of activations at most, $total MB in all" said
}
ok "a photo" sh -c "pf-crop -c $D/config.yaml $D/photos/ball-20.png | pf-clip-embed -d cpu -c $D/config.yaml -w $D/weights.safetensors >photo.pf"
if [ -n "${PF_SAN:-}" ]; then
    skip "a plan is what a run takes" "a minute under sanitizers; test_sampler runs the same code"
else
    ok "a plan is what a run takes" same --steps 2
    ok "in parts, without guidance" same --batch-view-num 4 --cfg-scale 1
    ok "of several samples" same --batch-view-num 3 --sample-num 2 --target-elevation 0
fi

ok "a plan has a row for each batch" sh -c "pf-sample --plan -d cpu -c $D/config.yaml -w $D/weights.safetensors --batch-view-num 5 |
    awk '/ this run/ { own = \$1 } / [0-9.]* MB  *[0-9.]* MB/ { all = all \" \" \$1 } END { exit !(own == 5 && all == \" 1 2 4 5 8 16\") }'"
# Documents for each input elevation: as if pf-crop had said so, and the index counts on.
listed() {
    sample --steps 1 --cfg-scale 1 --input-elevation=-5,35 --sample-num 2 -o list.pf photo.pf &&
        pf-crop -q -c "$D/config.yaml" --input-elevation 35 "$D/photos/ball-20.png" |
        pf-clip-embed -q -d cpu -c "$D/config.yaml" -w "$D/weights.safetensors" |
        sample --steps 1 --cfg-scale 1 -o one.pf
}
same_tensor() { cmp <(pf-stream get --index 2 "$1" list.pf) <(pf-stream get "$1" one.pf); }
if [ -n "${PF_SAN:-}" ]; then
    skip "a list of input elevations" "a minute under sanitizers"
else
    ok "a list of input elevations" listed
    ok "a document for each and each sample" test "$(pf-stream info list.pf | grep -c 'document ')" = 4
    ok "its views are those of that elevation" same_tensor views.image
    ok "which it says" same_tensor input.elevation
    ok "the other's are others" sh -c '! "$@"' - cmp -s <(pf-stream get --index 0 views.image list.pf) <(pf-stream get views.image one.pf)
    rm -f list.pf one.pf
fi
# One view as the first of four steps lets one guess it: near what it becomes, where a mistake would leave noise.
# numbers FILE: the first view's numbers, a line each.
numbers() { pf-stream get views.image "$1" | tail -c +129 | head -c $((128 * 128 * 3)) | od -An -v -tu1 -w1; }
near() {
    pf-mask -q --elevation 30 -o guess.pf seen/0.png && paste <(numbers guess.pf) <(numbers seen.pf) |
        awk '{d = $1 - $2; sum += d < 0 ? -d : d} END {print sum / NR; exit !(NR == 49152 && sum > 0 && sum / NR < 10)}' >&2
}
if [ -n "${PF_SAN:-}" ]; then
    skip "a preview" "a minute under sanitizers"
else
    ok "a preview" sample --steps 4 --cfg-scale 1 --preview seen --preview-every 1 -o seen.pf photo.pf
    ok "it looks like the view" near
    ok "and is not in the history" sh -c '! pf-stream info seen.pf | grep -q "\"preview\""'
    rm -rf seen seen.pf guess.pf
fi
fails "previews where a file is" 1 "photo.pf" sample --preview photo.pf -o x.pf photo.pf
fails "an input elevation beyond the pole" 2 "--input-elevation" sample --input-elevation 20,90 -o views.pf photo.pf

plans() { sample --plan "$@" | grep -q '^total  *[0-9.]* MB$'; }
ok "it needs no stream" plans </dev/null
ok "it reads none" plans no-such-stream
echo before >old.pf
ok "it writes nothing" plans -o old.pf --png strips --dump dump.pf
ok "what was there stays" grep -qx before old.pf
ok "and nothing is left" test -z "$(ls -A | grep -vxE 'plan|said|old.pf|photo.pf|views.pf|\.out|\.err')"

fails "weights are wanted" 2 "-w WEIGHTS is missing" pf-sample --plan -c "$D/config.yaml"
fails "a batch of none" 2 "--batch-view-num" sample --plan --batch-view-num 0
fails "no such device" 2 'not "gpu"' sample --plan -d gpu
fails "no such precision" 1 "f32 or bf16" sample --plan --precision f16
fails "nor is there FP8 on the CPU" 1 "f32 or bf16" sample --plan --precision f8
fails "no such weights" 1 "none.safetensors" sample --plan -w none.safetensors
sed "s/context_dim: [0-9]*/context_dim: 121/" "$D/config.yaml" >other.yaml
fails "weights of another size" 1 "attn2.to_v.weight" sample --plan -c other.yaml
fails "a full disk" 1 "cannot write the plan" sh -c "pf-sample --plan -d cpu -c $D/config.yaml -w $D/weights.safetensors >/dev/full"
