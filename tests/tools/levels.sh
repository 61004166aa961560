# Of make ARCH=generic: each tool for each level of x86-64, and what starts the best one (tools/start.c).
. "$(dirname "$0")/lib.sh"
levels=$BIN/../lib/posefusion
[ -d "$levels/x86-64" ] || { skip "a tool for the processor's level is started" "not built with ARCH=generic"; exit; }

demo=$ROOT/configs/demo
crop() { "$@" -q -c "$demo/config.yaml" --crop-size -1 "$demo/photos/chair-18.png" >crop && cmp crop best; }
pf-crop -q -c "$demo/config.yaml" --crop-size -1 "$demo/photos/chair-18.png" >best || exit 1
# Crops are the same bytes everywhere, and every processor has the first level.
ok "the lowest level works" crop "$levels/x86-64/pf-crop"
grep -qw avx2 /proc/cpuinfo && ok "so does the next" crop "$levels/x86-64-v3/pf-crop"

mkdir -p other/bin other/lib/posefusion/x86-64{,-v3,-v4}
cp "$BIN/pf-crop" other/bin
fails "no program for the processor's level" 1 "/pf-crop: No such file" other/bin/pf-crop -h
ln -s "$BIN/pf-crop" crop-it
ok "a link is the tool" ./crop-it --version
for l in x86-64 x86-64-v3 x86-64-v4; do
    printf '#!/bin/sh\necho %s "$@"\n' $l >other/lib/posefusion/$l/pf-crop
    chmod +x other/lib/posefusion/$l/pf-crop
done
expected=x86-64
if grep -qw avx512vl /proc/cpuinfo; then expected=x86-64-v4; elif grep -qw avx2 /proc/cpuinfo; then expected=x86-64-v3; fi
chosen() { [ "$(other/bin/pf-crop one 'two three')" = "$expected one two three" ]; }
ok "the best one is started, with the same arguments" chosen
