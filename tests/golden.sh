#!/usr/bin/env bash
# golden.sh [BUILD] - compare everything with ../shared/golden (or $PF_GOLDEN) and print what was
# measured.  BUILD is make's, "build" by default; PF_LONG=1 adds the whole run of 50 steps.
# Builds what it needs, for the CPU, which computes in f32; says so and succeeds where there are no golden data.
set -euo pipefail
cd "$(dirname "$0")/.."
export PF_GOLDEN=${PF_GOLDEN:-../shared/golden} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
build=${1:-build}
if [ ! -d "$PF_GOLDEN" ]; then
    echo "no golden data at $PF_GOLDEN: nothing to compare"
    exit 0
fi
tests=$(grep -rlE --include='test_*.c' 'PF_GOLDEN|golden\.h' tests/common tests/kernels tests/tools | sed "s,\.c$,,; s,^,$build/release/,")
make CUDA=0 BUILD="$build" $tests
failed=0
for t in $tests; do
    echo "== ${t#"$build/release/"}"
    out=$("$t" 2>&1) || failed=1
    grep -E '^#|ERROR|FAILED|SKIPPED|PASSED' <<<"$out" || true
done
exit $failed
