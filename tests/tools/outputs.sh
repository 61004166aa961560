# What all tools share about what they write: nothing half-written stays, what cannot be written is refused before the
# work, and a closed pipe ends a tool as it ends any filter.  Each test has the name of the mistake.
. "$(dirname "$0")/lib.sh"
. "$ROOT/tests/tools/small-field.inc"

small_field field.pf
PHOTO=$DATA/images/photo.png STRIP=$DATA/images/strip.png CKPT=$DATA/checkpoint/small.ckpt
neus() { pf-neus -q -d cpu -c small.yaml "$@"; }
clean() { ! ls -A "${1:-.}" | grep -q '[.]tmp$'; }

# ---- the name ----
for tool in "$BIN"/pf-*; do
    t=$(basename "$tool")
    fails "$t took an empty name for its output" 2 '--output needs a value' "$t" -o '' "$PHOTO"
done
fails 'an empty name of a folder' 2 '--png needs a value' pf-render-video --png '' field.pf
fails 'an empty name of a checkpoint' 2 '--checkpoint needs a value' neus --checkpoint= views.pf
fails 'a log on a pipe' 2 '--log' neus --log - -o x.pf views.pf
fails 'a dump on a pipe' 2 '--dump' pf-sample -w none.ckpt --dump - views.pf

fails 'a PNG was written under the name of a JPEG' 2 'x.jpg, does not end in .png' pf-stream png -o x.jpg views.pf
fails 'a cut-out was written under the name of a JPEG' 2 'x.jpg, does not end in .png' pf-cutout -o x.jpg "$DATA/images/photo.jpg"
fails 'an .npy under the name of an .npz' 2 'x.npz, does not end in .npy' pf-stream get views.pose -o x.npz views.pf
fails 'safetensors under the name of a checkpoint' 2 'x.ckpt, does not end in .safetensors' pf-weights convert -o x.ckpt "$CKPT"
cp "$PHOTO" own.png
fails 'a photo was replaced by its stream' 2 'own.png is no name for a stream' pf-crop -o own.png own.png
ok '... which is as it was' cmp own.png "$PHOTO"
fails 'a field was called a mesh' 2 'mesh.PLY is no name for a stream' neus -o mesh.PLY views.pf
for t in pf-clip-embed pf-sample; do
    fails "$t called a stream a picture" 2 'v.jpg is no name for a stream' $t -w "$CKPT" -o v.jpg views.pf
done
for t in pf-mask 'pf-stream cat' 'pf-stream pack'; do
    fails "$t called a stream a picture" 2 'v.jpg is no name for a stream' $t -o v.jpg views.pf
done
ok 'an ending in capitals was none' pf-stream png -o X.PNG views.pf
ok 'a dot of a folder was an ending' sh -c 'mkdir -p a.b && pf-stream png -o a.b/sheet views.pf'
fails 'a checkpoint replaced the field' 2 '--checkpoint and --output are one file' neus --checkpoint x -o x views.pf
fails 'a log replaced the field' 2 '--log and --output are one file' neus --log x -o x views.pf
fails 'a dump replaced the views' 2 '--dump and --output are one file' pf-sample -w "$CKPT" --dump x -o ./x views.pf
fails 'a log replaced it under another spelling' 2 '--log and --output are one file' neus --log ./x -o "$PWD/x" views.pf
cp views.pf same.pf
fails 'a log replaced the views' 1 'same.pf is there and is no log of pf-neus' neus --steps 1 --log same.pf -o x.pf same.pf
ok '... which are as they were' cmp same.pf views.pf
: >empty.csv
ok 'an empty log was none' neus --steps 1 --log empty.csv -o /dev/null views.pf
ok 'two devices were one file' neus --steps 1 --log /dev/null --checkpoint /dev/null -o /dev/null views.pf
fails 'a log replaced the checkpoint' 2 '--log and --checkpoint are one file' neus --log x --checkpoint x -o y views.pf

# ---- before the work ----
# The input is a FIFO that nobody writes: who reads first never ends.
mkfifo never
early() { fails "$1" 1 "$2" timeout 20 "${@:3}"; }
N=/nonexistent/x
early 'pf-crop read before it tried -o' "cannot write $N" pf-crop -o $N never
early 'pf-cutout read before it tried -o' "cannot write $N" pf-cutout -o $N never
early 'pf-clip-embed read before it tried -o' "cannot write $N" pf-clip-embed -w "$CKPT" -o $N never
early 'pf-sample read before it tried -o' "cannot write $N" pf-sample -w "$CKPT" -o $N never
early 'pf-mask read before it tried -o' "cannot write $N" pf-mask -o $N never
early 'pf-neus read before it tried -o' "cannot write $N" pf-neus -o $N never
early 'pf-extract-mesh read before it tried -o' "cannot write $N.ply" pf-extract-mesh -o $N.ply never
early 'pf-render-video read before it tried -o' "cannot write $N.mp4" pf-render-video -o $N.mp4 never
early 'pf-weights read before it tried -o' "cannot write $N" pf-weights convert -o $N never
for c in info cat 'get field.variance' png; do
    early "pf-stream $c read before it tried -o" "cannot write $N" pf-stream $c -o $N never
done
early 'pf-neus trained before it tried --checkpoint' "cannot write $N" pf-neus --checkpoint $N -o x.pf never
early 'pf-neus trained before it tried --log' "cannot write $N" pf-neus --log $N -o x.pf never
early 'pf-sample sampled before it tried --dump' "cannot write $N" pf-sample -w "$CKPT" --dump $N -o x.pf never
: >plain
for folder in $N plain; do
    early "pf-sample sampled before it tried --png $folder" "$folder" pf-sample -w "$CKPT" --png $folder -o x.pf never
    early "pf-mask read before it tried --png $folder" "$folder" pf-mask --png $folder -o x.pf never
    early "pf-render-video read before it tried --png $folder" "$folder" pf-render-video --png $folder never
done
mkdir frames
early 'a log that is a folder' 'frames' pf-neus --log frames -o x.pf never
ok 'what was tried left a file' sh -c '[ ! -e x.pf ] && ! ls -A . frames | grep -q "[.]tmp$"'
neus --steps 1 --checkpoint old.ck -o /dev/null views.pf
cp old.ck kept.ck
fails 'what was tried replaced an old checkpoint' 1 'nowhere.pf' neus --checkpoint old.ck -o x.pf nowhere.pf
ok '... which is as it was' cmp old.ck kept.ck

# ---- what a killed run leaves ----
# slow OUT: a run that has opened OUT and waits for its input; its number is in $pid.
slow() {
    rm -f wait; mkfifo wait
    pf-crop -o "$1" wait & pid=$!
    for _ in $(seq 100); do ls "$1".*.tmp >/dev/null 2>&1 && break; sleep 0.05; done
}
slow view.pf
kill -9 $pid; wait $pid 2>/dev/null
ok 'a killed run left a file for this test' sh -c 'ls view.pf.*.tmp'
ok 'the next run of the same output left it for ever' sh -c "
    pf-crop -o view.pf '$PHOTO' && ls view.pf && ! ls view.pf.*.tmp"
: >view.pf.notes.tmp; : >view.pf.1-0.tmp.bak; : >other.pf.1-0.tmp; mkdir view.pf.2-0.tmp
ok 'files of other names were taken for a killed run'\''s' sh -c "
    pf-crop -o view.pf '$PHOTO' && ls view.pf.notes.tmp view.pf.1-0.tmp.bak other.pf.1-0.tmp view.pf.2-0.tmp"
rm -r view.pf.* other.pf.1-0.tmp
slow view.pf
living=$(ls view.pf.*.tmp)
# Its number of a process is nobody's here, as that of another host's may be.
mv "$living" view.pf.4194305-0.tmp
ok 'a living run'\''s file was taken for a dead one'\''s' sh -c "pf-crop -o view.pf '$PHOTO' && ls view.pf.4194305-0.tmp"
kill $pid; wait $pid 2>/dev/null
rm -f view.pf.4194305-0.tmp
for signal in HUP INT QUIT TERM; do
    # A shell starts what it does not wait for with INT and QUIT ignored, and nohup all with HUP.
    ok "SIG$signal left a file" bash -c "
        env --default-signal=HUP,INT,QUIT,TERM bash -c 'ulimit -c 0; exec pf-crop -o signal.pf never' & pid=\$!
        for _ in \$(seq 100); do ls signal.pf.*.tmp >/dev/null 2>&1 && break; sleep 0.05; done
        ls signal.pf.*.tmp && kill -$signal \$pid; wait \$pid; ! ls signal.pf.*.tmp"
done
fails 'a limit of the size of files ended a tool without a sentence' 1 'File too large' bash -c "
    ulimit -f 1; exec pf-crop -o limit.pf '$PHOTO'"
ok 'or left a file' clean

# ---- a closed pipe ----
# closed NAME COMMAND...: the command's output is a pipe that nobody reads; it ends by SIGPIPE and says nothing.
closed() {
    local name=$1 got; shift; n=$((n + 1))
    exec 3> >(:)
    wait $!
    env --default-signal=PIPE "$@" >&3 2>"$TMP/.err"; got=$?
    exec 3>&-
    if [ $got = 141 ] && [ ! -s "$TMP/.err" ] && clean; then echo "ok $n - $name"
    else echo "not ok $n - $name"; echo "# exit $got"; head -3 "$TMP/.err" | sed 's/^/# /'; fi
}
closed 'a closed pipe was an error of pf-crop' pf-crop "$PHOTO"
closed 'of pf-mask' pf-mask --elevation 30 "$STRIP"
closed 'of pf-neus' pf-neus -q -c small.yaml --steps 0 --checkpoint pipe.ck views.pf
closed 'of pf-extract-mesh' pf-extract-mesh --resolution 16 --format obj field.pf
closed 'of pf-render-video' pf-render-video -q --frames 1 --size 16 field.pf
closed 'of pf-stream info' pf-stream info field.pf
closed 'of pf-stream cat' pf-stream cat field.pf
closed 'of pf-stream get' pf-stream get field.variance field.pf
closed 'of pf-stream png' pf-stream png views.pf
closed 'of pf-weights info' pf-weights info "$CKPT"
closed 'of pf-weights convert' pf-weights convert "$CKPT"
closed 'of -h' pf-crop -h

# ---- a full disk ----
# full NAME COMMAND...: what it prints goes to a full disk; it says so with the reason.
full() { fails "$1" 1 'No space left on device' sh -c '"$@" >/dev/full' sh "${@:2}"; }
for tool in "$BIN"/pf-*; do
    t=$(basename "$tool")
    full "a full disk ended $t -h without a sentence" "$t" -h
    full "... or its --version" "$t" --version
done
for c in info 'info --json' cat 'get views.pose' png; do
    full "a full disk was no reason for pf-stream $c" pf-stream $c views.pf
done
for c in info check convert; do
    full "... for pf-weights $c" pf-weights $c "$ROOT/configs/demo/weights.safetensors"
done
full '... for pf-sample --plan' pf-sample --plan -d cpu -c "$ROOT/configs/demo/config.yaml" -w "$ROOT/configs/demo/weights.safetensors"
for f in ply obj glb stl; do
    full "... for pf-extract-mesh --format $f" pf-extract-mesh -q --resolution 16 --format $f field.pf
done
full '... for pf-render-video' pf-render-video -q --frames 1 --size 16 field.pf
full '... for pf-crop' pf-crop "$PHOTO"
full '... for pf-mask' pf-mask --elevation 30 "$STRIP"
full '... for pf-cutout' pf-cutout --method plain "$DATA/images/photo.jpg"
full '... for pf-neus' pf-neus -q -d cpu -c small.yaml --steps 0 views.pf
fails '... for a text in a file' 1 'No space left on device' pf-stream info -o /dev/full views.pf
mkfifo pipe
closed 'a FIFO whose reader goes away was an error' bash -c "(: <pipe) & exec pf-crop -o pipe '$PHOTO'"
