# What all tools share: help, version, spellings, exit statuses, outputs.
. "$(dirname "$0")/lib.sh"
for tool in "$BIN"/pf-*; do
    t=$(basename "$tool")
    ok "$t -h prints help" sh -c "$t -h | grep -q '^usage: $t'"
    ok "$t --version names the version" sh -c "$t --version | grep -q posefusion"
    fails "$t refuses an unknown option" 2 "there is no option --no-such-thing" "$t" --no-such-thing
    fails "$t wants a value" 2 "--seed needs a value" "$t" --seed
    fails "$t parses numbers whole" 2 'needs a whole number, not "12abc"' "$t" --seed 12abc
    fails "$t names a missing config" 1 "cannot read none.yaml" "$t" -c none.yaml
    # Every option of -h stands in the man page.
    missing=
    for o in $("$t" -h | sed -n '/^common options/q; s/^ *\(-., \)\?--\([a-z0-9-]*\).*/\2/p'); do
        grep -q "Fl -$o\b" "$ROOT/man/$t.1" || missing="$missing --$o"
    done
    ok "man page of $t has every option$missing" test -z "$missing"
done
fails "a near miss is named" 2 "did you mean --seed?" pf-crop --sed 1
fails "a choice is checked" 2 "f32|tf32|f16|bf16" pf-crop --precision f8
fails "a range is checked" 2 "out of range" pf-crop --seed -1
