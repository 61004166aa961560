. "$(dirname "$0")/../lib.sh"
. "$ROOT/tests/tools/small-field.inc"

# closed OBJ: every edge of its faces is there once in each direction.
closed() {
    awk '$1 == "f" { e[$2 " " $3]++; e[$3 " " $4]++; e[$4 " " $2]++; n++ }
         END { for (k in e) { split(k, v, " "); if (e[k] != 1 || e[v[2] " " v[1]] != 1) exit 1 } exit !n }' "$1"
}
# outward OBJ: its volume is positive.
outward() {
    awk '$1 == "v" { x[++n] = $2; y[n] = $3; z[n] = $4 }
         $1 == "f" { a = $2 + 0; b = $3 + 0; c = $4 + 0; s += x[a] * (y[b] * z[c] - z[b] * y[c])
                     s -= y[a] * (x[b] * z[c] - z[b] * x[c]); s += z[a] * (x[b] * y[c] - y[b] * x[c]) }
         END { exit !(s > 0) }' "$1"
}

# normal OBJ: the normals of a ball around the origin are unit and point away from it, one for each vertex.
normal() {
    awk '$1 == "v" { x[++n] = $2; y[n] = $3; z[n] = $4 }
         $1 == "vn" { m++; l = sqrt($2 ^ 2 + $3 ^ 2 + $4 ^ 2); r = sqrt(x[m] ^ 2 + y[m] ^ 2 + z[m] ^ 2)
                      if (l < 0.99999 || l > 1.00001 || (x[m] * $2 + y[m] * $3 + z[m] * $4) / r < 0.98) exit 1 }
         $1 == "f" { for (i = 2; i <= 4; i++) { split($i, k, "/"); if (k[1] != k[3]) exit 1 } }
         END { exit !(n && m == n) }' "$1"
}

small_field field.pf
ok 'a field becomes a PLY' pf-extract-mesh --resolution 40 -o mesh.ply field.pf
ok 'the PLY has colours' sh -c 'sed "/^end_header/q" mesh.ply | grep -aqx "property uchar red"'
ok 'the grid evaluated sparsely gives the same bytes' sh -c '
    pf-extract-mesh --resolution 40 --dense -o dense.ply field.pf && cmp mesh.ply dense.ply'
ok 'any number of threads gives the same bytes' sh -c '
    OMP_NUM_THREADS=1 pf-extract-mesh --resolution 40 -o one.ply field.pf && cmp mesh.ply one.ply'
ok 'the format comes from the name' sh -c '
    pf-extract-mesh --resolution 24 -o mesh.obj field.pf && grep -q "^f " mesh.obj &&
    pf-extract-mesh --resolution 24 -o mesh.glb <field.pf && [ "$(head -c 4 mesh.glb)" = glTF ]'
ok '-o mesh.stl was refused' sh -c '
    pf-extract-mesh --resolution 24 -o mesh.stl field.pf &&
    [ "$(wc -c <mesh.stl)" = $((84 + 50 * $(grep -c "^f " mesh.obj))) ]'
echo 'neus: {field: hash}' >hash.yaml           # begins as a ball
pf-neus -q -c hash.yaml --steps 0 -o ball.pf views.pf
pf-extract-mesh --resolution 40 -o ball.obj ball.pf
ok 'a mesh had no normals' normal ball.obj
ok 'the surface is closed' closed mesh.obj
ok 'the faces look outward' outward mesh.obj
ok '--format says what goes to a pipe' sh -c '
    pf-extract-mesh --resolution 40 --format ply field.pf | cmp - mesh.ply'
ok '--largest keeps a lone component' sh -c '
    pf-extract-mesh --resolution 40 --largest -o l.ply field.pf && cmp l.ply mesh.ply'
ok '--target-faces leaves a closed mesh of fewer faces' sh -c '
    pf-extract-mesh --resolution 40 --target-faces 300 -v -o few.obj ball.pf 2>said &&
    [ "$(grep -c "^f " few.obj)" -le 300 ] && grep -q " 1 components, Euler number 2" said'
ok 'the simplified surface is closed' closed few.obj
ok 'the simplified faces look outward' outward few.obj
ok 'the simplified ball has its normals' normal few.obj
ok 'a lone component is kept whatever its share' sh -c '
    pf-extract-mesh --resolution 40 --min-component 1 --keep-components 3 -o k.ply field.pf && cmp k.ply mesh.ply'
fails 'three faces are refused' 2 'no closed mesh has 3 faces' pf-extract-mesh --target-faces 3 -o m.ply field.pf
fails 'a share above 1 is refused' 2 '--min-component' pf-extract-mesh --min-component 2 -o m.ply field.pf

valid() { python3 -B "$ROOT/tests/tools/pf-extract-mesh/meshes.py" "$@"; }
# around WORD R G B FILE: the colour after WORD is this, give or take 3.
around() { awk -v w="$1" -v r="$2" -v g="$3" -v b="$4" '
    $1 == w { d = ($2 - r) ^ 2 + ($3 - g) ^ 2 + ($4 - b) ^ 2; n = 1 } END { exit !(n && d <= 27) }' "$5"; }
if command -v python3 >/dev/null; then
    x='pf-extract-mesh --resolution 40 --target-faces 400'
    $x -o few.ply ball.pf
    ok 'the PLY of few faces is valid and closed' valid few.ply
    ok 'a PLY of all faces is valid and closed' valid mesh.ply
    ok 'a GLB of all faces is valid and closed' valid mesh.glb
    ok 'a texture goes into the GLB' sh -c "$x --texture 128 -o t.glb ball.pf"
    ok 'the GLB is valid, closed, and has a picture' valid t.glb
    ok 'any number of threads gives the same texture' sh -c "
        OMP_NUM_THREADS=1 $x --texture 128 -o one.glb ball.pf && cmp one.glb t.glb"
    ok 'a texture and a map of normals go beside the OBJ' sh -c "
        $x --texture 128 --normal-map -o t.obj ball.pf && [ -s t.mtl ] && [ -s t.png ] && [ -s t-normal.png ]"
    ok 'the OBJ and its pictures are valid' valid t.obj normals
    ok 'the texture is of the views that see it' sh -c "
        $x --texture 128 --normal-map --views views.pf -o v.glb ball.pf"
    valid t.glb >field.txt
    ok 'the GLB with two pictures is valid' sh -c "
        python3 -B '$ROOT/tests/tools/pf-extract-mesh/meshes.py' v.glb normals >views.txt"
    ok 'the front has the colour of the view' around front 128 64 32 views.txt
    ok 'the back has the colour of the field' around back $(sed -n 's/^back //p' field.txt) views.txt
else
    skip 'textures are valid' 'no python3'
fi
fails 'a texture for PLY is refused' 2 '.glb or beside .obj' pf-extract-mesh --texture 128 -o m.ply field.pf
fails 'a texture beside standard output is refused' 2 'needs a name' pf-extract-mesh --texture 128 --format obj field.pf
fails 'a tiny texture is refused' 2 'expected 64 to' pf-extract-mesh --texture 8 -o m.glb field.pf
fails 'views without a texture are refused' 2 '--views are for a texture' pf-extract-mesh --views views.pf -o m.glb field.pf
fails 'normals without a texture are refused' 2 'give --texture' pf-extract-mesh --normal-map -o m.glb field.pf
fails 'views that are none are refused' 1 'views' pf-extract-mesh --resolution 16 --texture 64 --views field.pf -o m.glb field.pf
ok 'a failure leaves no texture behind' sh -c '! ls | grep -q "^m[.]"'

fails 'a name that says no format is refused' 2 'none of .ply, .obj, .glb, .stl; give --format' pf-extract-mesh -o mesh.off field.pf
fails 'a resolution out of range is refused' 2 '--resolution' pf-extract-mesh --resolution 4 -o m.ply field.pf
fails 'two fields are refused' 2 'one stream of fields' pf-extract-mesh -o m.ply field.pf field.pf
fails 'a stream without a field is refused' 1 'field' pf-extract-mesh -o m.ply views.pf
head -c 3000 field.pf >cut.pf
fails 'a truncated field is refused' 1 'cut.pf' pf-extract-mesh -o m.ply cut.pf
ok 'a failure leaves no file behind' sh -c '! ls | grep -q "^m[.]ply"'
fails 'a full disk is an error' 1 'No space left' pf-extract-mesh --resolution 24 --format obj -o /dev/full field.pf
# The last bias of the distance raised by a thousand: outside everywhere.
start=$(($(head -c 2 field.pf | od -An -tu2) + 8))
at=$(head -c $start field.pf | grep -ao '"field.sdf.lin2.bias":{[^}]*' | grep -o 'offsets":\[ *[0-9]*' | grep -o '[0-9]*$')
{ head -c $((start + at)) field.pf; printf '\0\0\172\104'; tail -c +$((start + at + 5)) field.pf; } |
    sed 's/pf[.]crc32/no_crc32/' >outside.pf
fails 'a field without surface is refused' 1 'no surface' pf-extract-mesh --resolution 16 -o m.ply outside.pf
small_field inside.pf 'bound: 0.1,'             # all of the cube is inside, its cap is the surface
ok 'an object that fills the cube is capped' sh -c '
    pf-extract-mesh --resolution 16 -o cap.obj inside.pf && grep -q "^f " cap.obj'
ok 'the cap is closed' closed cap.obj
