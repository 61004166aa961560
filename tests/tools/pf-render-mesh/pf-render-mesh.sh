# pf-render-mesh: documents, cameras, the frame, what it refuses.
. "$(dirname "$0")/../lib.sh"
MESH=$DATA/mesh
render() { pf-render-mesh -q -d cpu --size 32 --view-num 3 --scale 0.8 "$@"; }
meta() { pf-stream info "$1" | grep -c "$2"; }

cp "$MESH/box.ply" again.ply
ok "two meshes at two elevations" render --elevation 10,-20 -o four.pf "$MESH/box.glb" again.ply
pf-stream info four.pf >said
ok "are four documents" test "$(grep -c '^four.pf: document' said)" = 4
ok "that are numbered" test "$(grep -c 'pf.count: 4' said)$(grep -c 'pf.index: 3' said)" = 41
ok "have the object's name" test "$(grep -c 'pf.object: box$' said) $(grep -c 'pf.object: again$' said)" = "2 2"
ok "the world" test "$(grep -c 'pf.world' said)" = 4
tensors="image +U8 \[3, 32, 32, 3\]|alpha +F32 \[3, 32, 32\]|depth +F32 \[3, 32, 32\]|normal +F32 \[3, 32, 32, 3\]"
tensors+="|pose +F32 \[3, 3, 4\]|intrinsics +F32 \[3, 3, 3\]|elevation +F32 \[3\]|azimuth +F32 \[3\]"
ok "and eight tensors each" test "$(grep -cE "views.($tensors) " said)" = 32

render --elevation -20 -o rig.pf "$MESH/box.glb"
pf-render-mesh -q -d cpu --scale 0.8 --cameras rig.pf -o given.pf "$MESH/box.glb"
ok "the cameras of a document are the same cameras" cmp <(pf-stream get views.depth rig.pf) <(pf-stream get views.depth given.pf)
ok "and are passed on" cmp <(pf-stream get views.pose rig.pf) <(pf-stream get views.pose given.pf)
pf-render-mesh -q -d cpu --keep-frame --cameras rig.pf -o kept.pf "$MESH/box.glb"
ok "a mesh that is kept stands where the document's world says" cmp <(pf-stream get views.alpha kept.pf) <(pf-stream get views.alpha rig.pf)
# The worked example of pf-stream(5) in a world whose unit is ten times as large, of a mesh as large.
cat >transforms.json <<'E'
{"fl_x": 40, "fl_y": 40, "cx": 24, "cy": 18, "w": 48, "h": 36, "frames": [{"file_path": "none.png",
 "transform_matrix": [[0, 0, 1, 15], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]}]}
E
awk '$1 == "v" {print "v", 10 * $2, 10 * $3, 10 * $4; next} {print}' "$MESH/box.obj" >large.obj
cp "$MESH/box.mtl" "$MESH/box.png" .
pf-render-mesh -q -d cpu --cameras transforms.json -o cube.pf large.obj
pf-render-mesh -q -d cpu --cameras transforms.json --keep-frame -o world.pf large.obj
numbers() { pf-stream get "$1" "$2" | tail -c "$3" | od -An -v -tf4 -w4; }
ok "cameras of a transforms.json go into the cube" test "$(numbers views.pose cube.pf 4 | tr -d ' ')" = 1.5
ok "or stay" test "$(numbers views.pose world.pf 4 | tr -d ' ')" = 15
ok "and see the same" cmp <(pf-stream get views.alpha cube.pf) <(pf-stream get views.alpha world.pf)
ok "with the lens that the page has" test "$(numbers views.intrinsics cube.pf 36 | tr -s ' \n' ' ')" = " 40 0 23.5 0 40 17.5 0 0 1 "
rm box.png
ok "an object that is cut off is said" sh -c 'pf-render-mesh -q -d cpu --size 32 --scale 2 -o x.pf "$0" 2>&1 |
    grep -q "the edge of the picture cuts 16 of 16 views"' "$MESH/box.glb"

ok "--fit keeps it in the picture" sh -c '[ -z "$(pf-render-mesh -q -d cpu --size 64 --scale 2 --fit -o x.pf "$0" 2>&1)" ]' "$MESH/box.glb"

for light in soft flat studio; do render --light $light -o $light.pf "$MESH/box.glb"; done
shown() { pf-stream get views.image $1.pf | md5sum; }
ok "each --light shows the box otherwise" test "$({ shown soft; shown flat; shown studio; } | sort -u | wc -l)" = 3
ok "and none moves it" cmp <(pf-stream get views.depth soft.pf) <(pf-stream get views.depth studio.pf)
render --up y -o y.pf "$MESH/box.glb"; render --up z -o z.pf "$MESH/box.glb"
ok "y is up in a GLB" cmp <(pf-stream get views.depth y.pf) <(pf-stream get views.depth flat.pf)
ok "and --up z lays it down" sh -c '! cmp -s y.pf z.pf'

# ---- many meshes ----
ok "%o is the object, %e the elevation" render --elevation 10,-20 -o '%o/%e.pf' "$MESH/box.glb" again.ply
ok "each a stream of its own" cmp <(pf-stream get --index 3 views.depth four.pf) <(pf-stream get views.depth again/-20.pf)
head -c 300 "$MESH/box.glb" >torn.glb
fails "the first mesh that cannot be read ends the run" 1 "torn.glb: assimp cannot read it" render -o x.pf torn.glb again.ply
k() { render -k --elevation 10,-20 -o "$1" torn.glb again.ply 2>said; echo $? >>said; }
k k.pf
ok "-k says it once, goes on with the next, and fails in the end" test "$(sed 's/: assimp.*//' said)" = "pf-render-mesh: torn.glb
pf-render-mesh: 1 object failed
1"
pf-stream info k.pf >said 2>&1
ok "its documents say that it failed" test "$(grep -c 'pf.kind: failed' said) $(grep -c 'pf.kind: views' said) $(grep -c 'pf.count: 4' said)" = "2 2 4"
k 'k/%o.pf'
ok "and of files only those of the others are there" test "$(ls k)" = again.pf
fails "two meshes of one name" 2 "two meshes of one object, box" render -o x.pf "$MESH/box.glb" "$MESH/box.ply"

fails "no mesh" 2 "name at least one mesh" pf-render-mesh -o x.pf
fails "cameras come from one place" 2 "without --elevation" pf-render-mesh --cameras rig.pf --view-num 3 -o x.pf "$MESH/box.glb"
fails "what is kept is not scaled" 2 "without --scale" pf-render-mesh --keep-frame --scale 2 -o x.pf "$MESH/box.glb"
fails "cameras of what has none" 1 "x.txt: " sh -c 'echo hello >x.txt; pf-render-mesh --cameras x.txt -o x.pf "$0"' "$MESH/box.glb"
fails "no file" 1 "cannot read none.glb: No such file" render -o x.pf none.glb
cp "$MESH/box.obj" "$MESH/box.mtl" .
fails "a texture that is not there" 1 "box.obj: cannot read box.png, which it needs: No such file" render -o x.pf box.obj
ok "nothing half-written stays" test ! -e x.pf.* -a -z "$(find . -name 'x.pf*tmp')"
