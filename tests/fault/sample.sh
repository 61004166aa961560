#!/usr/bin/env bash
# sample.sh - a few of the faults of faults.sh, for make check.  $PF_FAULT: the folder of fault and malloc.so.
. "$(dirname "$0")/../tools/lib.sh"
FAULT=${PF_FAULT:-$ROOT/build/release/tests/fault}
if [ -n "${PF_SAN:-}" ]; then skip "faults" "sanitizers have an allocator of their own"; exit; fi
if "$FAULT/fault" -t; then :; else skip "faults" "processes cannot be traced here, or not on this machine"; exit; fi
for what in weights stream-cat; do
    ok "a fault of any kind is survived: $what" env ONLY=$what FEW=1 bash "$ROOT/tests/fault/faults.sh" "$FAULT/fault" "$FAULT/malloc.so" 4
done
ok "a run that cannot be done is not called survived" bash -c '! "$@"' - "$FAULT/fault" -k open "$FAULT/malloc.so" "$TMP/x" /bin/false
for half in "-k cuda-memory -g $TMP" "-k malloc $TMP/none.so"; do
    # shellcheck disable=SC2016
    ok "nor is one in which nothing could fail: $half" \
        bash -c 'eval "$1" | grep -q "nobody counted"' - "$FAULT/fault $half $TMP/x /bin/bash -c 'echo >$TMP/x'"
done
