#!/usr/bin/env bash
# run.sh SECONDS OUT [CORES] - what tests/fuzz/bundle packed: every target of bin/ for SECONDS, all at once, one process
# each, on CORES (as of taskset: 0-31).  Prints a table.  OUT gets table.txt, NAME.log, crashes.tar (what was found; empty
# if nothing) and corpora.tar.xz, the grown corpora, with which the next bundle can begin.  ONLY='zip list' runs those
# alone.  Needs bash, coreutils, findutils, tar, awk, /proc and /dev/shm.
set -u
SECONDS_EACH=${1:?SECONDS} OUT=${2:?OUT} CORES=${3:-}
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$OUT"; OUT=$(cd "$OUT" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
pin=(); [ -z "$CORES" ] || pin=(taskset -c "$CORES")
flat=(); command -v setarch >/dev/null && setarch "$(uname -m)" -R true 2>/dev/null && flat=(setarch "$(uname -m)" -R)
export ASAN_OPTIONS=symbolize=0:allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=symbolize=0:print_stacktrace=1
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 LC_ALL=C
cd "$HERE" || exit 2
names=(); for f in bin/fuzz_*; do names+=("${f#bin/fuzz_}"); done
read -ra names <<<"${ONLY:-${names[*]}}"
for n in "${names[@]}"; do
    mkdir -p "$work/corpus/$n" "$work/crashes"
    seeds=(); [ ! -d "seeds/$n" ] || seeds=("seeds/$n")
    (   TIMEFORMAT='cpu %U %S'
        time "${pin[@]}" "${flat[@]}" lib/ld-linux-x86-64.so.2 --library-path lib "bin/fuzz_$n" \
            -max_total_time="$SECONDS_EACH" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
            -artifact_prefix="$work/crashes/$n-" "$work/corpus/$n" "${seeds[@]}"
        echo "ended $?" ) >"$OUT/$n.log" 2>&1 &
done
wait
tar -C "$work" -cf "$OUT/crashes.tar" crashes
XZ_OPT=-6 tar -C "$work" -cJf "$OUT/corpora.tar.xz" corpus 2>/dev/null || tar -C "$work" -czf "$OUT/corpora.tar.gz" corpus
for n in "${names[@]}"; do
    awk -v n="$n" -v crashes="$(find "$work/crashes" -name "$n-*" | wc -l)" '
        { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "ft:") ft = $(i + 1) } }
        /^stat::number_of_executed_units/ { runs = $2 }
        /^stat::peak_rss_mb/ { rss = $2 }
        /^stat::slowest_unit_time_sec/ { slow = $2 }
        /^cpu / { cpu = ($2 + $3) / 60 }
        /^ended / { status = $2 }
        END { printf "%-12s %8.1f %12d %6d %7d %8d %6d %7d %6d\n", n, cpu, runs, cov, ft, rss, slow, crashes, status }
    ' "$OUT/$n.log"
done | { printf '%-12s %8s %12s %6s %7s %8s %6s %7s %6s\n' target cpu_min executions cov feats peak_mb slow_s crashes status; cat; } |
    tee "$OUT/table.txt"
