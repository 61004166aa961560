# Operator tests under compute-sanitizer: $PF_SANITIZED lists them.
. "$(dirname "$0")/../tools/lib.sh"
cd "$ROOT" || exit 1
command -v compute-sanitizer >/dev/null || { skip "compute-sanitizer" "not installed"; exit 0; }
for t in $PF_SANITIZED; do
    for tool in memcheck racecheck; do
        ok "$(basename "$t") under $tool" compute-sanitizer --tool $tool --error-exitcode 9 "$t"
    done
done
