#!/bin/bash
# Train on a lent machine whose commands last ten minutes at most (README.md, "Training away").
#   train_away.sh start CARRIED SECONDS [option of train.py ...]     in the background, then watch
#   train_away.sh watch                     until it ends or the command's time is up
#   train_away.sh state N                   pieces 4 N ... 4 N + 3 of the state, to go on exactly
# CARRIED has models.bin and pairs-*.npz.  Results go to $OUT.  All GPUs of the machine train one model, a process each.
set -eu
work=/tmp/pf-train
watch() {
    while [ $SECONDS -lt "${PF_WATCH:-560}" ]; do
        sleep 10
        kill -0 "$(cat $work/pid)" 2>/dev/null || break
        nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader >>$work/busy
    done
    cp $work/log.* $work/busy "$OUT"/
    for f in $work/check.png $work/export/config.yaml; do [ ! -f $f ] || cp $f "$OUT"/; done
    weights=$work/export/weights.safetensors
    [ ! -f $weights ] || split -b 15M -d $weights "$OUT"/weights.
    sort $work/busy | uniq -c | sort -rn | head -5
    tail -n 40 $work/log.*
    kill -0 "$(cat $work/pid)" 2>/dev/null && echo 'still running' || echo 'ended'
}
case $1 in
start)
    carried=$2 seconds=$3
    shift 3
    mkdir -p $work
    cp "$carried"/pairs-*.npz $work/
    nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
    export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
    train="python3 tests/reference/train.py --work $work --models $carried/models.bin \
           --export $work/export --stage diffusion --seconds $seconds $*"
    gpus=$(nvidia-smi -L | wc -l)
    for ((r = gpus - 1; r >= 0; r--)); do
        RANK=$r WORLD_SIZE=$gpus MASTER_ADDR=127.0.0.1 MASTER_PORT=29511 setsid $train >$work/log.$r 2>&1 &
        echo $! >$work/pid
    done
    watch ;;
watch) watch ;;
state)
    [ -f $work/state.00 ] || split -b 15M -d $work/diffusion.pt $work/state.
    for k in $(seq $((4 * $2)) $((4 * $2 + 3))); do
        f=$work/state.$(printf %02d "$k")
        [ ! -f "$f" ] || cp "$f" "$OUT"/
    done
    cp $work/latents.pt "$OUT"/
    ls -la $work ;;
esac
