# lib.sh - for the scripts of tests/tools: TAP output, a scratch folder, and checks of what a tool
# prints and returns.  The scripts beside it start with:  . "$(dirname "$0")/lib.sh"  (a tool's: ../lib.sh)
# $BIN holds the tools (set by tests/run; build/bin otherwise).
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL      # a make that a test runs is nobody's child
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=${BIN:-$ROOT/build/bin}
DATA=$ROOT/tests/data
PATH=$BIN:$PATH
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
cd "$TMP" || exit 1
n=0

# ok NAME COMMAND...: the command succeeds.
ok() {
    local name=$1; shift; n=$((n + 1))
    if "$@" >"$TMP/.out" 2>"$TMP/.err"; then echo "ok $n - $name"
    else echo "not ok $n - $name"; sed 's/^/# /' "$TMP/.err" | head -5; fi
}

# fails NAME STATUS WORDS COMMAND...: exits with STATUS and one line on stderr that contains WORDS.  (In bash alone: a
# process takes longer to start than most tools to refuse something.)
fails() {
    local name=$1 status=$2 words=$3 got said; shift 3; n=$((n + 1))
    "$@" >"$TMP/.out" 2>"$TMP/.err"; got=$?
    mapfile -t said <"$TMP/.err"
    if [ "$got" = "$status" ] && [ ${#said[@]} = 1 ] && [[ ${said[0]} == *"$words"* ]]; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        echo "# exit $got (expected $status), ${#said[@]} lines, expected \"$words\":"; printf '# %s\n' "${said[@]:0:5}"
    fi
}

# skip NAME WHY
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
