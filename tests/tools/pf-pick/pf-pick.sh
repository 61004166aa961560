# reconstruct.mk: pf-pick finds the elevation and chooses a sample, with the model that ships and the fewest steps.
. "$(dirname "$0")/../lib.sh"
D=$ROOT/configs/demo

if [ -n "${PF_SAN:-}" ]; then
    skip "reconstruct.mk with INPUT_ELEVATION=auto and SAMPLES=2" "a minute under sanitizers"
    exit
fi
pipeline() {
    make -s -f "$ROOT/pipelines/reconstruct.mk" PATH="$PATH" OUTPUT=out CONFIG="$D/config.yaml" CKPT="$D/weights.safetensors" \
        DEVICE=cpu CROP_SIZE=-1 SAMPLE_STEPS=2 CFG_SCALE=1 CANDIDATES=0,20 CANDIDATE_STEPS=2 "$@"
}
# told: without CANDIDATES, as the config decides.
told() {
    make -s -f "$ROOT/pipelines/reconstruct.mk" PATH="$PATH" out/refined.pf OUTPUT=out CONFIG="$D/config.yaml" \
        CKPT="$D/weights.safetensors" DEVICE=cpu CROP_SIZE=-1 INPUT="$D/photos/chair-18.png"
}
# elevation FILE: input.elevation in degrees.
elevation() { pf-stream get input.elevation "$1" | tail -c 4 | od -An -tf4 | awk '{printf "%.3g\n", $1 * 180 / 3.14159265}'; }
column() { head -n 1 "$1" | tr '\t' '\n' | grep -nx "$2" | cut -d: -f1; }

ok "reconstruct.mk finds the elevation and a sample" pipeline out/sample.pf INPUT="$D/photos/ball-20.png" SAMPLES=2
ok "a line for each candidate" test "$(wc -l <out/elevation.tsv)" = 3
ok "the views are made at what was found" test "$(elevation out/views.pf)" = "$(tail -n 1 out/elevation.tsv | cut -f "$(column out/elevation.tsv elevation)")"
ok "a line for each sample" test "$(wc -l <out/samples.tsv)" = 3
chosen=$(cut -f "$(column out/samples.tsv chosen)" out/samples.tsv | grep -nx 1 | cut -d: -f1)
ok "the chosen sample goes on" cmp <(pf-stream get --index $((chosen - 2)) views.image out/views.pf) <(pf-stream get views.image out/sample.pf)
rm -rf out
ok "a number is taken as it is" pipeline out/views.pf INPUT="$D/photos/ball-20.png" INPUT_ELEVATION=12.5
ok "and nothing is estimated" test ! -e out/candidates.pf -a "$(elevation out/views.pf)" = 12.5
rm -rf out
ok "the model's encoder tells the elevation" told
ok "to a few degrees, without any views" sh -c 'test ! -e out/candidates.pf && awk -v e="$1" "BEGIN {exit !(e > 13 && e < 23)}"' - "$(elevation out/refined.pf)"
fails "another model's encoder does not" 1 "views.elevation" pf-pick --refine -o x.pf out/input.pf
