# The examples of the man pages and of README.md run as they stand: the files that they name are there, the
# options that they use exist.  In a copy of the tree's data, and with fewer steps.
. "$(dirname "$0")/lib.sh"

mkdir -p few tests
ln -s "$ROOT/configs" "$ROOT/pipelines" .
ln -s "$ROOT/tests/data" tests/data
# few/TOOL: the tool with a last word about its effort.
fewer() { printf '#!/bin/sh\nexec "%s/%s" "$@" %s\n' "$BIN" "$1" "$2" >"few/$1"; chmod +x "few/$1"; }
fewer pf-sample "--steps 1"
fewer pf-neus "--steps 5"
fewer pf-render-video "--frames 2 --size 64"
fewer pf-extract-mesh "--resolution 32"
PATH=$TMP/few:$PATH
export SAMPLE_STEPS=1 NEUS_STEPS=5 RESOLUTION=32 FRAMES=2       # what reconstruct.mk takes

# commands PAGE: the shell commands of a page's examples.  A block whose lines begin with "$" shows output as well.
commands() {
    awk '/^\.Sh/ {inside = $2 == "EXAMPLES"} !inside {next}
         /^\.Dl/ {sub(/^\.Dl (\$ )?/, ""); print; next}
         /^\.Bd/ {block = ""; on = 1; next}
         /^\.Ed/ {on = 0; dollar = block ~ /(^|\n)\$ /; k = split(block, line, "\n")
                  if (dollar) {for (i = 1; i <= k; i++) if (sub(/^\$ /, "", line[i])) print line[i]}
                  else if (block ~ /^(pf-|make |[A-Z]=)/) printf "%s", block
                  next}
         on {block = block $0 "\n"}' "$1" | sed 's/\\-/-/g; s/\\e/\\/g'
}

for page in "$ROOT"/man/*.[157]; do
    commands "$page" >run.sh
    [ -s run.sh ] || continue
    ok "examples of $(basename "$page") run ($(grep -c . run.sh) lines)" bash -euo pipefail run.sh
done

# README.md's blocks that begin with a setting or with make -f.
awk '/^    / {sub(/^    /, ""); block = block $0 "\n"; next}
     {if (block ~ /^([A-Z]=|make -f)/) printf "%s", block; block = ""}' "$ROOT/README.md" >run.sh
ok "README.md's pipelines run ($(grep -c . run.sh) lines)" bash -euo pipefail run.sh
ok "and make what it says" test -s mesh.glb -a -s turntable.mp4 -a -s out/chair/mesh.glb
