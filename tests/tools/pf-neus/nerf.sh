# pf-neus --method nerf: a field of densities is trained, resumed and filmed, and refused where a
# surface is asked for.
. "$(dirname "$0")/../lib.sh"
. "$ROOT/tests/tools/small-field.inc"

small_field neus.pf                     # leaves views.pf
cat >nerf.yaml <<'Y'
nerf: {batch_rays: 64, warm_up: 2, levels: 4, log2_table: 10, hidden: 16, color_hidden: 16, geo_features: 7,
       occupancy_resolution: 8, ray_samples: 128}
Y
run() { pf-neus -q -d cpu --method nerf -c nerf.yaml "$@"; }

ok "trains" run --steps 20 --log log.csv -o field.pf views.pf
ok "has no eikonal loss" test "$(cut -d, -f5 log.csv | sort -u | tr '\n' ' ')" = '0 eikonal '
ok "the field says what it is" sh -c 'pf-stream info field.pf | grep -q "\"kind\": *\"nerf\"" && pf-stream info field.pf | grep -q field.grid.density'
ok "the config can say so too" sh -c '(cat nerf.yaml; echo "neus: {method: nerf}") >both.yaml &&
    pf-neus -q -d cpu -c both.yaml --steps 20 views.pf >both.pf &&
    pf-stream get field.grid.table both.pf >a && pf-stream get field.grid.table field.pf | cmp - a'
ok "... and --method beats it" sh -c 'pf-neus -q -d cpu -c both.yaml -c small.yaml --method neus --steps 1 views.pf | pf-stream info | grep -q "\"kind\": *\"mlp\""'
ok "--steps and --lr are its own" sh -c 'pf-neus -q -d cpu --method nerf -c nerf.yaml --steps 3 --lr 0.5 --log lr.csv -o x.pf views.pf &&
    [ "$(wc -l <lr.csv) $(tail -n 1 lr.csv | cut -d, -f8)" = "4 0.5" ]'
ok "the history has the section's settings" sh -c 'sed "s/batch_rays/steps: 2, lr: 0.125, batch_rays/" nerf.yaml >own.yaml &&
    pf-neus -q -d cpu --method nerf -c own.yaml views.pf | pf-stream info | grep -q "\"steps\":2,\"lr\":0.125,"'
ok "stops and goes on" sh -c 'pf-neus -q -d cpu --method nerf -c nerf.yaml --steps 20 --stop-at 7 --checkpoint part.ck -o x.pf views.pf &&
    pf-neus -q -d cpu --method nerf -c nerf.yaml --steps 20 --resume part.ck views.pf | cmp - field.pf'
ok "a step's settings are compared" sh -c 'pf-neus -q -d cpu --method nerf -c nerf.yaml --steps 8 --lr 0.02 --resume part.ck -o x.pf views.pf 2>&1 |
    grep -q "it was trained with nerf.steps 20, nerf.lr 0.01; from step 7 on with nerf.steps 8, nerf.lr 0.02"'
ok "previews have no normals" run --steps 1 --preview seen -o x.pf views.pf
ok "films" sh -c 'pf-render-video -q -d cpu --frames 2 --size 16 --png film field.pf && [ "$(ls film | wc -l)" = 2 ]'
rm -f x.pf mesh.ply
fails "a checkpoint of the other method" 1 "part.ck: the document's field is of kind nerf, the config's is mlp" \
    pf-neus -q -d cpu -c small.yaml --steps 20 --resume part.ck -o x.pf views.pf
fails "a mesh of it" 1 "field.pf: a field of kind nerf has no surface" pf-extract-mesh -d cpu -o mesh.ply field.pf
ok "nothing is left of that" test ! -e x.pf -a ! -e mesh.ply
fails "an unknown method" 2 "neus|nerf" pf-neus --method cube -o x.pf views.pf
echo 'nerf: {hidden: 24}' >narrow.yaml
fails "a width that is no multiple" 1 "nerf.hidden is 24, expected a multiple of 16" pf-neus -q -d cpu --method nerf -c narrow.yaml -o x.pf views.pf
echo 'nerf: {sdf_width: 24}' >other.yaml
fails "a key of the other methods" 1 'there is no key "sdf_width" in nerf' pf-neus --method nerf -c other.yaml -o x.pf views.pf
