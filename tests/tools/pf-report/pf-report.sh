# pf-report: a page about a small object and a batch, read as text and, where there is Chromium, as a page.
. "$(dirname "$0")/../lib.sh"
. "$ROOT/tests/tools/small-field.inc"
HERE=$ROOT/tests/tools/pf-report

# An object's folder, as reconstruct.mk makes it; its name wants to be markup.
O='<b>"&'\''</script><img src=x onerror=stolen=1>'
mkdir -p obj
small_field obj/field.pf
pf-neus -q -c small.yaml --steps 9 --log obj/loss.csv -o obj/field.pf views.pf
pf-extract-mesh -q --resolution 24 -o obj/mesh.ply obj/field.pf
pf-render-video -q --size 32 --frames 2 -o obj/rendering.mp4 obj/field.pf
cp views.pf obj/masked.pf
cp "$DATA/images/photo.png" obj/cutout.png
printf 'sample\tscore\n0\t0.5\n1\t<i>\n' >obj/samples.tsv
cp -r obj whole; cp views.pf whole/views.pf
touch -d '2026-01-01 00:00:00' whole/*; touch -d '2026-01-01 00:00:07.5' whole/masked.pf

page() { pf-report -o "$1.html" "${@:2}"; }
has() { [[ $(<"$1.html") == *"$2"* ]]; }
lacks() { ! has "$@"; }
ok "an object's folder becomes a page" page whole --photo "$DATA/images/photo.jpg" whole
for what in 'class="status done">finished' 'alt="Photo of whole"' 'alt="Cut-out of whole"' 'data:video/mp4;base64,AAAA' \
        'alt="View 1 of 1, elevation 0.0 degrees"' 'alt="Cut-out view 1 of 1' 'aria-label="Losses of training, steps 0 to 8:' \
        '2026-01-01 00:00:07 UTC</td><td class="number" data-value="7.500">7.5 s' '<td>pf-neus</td>' '<code>--steps 9</code>' '<td>&lt;i&gt;</td>' '<td>mesh.ply</td>'; do
    ok "... with $what" has whole "$what"
done
ok "the object has the folder's name where pf-crop named it after cutout.png" sh -c '
    mkdir mug && cp obj/cutout.png mug && pf-crop -q -o mug/input.pf mug/cutout.png && pf-report -o mug.html mug && grep -q "<h2 id=\"name-1\">mug</h2>" mug.html'
ok "and else its own" sh -c 'pf-crop -q --opaque -o mug/input.pf "$0" && pf-report -o mug.html mug && grep -q "<h2 id=\"name-1\">photo</h2>" mug.html' "$DATA/images/photo.jpg"
mkdir mug/preview-field elsewhere
for i in $(seq 100 100 2000); do cp "$DATA/images/photo.png" "mug/preview-field/$(printf %06d "$i").png"; done
cp "$DATA/images/photo.png" elsewhere/0.png; echo nothing >elsewhere/1.png
ok "previews are shown" page mug --preview elsewhere --picture-size 16 mug
ok "... every few, and the last" test "$(grep -o 'alt="Preview 00[0-9]*.png of photo"' mug.html | tr -dc '0-9\n' | tr '\n' ' ')" = \
    "000300 000500 000800 001000 001300 001500 001800 002000 "
ok "... and said" has mug '<figcaption>Previews: preview-field (8 of 20)<'
ok "... those of --preview" has mug 'alt="Preview 0.png of photo"'
ok "... a damaged one is said" has mug 'class="problem">elsewhere/1.png is neither a PNG'
ok "the same folder gives the same page" sh -c 'cp whole.html whole/report.html && pf-report --photo "$0" whole | cmp - whole.html' "$DATA/images/photo.jpg"
ok "what is missing is said" page part obj
ok "... by name" has part 'class="status partial">not finished, or failed: there is no views (views.pf)<'
ok "... and a long film is" page part --film-size 0.0001 obj
ok "... left out" has part 'It is larger than the 0.0001 MB'

# mesh BYTES AT: a copy of the mesh with other bytes there.
size=$(wc -c <obj/mesh.ply) head=$(grep -a -m 1 -b -o end_header obj/mesh.ply | cut -d: -f1); head=$((head + 11))
broken() {
    mkdir -p "$1"; cp obj/mesh.ply "$1"
    printf "$2" | dd of="$1/mesh.ply" bs=1 seek="$3" conv=notrunc status=none
    page "$1" "$1"
}
ok "a vertex that is no number" broken nan '\0\0\300\177' $head
ok "... is said" has nan 'nan/mesh.ply: the place of vertex 0 is nan, expected'
ok "a face without its vertex" broken index '\377\377\377\377' $((size - 4))
ok "... is said" has index "index/mesh.ply: a face has the vertex -1."
mkdir short huge; head -c $((size - 1)) obj/mesh.ply >short/mesh.ply
sed 's/^element face .*/element face 9999999/' obj/mesh.ply >huge/mesh.ply
ok "a mesh that is cut off" page short short
ok "... is said" has short 'short/mesh.ply: the PLY file ends early'
ok "a mesh that claims too much" page huge huge
ok "... is said" has huge 'huge/mesh.ply: the PLY file ends early'
vertices=$(sed -n 's/^element vertex //p;/^end_header/q' obj/mesh.ply)
ok "a mesh is thinned" page thin --mesh-vertices 100 obj
ok "... to so many vertices" awk -v most=100 -v had="$vertices" '
    match($0, /data-vertices="[0-9]+"/) {n = substr($0, RSTART + 15, RLENGTH - 16) + 0} END {exit !(n > 30 && n <= most && had > most)}' thin.html

mkdir glb; cp "$DATA/mesh/box.glb" glb/mesh.glb; cp "$DATA/mesh/box.obj" glb/mesh.obj
ok "a GLB alone is shown" page glb glb
ok "... as the mesh" has glb '<figcaption>Mesh mesh.glb: 24 vertices, 12 faces<'
ok "... which is not missing" lacks glb 'mesh (mesh.ply)'
# glTF's x, y, z of 1, 0.6, 0.4 are the page's y, z, x.
ok "... and stands upright" has glb 'data-low="-0.200000003 -0.5 -0.300000012"'

mkdir torn; head -c 100 views.pf >torn/views.pf; printf 'step,loss\n0,1\n1\n' >torn/loss.csv; printf 'a,b\n' >torn/other.csv
ok "damaged files do not keep the page away" page torn torn
ok "... a stream" has torn 'class="problem">views.pf: '
ok "... a log" has torn 'loss.csv: line 3 has not 2 columns'
ok "... a table that is no log" has torn 'other.csv: is no log of pf-neus'

# failed DIR HEADER: a folder with a document that has this header, and no tensors.
failed() {
    local header=$2
    while [ $((${#header} % 8)) != 0 ]; do header+=' '; done
    mkdir "$1"; printf "\\x$(printf %02x ${#header})\0\0\0\0\0\0\0%s" "$header" >"$1/input.pf"
}
failed refused '{"__metadata__":{"pf.kind":"failed","pf.object":"mug & jug","pf.error":"pf-crop: <mug>.png: no object"}}'
ok "an object that failed has a page" page refused refused
ok "... with its name and why" has refused 'mug &amp; jug</h2>
<p class="status failed">failed: pf-crop: &lt;mug&gt;.png: no object</p>'

# ---- a batch ----
mkdir -p "batch/a" batch/%b
cp obj/cutout.png batch/a/; pf-stream png -o batch/a/0.png views.pf
{
    printf '{"object":"a","photo":"a/cutout.png","status":"failed","error":"too early"}\n'
    printf '{"object":"a","photo":"a/cutout.png","sha256":"%064d","status":"done","stages":[{"tool":"pf-sample","seed":6,"options":{"steps":8},"seconds":1.25},{"tool":"pf-sample","seconds":2.5},{"tool":"pf-crop","seconds":5.25}],"memory":{"pf-crop":30,"pf-sample":300},"psnr":29.25}\n' 0
    printf '{"object":"%%b","status":"done","seconds":100}\n{"object":"c","status":"done","seconds":10}\n'
    printf '{"object":"%s","status":"failed","error":"\\u0000 \\u001b[31m <script>"}\n' "${O//\"/\\\"}"
} >batch/manifest.jsonl
ok "a batch becomes a table" page batch batch
ok "... its manifest, too" sh -c 'pf-report --title "Report on batch" batch/manifest.jsonl | cmp - batch.html'
for what in '4 objects: 3 done, 1 failed.' '<td class="number" data-value="9">9.00 s</td>' 'pf-crop memory</th>' 'data-value="300">300 MB</td>' '>30 MB</td>' '>29.25</td>' \
        'pf-sample seconds</th>' 'data-value="3.75">3.75 s' 'alt="Photo of a"' 'alt="First view of a"' '&lt;script&gt;</td>'; do
    ok "... with $what" has batch "$what"
done
ok "of several lines about one object the last counts" lacks batch "too early"
ok "names are no markup" lacks batch '<img src=x'
printf '{"object":"a"}\n{"object"\n' >bad.jsonl
fails "a line that is no JSON is named" 1 "bad.jsonl:2: is not JSON" pf-report -o x.html bad.jsonl
echo '["a"]' >bad.jsonl
fails "a line without an object is" 1 "bad.jsonl:1: names no object" pf-report -o x.html bad.jsonl
: >bad.jsonl
fails "an empty manifest is" 1 "bad.jsonl is empty" pf-report -o x.html bad.jsonl
fails "a folder that is not there is" 1 "cannot read none: No such file" pf-report -o x.html none
ok "no page was left" test ! -e x.html
fails "a page that cannot be written is tried first" 1 "cannot write none/x.html" pf-report -o none/x.html none
fails "no folder is wrong usage" 2 "no folder" pf-report
fails "one photo of two objects is, too" 2 "--photo is that of one object" pf-report --photo p.png obj whole
fails "and previews are" 2 "--preview is that of one object" pf-report --preview p obj whole
fails "a page has a page's name" 2 "does not end in .html" pf-report -o x.png obj

# ---- in a browser ----
CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -z "$CHROMIUM" ]; then
    skip "the page in a browser" "no Chromium"
    exit
fi
mv whole "${O//\//-}"       # a folder's name has no slash
ok "a page about several" page all "${O//\//-}" batch
awk -v script="$HERE/page.js" '{print} /^<meta name="viewport"/ {
    print "<script>"; while ((getline line <script) > 0) print line; print "</script>"}' all.html >tried.html
timeout 120 "$CHROMIUM" --headless --no-sandbox --user-data-dir="$TMP/chromium" --window-size=400,800 --enable-unsafe-swiftshader \
    --dump-dom "file://$TMP/tried.html" 2>chromium.err | sed -n '/BEGIN$/,/^END/p' | sed 1d >found
while read -r line; do
    [ "$line" = END ] || echo "${line%%ok *}ok $((n += 1)) - in a browser: ${line#*ok }"
done <found
ok "the page was tried to its end" grep -qx END found
