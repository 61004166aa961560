# What all tools share: help, version, spellings, exit statuses, outputs; and that man pages say what programs do.
. "$(dirname "$0")/lib.sh"

# values PAGE: "NAME VALUE" for each option of the page whose text ends in "Default: VALUE."  The value is the last
# word before the full stop, behind "Default:" on its line or on one of the lines after it.  "Default: words of more
# than one.", "Default: off." and options without it are left out: -h must then show no value.
values() {
    awk '/^\.(It|El|S[hs])/ {if (value && value != "off") print name, value
             name = /^\.It Fl -/ ? substr($3, 2) : ""; value = ""; inside = 0; next}
         !name {next}
         /^Default:/ {inside = 1; alone = $0 == "Default:"; sub(/^Default: */, "")
             if (!alone) {if (/^[^ ]+\.$/) value = $0; inside = 0}}
         inside && /^[^.].*\.$/ {value = $NF; inside = 0}
         {gsub(/\\/, "", value); sub(/\.$/, "", value)}' "$1"
}
# shown: "NAME VALUE" for each option that has a current value in the help on standard input.
shown() {
    sed '/^common options/,$d' | awk '
        function put() {if (name && match(text, / \([^() ]+\)$/)) print name, substr(text, RSTART + 2, RLENGTH - 3)}
        /^ +(-., )?--[a-z]/ {put(); name = $0; sub(/^ *(-., )?--/, "", name); sub(/ .*/, "", name); text = $0; next}
        /^ +also --/ {next}
        {text = text $0} END {put()}'
}

version=$(sed -n 's/^#define PF_VERSION "\(.*\)"/\1/p' "$ROOT/common/opt.h")
for tool in "$BIN"/pf-*; do
    t=$(basename "$tool")
    ok "$t -h prints help" sh -c "$t -h >usage && grep -q '^usage: $t' usage"
    ok "$t --version names the version" test "$("$t" --version)" = "$t (posefusion) $version"
    fails "$t refuses an unknown option" 2 "there is no option --no-such-thing" "$t" --no-such-thing
    fails "$t wants a value" 2 "--seed needs a value" "$t" --seed
    fails "$t parses numbers whole" 2 'needs a whole number, not "12abc"' "$t" --seed 12abc
    fails "$t names a missing config" 1 "cannot read none.yaml" "$t" -c none.yaml
    # Every option of -h stands in the man page.
    missing= text=$(<"$ROOT/man/$t.1")
    for o in $(sed -n '/^common options/q; s/^ *\(-., \)\?--\([a-z0-9-]*\).*/\2/p' usage); do
        named="Fl -$o\b"
        [[ $text =~ $named ]] || missing="$missing --$o"
    done
    ok "man page of $t has every option$missing" test -z "$missing"
    # And the same default.
    values "$ROOT/man/$t.1" | sort >page
    shown <usage | sort >help
    ok "man page of $t has every default" diff page help
    [ -s "$TMP/.out" ] && sed 's/^</# man page:/; s/^>/# -h:/' "$TMP/.out" | grep '^# '
done

# pf-config(5) has the keys and the values of common/config.c, and a config file takes them as they stand there.
sed -n '/^struct pf_config pf_conf/,/^};/p' "$ROOT/common/config.c" | sed 1d | tr -d '\n"' |
    sed -E 's/ += +/=/g; s/=\{([0-9][^}]*)\}/=[\1]/g; s/, +([0-9])/;\1/g; s/[{},] */\n/g; s/;/, /g' |
    sed -nE 's/^ *\.([a-z_0-9]+)=(.*)/\1 \2/p' | sed -E 's/^([a-z_0-9]+) $/\1:/; s/^([a-z_0-9]+) (.+)/  \1: \2/' >code.yaml
awk '/^\.Ss / {print $2 ":"} /^\.It Li .* : / {sub(/^\.It Li /, "  "); sub(/ : /, ": "); print}' "$ROOT/man/pf-config.5" >page.yaml
ok "pf-config(5) has the defaults of config.c" diff page.yaml code.yaml
[ -s "$TMP/.out" ] && sed 's/^</# man page:/; s/^>/# config.c:/' "$TMP/.out" | grep '^# '
ok "a config file takes them" pf-crop -c page.yaml -h
# The fast field's own file says nothing else; mlp's keys and others may be missing there.
sed -nE 's/^( +[a-z_0-9]+: [^ ]+).*/\1/p' "$ROOT/configs/neus.yaml" | sed 's/1\.0e-2/1e-2/' | sort >neus.yaml
sed -n '/^neus:/,/^nerf:/p' code.yaml | grep '^ ' | sort >code.neus
ok "configs/neus.yaml has the defaults of config.c" test -z "$(comm -23 neus.yaml code.neus)"

fails "a near miss is named" 2 "did you mean --seed?" pf-crop --sed 1
fails "a choice is checked" 2 "f32|tf32|f16|bf16|f8" pf-crop --precision f4
fails "a range is checked" 2 "out of range" pf-crop --seed -1
