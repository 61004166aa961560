# The text files of released versions, tests/data/released/VERSION/, and streams of a version to come.
. "$(dirname "$0")/lib.sh"

for v in "$DATA"/released/*/; do
    version=$(basename "$v")
    pf-stream table "$v/manifest.jsonl" >table.txt
    ok "the manifest of $version is read" grep -qx "2 objects: 1 done, 1 failed" table.txt
    ok "... with its figures" grep -qE '^pf-neus seconds +14\.5 ' table.txt
    ok "the stream of $version goes through" pf-stream cat -o out.pf "$v/stream.pf"
done
header='{"__metadata__":{"pf.format":"2","pf.kind":"views"}}'
printf "\\x$(printf %02x ${#header})\\0\\0\\0\\0\\0\\0\\0%s" "$header" >later.pf
fails "a later format is refused" 1 'pf.format "2"; this version' pf-stream info later.pf
