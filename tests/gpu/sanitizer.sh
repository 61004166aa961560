# Operator tests under compute-sanitizer: $PF_OPERATORS lists them.  It works on the host's cores, so that several
# run at a time, and racecheck is slow: PF_SANITIZED tells tests to leave out then what is large; under
# memcheck all of it runs.  The kernels of cublasLt are not for racecheck, which takes their clusters for races,
# and where test_linear calls many of them it stops with an internal error: its other kernels are test_conv's.
. "$(dirname "$0")/../tools/lib.sh"
cd "$ROOT" || exit 1
command -v compute-sanitizer >/dev/null || { skip "compute-sanitizer" "not installed"; exit 0; }

# check TOOL PROGRAM: what is said, and in the last line the status, go to a file of $TMP.
check() {
    local options=(--tool "$1" --error-exitcode 9 --require-cuda-init no --launch-timeout 60 --port $((49152 + 16 * SLOT)))
    if [ "$1" = racecheck ]; then
        export PF_SANITIZED=1
        for name in nvjet gemm cublas; do options+=(--kernel-name-exclude kns=$name); done
    fi
    { timeout 400 compute-sanitizer "${options[@]}" "$2"; echo "exit $?"; } >"$TMP/$(basename "$2").$1" 2>&1 </dev/null
}

# clean FILE: the status was 0; else what was said goes to stderr.
clean() {
    [ "$(tail -n 1 "$1")" = "exit 0" ] || { grep -vE '^(ok|not ok .* # SKIP|1\.\.|#) ?' "$1" >&2; return 1; }
}

jobs=$((($(nproc) + 1) / 2))                    # nproc is OMP_NUM_THREADS where that is set
export TMP OMP_NUM_THREADS=2
export -f check
checks=()
for t in $PF_OPERATORS; do
    [[ $t = */test_linear ]] || checks+=(racecheck "$t")
    checks+=(memcheck "$t")
done
printf '%s\n' "${checks[@]}" | xargs -n 2 -P $jobs --process-slot-var=SLOT bash -c 'check "$@"' check
for ((i = 0; i < ${#checks[@]}; i += 2)); do
    name=$(basename "${checks[i + 1]}")
    ok "$name under ${checks[i]}" clean "$TMP/$name.${checks[i]}"
done
