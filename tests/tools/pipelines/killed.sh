# reconstruct.mk, killed at random moments with SIGKILL: all of it, make alone or a tool alone.  The same command again
# leaves the bytes of a run that nobody disturbed, and nothing else.  With PF_LONG=1; $PF_KILLS: so many kills (100).
# $PF_MODEL: the program that writes the small model (test_shards.c).
. "$(dirname "$0")/../lib.sh"
if [ -z "${PF_LONG:-}" ]; then skip "reconstruct.mk killed" "takes minutes: PF_LONG=1"; exit; fi
"${PF_MODEL:-$ROOT/build/release/tests/tools/pipelines/test_shards}" . >said 2>&1 || { ok "a model" cat said; exit 1; }
export CONFIG=$PWD/config.yaml CKPT=$PWD/model.pf NEUS_CONFIG=$PWD/neus.yaml DEVICE=cpu INPUT_ELEVATION=20 CROP_SIZE=-1 \
    RESOLUTION=16 FRAMES=1 FILM_SIZE=32 NEUS_STEPS=8 OMP_NUM_THREADS=1 PF_MARK=$PWD
recon() { exec make -s -f "$ROOT/pipelines/reconstruct.mk" INPUT="$ROOT/configs/demo/photos/chair-18.png" OUTPUT="$1"; }
# mine: processes that were started here and still live.
mine() { env -u PF_MARK grep -lz "^PF_MARK=$PWD\$" /proc/[0-9]*/environ 2>/dev/null | grep -v "/$$/"; }
rest() { local i; for ((i = 0; i < 300; i++)); do [ -n "$(mine)" ] || return 0; env -u PF_MARK sleep 0.1; done; mine >&2; return 1; }

begin=$(date +%s%N)
(recon ref) >log 2>&1 || { ok "a run that nobody disturbs" cat log; exit 1; }
ms=$((($(date +%s%N) - begin) / 1000000))

# hit: one of the processes of the run, or all.
hit() {
    local one
    case $((RANDOM % 3)) in
    0) kill -9 -- "-$run" ;;
    1) kill -9 "$run" ;;
    2) one=$(pgrep -g "$run" pf- | shuf -n 1); kill -9 "${one:-$run}" ;;
    esac 2>/dev/null
}
# disturbed: one run, killed at some moment; true if it ended before.
disturbed() {
    local after=$((RANDOM % (ms + 1)))
    setsid bash -c "$(declare -f recon); ROOT='$ROOT'; recon out" >log 2>&1 & run=$!
    env -u PF_MARK sleep "$(printf '%d.%03d' $((after / 1000)) $((after % 1000)))"
    kill -0 "$run" 2>/dev/null && { hit; kills=$((kills + 1)); }
    wait "$run" 2>/dev/null
}
same() {
    local f
    diff <(cd ref && find . | sort) <(cd out && find . | sort) >&2 || return 1
    for f in ref/*.png ref/mesh.* ref/rendering.mp4; do cmp "$f" "out/${f#ref/}" || return 1; done
    cmp <(pf-stream get views.image ref/masked.pf) <(pf-stream get views.image out/masked.pf)
}

kills=0 runs=0 bad=
while [ $kills -lt "${PF_KILLS:-100}" ]; do
    rm -rf out; runs=$((runs + 1))
    until disturbed || [ $kills -ge "${PF_KILLS:-100}" ]; do rest || bad=1; done
    rest || bad=1
    (recon out) >log 2>&1 && same 2>said || { bad=1; break; }
done
ok "after $kills kills -9 in $runs runs all bytes are as undisturbed, and nothing is left over" \
    bash -c '[ -z "$1" ] || { cat said log >&2; exit 1; }' - "$bad"
