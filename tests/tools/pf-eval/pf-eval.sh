. "$(dirname "$0")/../lib.sh"
. "$ROOT/tests/tools/small-field.inc"
M=$DATA/meshes

# cell ROW COLUMN FILE: of a table.
cell() { awk -F'\t' -v r="$1" -v c="$2" 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == c) k = i} $1 == r {print $k}' "$3"; }
mesh() { pf-eval mesh --samples 1000 "$@"; }

small_field field.pf
S=$DATA/images/strip.png

# ---- views ----
pf-mask -q --elevation 30 -o strip.pf "$S"
pf-eval views -o same.tsv "$S" strip.pf
# The stream has rounded what was put on white.
ok 'a strip is the stream made of it' awk -v p="$(cell mean psnr same.tsv)" -v s="$(cell mean ssim same.tsv)" 'BEGIN {exit !(p > 50 && s > 0.9999)}'
ok 'LPIPS needs weights' test "$(cell mean lpips same.tsv)" = nan
ok '--each has a row for each view' sh -c 'pf-eval views --each "$0" strip.pf | cut -f1 | grep -c "^strip.pf:[0-9]*$" | grep -qx "$1"' \
    "$S" "$(pf-stream info strip.pf | sed -n 's/.*views.image *U8 \[\([0-9]*\),.*/\1/p')"
ok 'masks are compared' sh -c 'pf-eval views strip.pf strip.pf | sed -n 2p | cut -f4 | grep -qx 1.00000'
ok 'documents are compared one by one' sh -c 'cat strip.pf strip.pf >two.pf && pf-stream cat -o two.pf strip.pf strip.pf &&
    [ "$(pf-eval views two.pf two.pf | wc -l)" = 5 ]'
printf '\150\0\0\0\0\0\0\0%-104s' '{"__metadata__":{"pf.format":"1","pf.kind":"failed","pf.object":"ball","pf.error":"pf-crop: no"}}' >failed.pf
pf-stream cat -q -o three.pf strip.pf failed.pf && pf-eval views two.pf three.pf >three.tsv
ok 'what failed has no figures, and is not in the mean' test "$(cell ball psnr three.tsv) $(cell mean ssim three.tsv)" = 'nan 1.00000'
fails 'a stream of more documents' 1 'two.pf holds more sets of views than strip.pf' pf-eval views two.pf strip.pf
fails 'another size' 1 'pixels, views.pf' pf-eval views strip.pf views.pf
ssim() { pf-eval views "$@" "$DATA/images/photo.png" "$DATA/images/photo.jpg" | sed -n 2p | cut -f3; }
ok '--ssim-frame leaves out a frame' awk -v all="$(ssim)" -v most="$(ssim --ssim-frame 5)" 'BEGIN {exit !(all > 0 && most > 0 && all != most)}'
mkdir folder
cp "$DATA/images/photo.png" folder/10.png; cp "$DATA/images/photo.png" folder/9.png; : >folder/notes.png; : >folder/0.txt
ok 'a folder gives the pictures that numbers name' sh -c '[ "$(pf-eval views --each folder folder | grep -c "^folder:")" = 2 ]'
fails 'a mesh named twice' 1 "pf-eval: $M/little.ply: is a PLY mesh, not a stream" pf-eval views "$M/little.ply" "$S"
fails 'a stream without views' 1 'pf-eval: field.pf: the stream has no tensor views.image' pf-eval views field.pf "$S"
mkdir empty
fails 'an empty folder' 1 'empty: the folder holds no pictures' pf-eval views empty folder
fails 'a file that is not there' 1 'cannot read none.png' pf-eval views none.png "$S"
fails 'weights that are none' 1 'features.0.weight' pf-eval views -d cpu -w "$ROOT/configs/demo/weights.safetensors" "$S" "$S"

# ---- meshes ----
ok 'a mesh is itself in another format' sh -c '
    pf-eval mesh --samples 1000 -o t.tsv "$0/little.ply" "$0/nodes.glb" && cut -f2-11 t.tsv | sed -n 2p |
    grep -qx "0.000000	1.00000	1.00000	1.00000	1.00000	1.00000	0.000000	1.00000	1.00000	1.00000"' "$M"
printf '# pairs\n\n%s\t%s\tfirst\n%s\t%s\n' "$M/little.ply" "$M/little.stl" "$M/little.ply" "$M/quad.ply" >list.tsv
mesh -q --list list.tsv -o list.out
ok 'a list has names' test "$(cut -f1 list.out | tr '\n' ' ')" = "pair first $M/quad.ply mean worst "
ok 'the mean is the mean' awk -F'\t' -v a="$(cell first chamfer list.out)" -v b="$(cell "$M/quad.ply" chamfer list.out)" \
    -v m="$(cell mean chamfer list.out)" 'BEGIN {d = (a + b) / 2 - m; exit !(b > 0 && d < 1e-6 && d > -1e-6)}'
ok 'the worst distance is the largest' test "$(cell worst chamfer list.out)" = "$(cell "$M/quad.ply" chamfer list.out)"
ok 'the worst share is the least' test "$(cell worst f0.01 list.out)" = "$(cell "$M/quad.ply" f0.01 list.out)"
ok 'JSON says the same' sh -c 'pf-eval mesh -q --samples 1000 --json --list list.tsv | tr -d "\n" | grep -q "^{\"what\":\"mesh\",\"pairs\":\[{\"pair\":\"first\",\"true\":.*\"mean\":{\"chamfer\":0\.[0-9]*,.*\"worst\":{"'
ok 'what was not measured is null' sh -c 'pf-eval mesh --original --json "$0/little.ply" "$0/little.ply" | grep -q "\"normals\":null"' "$M"
ok 'results depend on no thread' cmp <(mesh --threads 1 "$M/little.ply" "$M/quad.ply") <(mesh --threads 3 "$M/little.ply" "$M/quad.ply")
ok 'a pipe is read, the true one fitted and turned' sh -c '
    pf-eval mesh --original --fit --turn 90 "$0/little.ply" - <"$0/little.stl" | grep -q "^stdin	0\.[1-9]"' "$M"
fails 'a hostile mesh' 1 'vertices_1e9.ply: the PLY file ends early' pf-eval mesh "$M/vertices_1e9.ply" "$M/little.ply"
fails 'an empty mesh' 1 'no_faces.ply: the mesh has no faces' pf-eval mesh "$M/little.ply" "$M/no_faces.ply"
fails 'a picture' 1 'photo.png: is a PNG picture, not a mesh' pf-eval mesh "$M/little.ply" "$DATA/images/photo.png"
fails 'points for the original' 1 '--original compares meshes' pf-eval mesh --original "$M/little.ply" "$M/points.ply"
ok 'a failure leaves no table' sh -c '! pf-eval mesh -o never.tsv "$0/little.ply" "$0/no_faces.ply" 2>/dev/null && [ ! -e never.tsv ]' "$M"
printf '%s\n' "$M/little.ply" >short.tsv
fails 'a line of one name' 1 'short.tsv:1: expected two names' pf-eval mesh --list short.tsv
printf '# none\n' >none.tsv
fails 'a list of nothing' 1 'none.tsv holds no pairs' pf-eval mesh --list none.tsv

mkfifo never
fails 'it read before it tried -o' 1 'cannot write /nonexistent/x' timeout 20 pf-eval mesh -o /nonexistent/x never never
fails 'a full disk was no reason' 1 'No space left on device' sh -c 'pf-eval views "$0" "$0" >/dev/full' "$S"

# ---- usage ----
fails 'no command' 2 'no command, expected views or mesh' pf-eval
fails 'an unknown command' 2 'picture is no command' pf-eval picture a b
fails 'one name' 2 'views takes two names, TRUE and MADE' pf-eval views a
fails 'a list and names' 2 'or --list FILE alone' pf-eval views --list x a b
fails 'an option of the other command' 2 '--fit belongs to mesh, not to views' pf-eval views --fit a b
fails 'standard input twice' 2 'cannot be both' pf-eval mesh - -
fails 'heads alone' 2 '--heads needs VGG16 itself' pf-eval views --heads x a b
