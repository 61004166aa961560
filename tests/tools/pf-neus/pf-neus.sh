. "$(dirname "$0")/../lib.sh"

# bytes FORMAT COUNT: the same printf bytes COUNT times.
bytes() { local i; for ((i = 0; i < $2; i++)); do printf "$1"; done; }
zero='\0\0\0\0' one='\0\0\200\77' minus='\0\0\200\277'

# views FILE SIDE [without]: one grey view of a whole object from the side, as a document, perhaps
# without its views.alpha.
views() {
    local n=$(($2 * $2)) at=0 header=
    entry() { header+="${header:+,}\"$1\":{\"dtype\":\"$2\",\"shape\":$3,\"data_offsets\":[$at,$((at + $4))]}"; at=$((at + $4)); }
    [ "${3-}" ] || entry views.alpha F32 "[1,$2,$2]" $((4 * n))
    entry views.elevation F32 "[1]" 4
    entry views.image U8 "[1,$2,$2,3]" $((3 * n))
    entry views.intrinsics F32 "[1,3,3]" 36
    entry views.pose F32 "[1,3,4]" 48
    entry input.note F32 "[1]" 4
    header="{${meta:+\"__metadata__\":{$meta\},}$header}"
    while [ $((${#header} % 8)) != 0 ]; do header+=' '; done
    {
        printf "\\x$(printf %02x $((${#header} % 256)))\\x$(printf %02x $((${#header} / 256)))\0\0\0\0\0\0%s" "$header"
        [ "${3-}" ] || bytes "${alpha:-$one}" "$n"
        bytes "$zero" 1
        bytes '\200\100\40' "$n"
        bytes '\0\0\14\101' 1; bytes "$zero" 1; bytes '\0\0\200\100' 1            # 8.75 0 4
        bytes "$zero" 1; bytes '\0\0\14\101' 1; bytes '\0\0\200\100' 1; bytes "$zero" 2; bytes "$one" 1
        bytes "$one" 1; bytes "$zero" 3                                          # x right
        bytes "$zero" 2; bytes "$minus" 1; bytes "$zero" 1                       # z up
        bytes "$zero" 1; bytes "$one" 1; bytes "$zero" 1; bytes '\0\0\300\77' 1    # 1.5 away
        bytes "$one" 1
    } >"$1"
}

cat >small.yaml <<'Y'
neus: {field: mlp, batch_rays: 24, foreground_rays: 8, sdf_width: 24, sdf_layers: 2, sdf_frequencies: 1,
       feature_dim: 4, color_width: 8, color_layers: 1, coarse_samples: 8, fine_samples: 8, fine_rounds: 2}
Y
views one.pf 8
views other.pf 8
views bigger.pf 9
views bare.pf 8 without
alpha='\377\377\177\176' views huge.pf 8                                          # 8.5e37
run() { pf-neus -q -d cpu -c small.yaml "$@"; }

ok "trains" run --steps 6 --log log.csv --checkpoint all.ck -o field.pf one.pf
ok "logs a line for each step" test "$(wc -l <log.csv)" = 7
ok "logs the columns of the man page" grep -qx 'step,loss,rgb,mask,eikonal,psnr,rays_per_s,lr' log.csv
ok "the field knows its kind" grep -q '"pf.kind": *"field"' field.pf
ok "unknown tensors pass" grep -q input.note field.pf
ok "the views stay behind" bash -c '! grep -q views.image field.pf'
ok "same seed, same bytes" bash -c 'pf-neus -q -d cpu -c small.yaml --steps 6 one.pf | cmp - field.pf'
ok "another seed, other bytes" bash -c 'pf-neus -q -d cpu -c small.yaml --steps 6 --seed 1 one.pf | (! cmp -s - field.pf)'
ok "reads a pipe" bash -c 'cat one.pf | pf-neus -q -d cpu -c small.yaml --steps 1 >/dev/null'

ok "stops early" run --steps 6 --stop-at 2 --checkpoint part.ck -o part.pf one.pf
ok "goes on" run --steps 6 --resume part.ck --checkpoint rest.ck -o rest.pf one.pf
ok "a resumed run had another history in its checkpoint" cmp all.ck rest.ck
ok "and in its field" cmp field.pf rest.pf
run --steps 6 --seed 7 -o seed.pf one.pf
run --steps 6 --seed 7 --stop-at 3 --checkpoint seed.ck -o part.pf one.pf
ok "a resumed run named a seed that was not its own" sh -c '
    pf-neus -q -d cpu -c small.yaml --steps 6 --resume seed.ck one.pf | cmp - seed.pf'
echo 'neus: {field: hash, warm_up: 2, start_levels: 2, level_steps: 2, log2_table: 8, levels: 4, occupancy_resolution: 16}' >hash.yaml
ok "and so for the fast field" sh -c '
    hash() { pf-neus -q -d cpu -c hash.yaml --steps 40 "$@" one.pf; }
    hash -o hash.pf && hash --stop-at 21 --checkpoint hash.ck -o part.pf && hash --resume hash.ck | cmp - hash.pf'

# At such a rate nothing is learnt.  The schedules end at step 4.
sed 's/hash,/hash, anneal_steps: 0, view_start: 0, batch_rays: 32, foreground_rays: 32, area_points: 64, ray_samples: 16,/' hash.yaml >soon.yaml
soon() { pf-neus -d cpu -c soon.yaml --steps 600 --lr 1e-5 --until-plateau "$@" one.pf; }
soon --log soon.csv --checkpoint soon.ck -o soon.pf 2>said
done=$(sed -n 's/.*stopped after \([0-9]*\) of 600 steps: the loss no longer falls/\1/p' said)
ok "stops when the loss no longer falls, and says so" test "${done:-600}" -lt 600
ok "... at the end of the log" test "$(tail -n 1 soon.csv | cut -d, -f1)" = "$((${done:-0} - 1))"
ok "... and in the field" bash -c "pf-stream info soon.pf | grep -q '\"step\": *${done:-none}\b'"
# The rule once more: means of 30 steps from step 4 on, and the first three in a row that are no fall of 1 %.
rule() {
    awk -F, 'NR > 1 && $1 >= 4 && !found {
        sum += $2
        if (++n < 30) next
        flat = !least || sum < .99 * least ? 0 : flat + 1
        if (!flat) least = sum
        if (flat == 3) { print $1 + 1; found = 1 }
        n = sum = 0
    }' "$1"
}
ok "... by the rule of the man page" test "$(rule soon.csv)" = "$done"
soon -q --stop-at 157 --checkpoint soon157.ck -o part.pf
ok "a resumed run stopped elsewhere" bash -c '
    pf-neus -q -d cpu -c soon.yaml --steps 600 --lr 1e-5 --until-plateau --resume soon157.ck --checkpoint again.ck -o again.pf one.pf &&
    cmp again.pf soon.pf && cmp again.ck soon.ck'
ok "one that had stopped went on" bash -c '
    pf-neus -q -d cpu -c soon.yaml --steps 600 --lr 1e-5 --until-plateau --resume soon.ck one.pf | cmp - soon.pf'

# What differs from the run that wrote the checkpoint: refused, or said and done.
# warns NAME WORDS COMMAND...: succeeds with one line on stderr that contains WORDS.
warns() { ok "$1" sh -c '[ "$(wc -l <said)" = 1 ] && grep -qF -- "$1" said' sh "$2" "$("${@:3}" 2>said)"; }
alpha='\0\0\100\77' views pale.pf 8
fails "a resumed run took another --seed without a word" 1 'part.ck: it was trained with --seed 6033, which cannot become 7' \
    run --steps 6 --resume part.ck --seed 7 -o x.pf one.pf
ok "... its own may be given" bash -c 'pf-neus -q -d cpu -c small.yaml --steps 6 --seed 6033 --resume part.ck one.pf | cmp - field.pf'
fails "... or other views" 1 'part.ck: it was trained on 1 views of 8 x 8 pixels, checksum' run --steps 6 --resume part.ck -o x.pf pale.pf
fails "... or more of them" 1 'these are 2 views of 8 x 8 pixels, checksum' run --steps 6 --resume part.ck -o x.pf one.pf one.pf
fails "... or fewer steps than it has behind it" 1 'all.ck: 6 steps are done, more than the 5 of --steps' \
    run --steps 5 --resume all.ck -o x.pf one.pf
fails "... or a stop behind it" 1 'all.ck: 6 steps are done, more than the 5 of --stop-at' \
    run --steps 6 --stop-at 5 --resume all.ck -o x.pf one.pf
warns "more steps change the rate, without a word" \
    'part.ck: it was trained with neus.steps 6; from step 2 on with neus.steps 8, which is not what' \
    run --steps 8 --resume part.ck -o more.pf one.pf
ok "... and are done" bash -c '! cmp -s more.pf field.pf && pf-stream info more.pf | grep -q "\"step\": *8"'
warns "so does another rate" 'with neus.lr 0.01; from step 2 on with neus.lr 0.005, which' \
    run --steps 6 --lr 0.005 --resume part.ck -o x.pf one.pf
sed 's/batch_rays: 24/batch_rays: 20/' small.yaml >rays.yaml
warns "and another config" 'with neus.batch_rays 24; from step 2 on with neus.batch_rays 20' \
    pf-neus -q -d cpu -c rays.yaml --steps 6 --resume part.ck -o x.pf one.pf
ok "the same run again says nothing" sh -c 'pf-neus -q -d cpu -c small.yaml --steps 6 --resume part.ck one.pf 2>said >x.pf && [ ! -s said ]'
rm -f x.pf

# The steps of a log, without its times.
steps() { cut -d, -f1-6,8 "$1"; }
ok "an interrupted run's log" run --steps 6 --stop-at 5 --log again.csv -o part.pf one.pf
ok "had lines twice when it went on from step 2" run --steps 6 --resume part.ck --log again.csv -o rest.pf one.pf
steps log.csv >log.steps
steps again.csv >again.steps
ok "... and is that of a run that was never interrupted" cmp log.steps again.steps
printf '3,0.5' >>again.csv
run --steps 6 --resume all.ck --log again.csv -o rest.pf one.pf
steps again.csv >again.steps
ok "half a line of a killed run stayed in the log" cmp log.steps again.steps
ok "a resumed run's new log has no header" sh -c '
    pf-neus -q -d cpu -c small.yaml --steps 6 --resume part.ck --log new.csv -o rest.pf one.pf &&
    head -n 1 new.csv | grep -q "^step,loss" && [ "$(wc -l <new.csv)" = 5 ]'
run --steps 1 --log again.csv -o rest.pf one.pf
ok "a new run appended to an old log" test "$(wc -l <again.csv)" = 2
ok "-h called it appending" bash -c '! pf-neus -h | grep -q append'
cp again.csv before.csv
fails "a failure before training emptied the log" 1 nowhere.pf run --log again.csv -o x.pf nowhere.pf
ok "... which is as it was" cmp again.csv before.csv

ok "fuses documents and files" bash -c 'cat one.pf other.pf | pf-neus -q -d cpu -c small.yaml --steps 1 -o two.pf - one.pf && grep -q "\"field.elevation\":{\"dtype\":\"F32\",\"shape\":\[3\]" two.pf'
fails "views of two sizes" 1 "bigger.pf: views.image is 9 x 9 pixels, earlier views are 8 x 8" run --steps 1 -o x.pf one.pf bigger.pf
fails "views without masks" 1 "bare.pf: the stream has no tensor views.alpha; it is made by pf-mask" run --steps 1 -o x.pf bare.pf
cat one.pf bare.pf >two.pf
fails "which document of two lacks them" 1 "two.pf: document 1: the stream has no tensor views.alpha" run --steps 1 -o x.pf two.pf
ok "a failure leaves nothing" test ! -e x.pf
head -c 900 one.pf >short.pf
fails "a truncated stream" 1 "short.pf" run --steps 1 -o x.pf short.pf
fails "a file that is not there" 1 "nowhere.pf" run --steps 1 -o x.pf nowhere.pf
fails "a full disk" 1 "No space left" bash -c 'pf-neus -q -d cpu -c small.yaml --steps 1 one.pf >/dev/full'
fails "a full disk at the log" 1 "No space left" run --steps 1 --log /dev/full -o x.pf one.pf

echo 'neus: {field: cube}' >cube.yaml
fails "an unknown field" 1 "cube.yaml:1" pf-neus -c cube.yaml -o x.pf one.pf
echo 'neus: {sdf_widht: 3}' >typo.yaml
fails "an unknown key" 1 "sdf_width" pf-neus -c typo.yaml -o x.pf one.pf
sed 's/sdf_width: 24/sdf_width: 4/' small.yaml >narrow.yaml
fails "a width that the skip does not fit in" 1 "neus.sdf_width is 4, expected 10" pf-neus -c narrow.yaml -o x.pf one.pf
sed 's/sdf_width: 24/sdf_width: 32/' small.yaml >wide.yaml
fails "a checkpoint of another size" 1 "part.ck: the document's field has sdf_width 24, the config says 32" \
    pf-neus -q -c wide.yaml --resume part.ck -o x.pf one.pf
fails "a field is no checkpoint" 1 "train.step" run --resume field.pf -o x.pf one.pf
fails "wrong usage" 2 "steps" pf-neus --steps 12abc one.pf
fails "a checkpoint on a pipe" 2 "--checkpoint" pf-neus --checkpoint - one.pf
fails "a mask that is no mask" 1 "huge.pf: views.alpha: element 0 is 8.50706e+37, expected 0 to 1" run --steps 40 -o x.pf huge.pf
ok "leaves nothing either" test ! -e x.pf

# What is seen of a run while it works.
ok "previews" run --steps 5 --preview seen --preview-every 2 -o seen.pf one.pf
ok "the first and the last are written" test -s seen/000002.png -a -s seen/000005.png
ok "a view, its target and the normals" test "$(head -c 24 seen/000005.png | tail -c 8 | od -An -tx1 | tr -d ' ')" = 0000001800000008
ok "the target is the view" bash -c 'pf-mask -q --elevation 0 -o strip.pf seen/000005.png && pf-stream get views.image strip.pf | tail -c 384 | head -c 192 |
    cmp - <(pf-stream get views.image one.pf | tail -c 192)'
ok "the field does not depend on them" bash -c 'pf-neus -q -d cpu -c small.yaml --steps 5 --preview-every 2 one.pf | cmp - seen.pf'
fails "previews where a file is" 1 "one.pf" run --steps 1 --preview one.pf -o x.pf one.pf

# Objects follow each other in a stream: a field of each, as of a run of its own.
# object FILE NAME INDEX COUNT [METADATA]: the view, whose it is and where it stands.
object() { meta="\"pf.object\":\"$2\",\"pf.index\":\"$3\",\"pf.count\":\"$4\"${5:+,$5}" views "$1" 8; }
info() { pf-stream info --index "$1" "$2" | sed -n "s/^  $3: //p"; }
object a0.pf a 0 4; object a1.pf a 1 4; object b0.pf b 2 4; object b1.pf b 3 4 '"pf.seed":"5"'
cat a0.pf a1.pf b0.pf b1.pf >two.pf
ok "two objects of two documents" run --steps 3 --log 'log/%o-%i.csv' --checkpoint 'log/%o.ck' -o two-fields.pf two.pf
ok "are two fields" test "$(info 0 two-fields.pf pf.object)$(info 0 two-fields.pf pf.index)$(info 1 two-fields.pf pf.object)$(info 1 two-fields.pf pf.index) $(info 1 two-fields.pf pf.count)" = "a0b1 2"
ok "with a log and a checkpoint of each" test -s log/a-0.csv -a -s log/b-1.csv -a -s log/a.ck -a -s log/b.ck
ok "in files of their own" run --steps 3 -o 'each/%o.pf' two.pf
object a0.pf a 0 2; object a1.pf a 1 2
ok "they are what each gives by itself" bash -c 'cat a0.pf a1.pf | pf-neus -q -d cpu -c small.yaml --steps 3 | cmp - each/a.pf'
object b0.pf b 0 2 '"pf.seed":"5"'; object b1.pf b 1 2
ok "a list's seed is taken" bash -c 'diff <(pf-stream info each/a.pf | grep -o "seed [0-9]*") <(echo seed 6033) &&
    cat b0.pf b1.pf | pf-neus -q -d cpu -c small.yaml --steps 3 | pf-stream info | grep -q "seed 5"'
ok "... unless --seed is given" bash -c 'cat b0.pf b1.pf | pf-neus -q -d cpu -c small.yaml --steps 1 --seed 8 | pf-stream info | grep -q "seed 8"'
fails "one log for two objects" 1 "--log l.csv is one file, but there are several objects: let %o" run --steps 1 --log l.csv -o x.pf two.pf
fails "one folder of previews" 1 "--preview seen is one file" run --steps 1 --preview seen -o x.pf two.pf
ok "a folder of each" bash -c 'pf-neus -q -d cpu -c small.yaml --steps 1 --preview "seen/%o" -o /dev/null two.pf && test -s seen/a/000001.png -a -s seen/b/000001.png'
fails "a log that leaves the folder" 1 '"../x" cannot be the name of an object' bash -c 'pf-neus -q -d cpu -c small.yaml --log "%o.csv" -o x.pf evil.pf' \
    "$(object evil.pf ../x 0 1)"
object x0.pf a 0 3; object x1.pf b 1 3; object x2.pf b 2 3
fails "objects of other numbers of documents" 1 "object b has 2 documents, the first has 1, of 3 in all" bash -c 'cat x0.pf x1.pf x2.pf | pf-neus -q -d cpu -c small.yaml --steps 1 -o x.pf'
object q0.pf q 0 2
fails "a stream that ends inside an object" 1 "q0.pf: document 1 of 0 to 1 is missing" run --steps 1 -o x.pf q0.pf
object q1.pf r 1 3; object q2.pf q 2 3; object q0.pf q 0 3
fails "an object that comes again" 1 "document 2 is of the object q as an earlier one" bash -c 'cat q0.pf q1.pf q2.pf | pf-neus -q -d cpu -c small.yaml --steps 1 -o x.pf'
object s0.pf a 0 2 '"pf.elevation":"30"'; object s1.pf a 1 2 '"pf.elevation":"30"'
fails "samples of one elevation" 1 "several samples at 30 degrees: pf-pick chooses the one" bash -c 'cat s0.pf s1.pf | pf-neus -q -d cpu -c small.yaml --steps 1 -o x.pf'

# -k: an object that cannot be trained is passed on as failed, and so is what failed before.
meta='"pf.object":"bad","pf.index":"0","pf.count":"2"' views k0.pf 8 without
object k1.pf good 1 2
cat k0.pf k1.pf >k.pf
run -k --steps 1 -o kept.pf k.pf 2>said; status=$?
ok "-k goes on, and fails at the end" test "$status $(sed -n '$p' said)" = "1 pf-neus: 1 object failed"
ok "what failed says why" bash -c '[ "$1" = "bad failed" ] && [[ $2 == "pf-neus: k.pf: the stream has no tensor views.alpha"* ]] && [ "$3" = "good field" ]' \
    - "$(info 0 kept.pf pf.object) $(info 0 kept.pf pf.kind)" "$(info 0 kept.pf pf.error)" "$(info 1 kept.pf pf.object) $(info 1 kept.pf pf.kind)"
ok "later tools pass over it without a word" bash -c 'pf-extract-mesh -q -d cpu --resolution 16 -o "m/%o.stl" kept.pf 2>&1 | (! grep .) && [ "$(ls m)" = good.stl ] &&
    pf-render-video -q -d cpu --frames 1 --size 16 --png "f/%o" kept.pf 2>&1 | (! grep .) && [ "$(ls f)" = good ]'
fails "which one file cannot" 1 "kept.pf: an earlier tool failed: pf-neus: k.pf: the stream has no tensor views.alpha" \
    bash -c 'pf-stream cat --index 0 -o kept0.pf kept.pf && cp kept0.pf kept.pf && pf-extract-mesh -o x.stl kept.pf'
