. "$(dirname "$0")/../lib.sh"
. "$ROOT/tests/tools/small-field.inc"

film() { pf-render-video -q --frames 3 --size 16 "$@"; }

small_field field.pf
ok 'frames are PNG files, one for each' sh -c '
    pf-render-video -q --frames 3 --size 16 --png frames field.pf && [ "$(ls frames | tr "\n" " ")" = "0000.png 0001.png 0002.png " ]'
ok 'frames are the same however many threads write them' sh -c '
    for n in 1 3; do pf-render-video -q --threads $n --frames 9 --size 16 --png threads$n field.pf || exit; done
    [ "$(ls threads1 | wc -l)" = 9 ] && diff -r threads1 threads3'
mkdir -p full/0004.png
for n in 1 3; do
    fails "a frame that cannot be written is an error with --threads $n" 1 '0004.png is a directory' \
        pf-render-video -q --threads $n --frames 9 --size 16 --png full field.pf
done
ok 'and what is there is whole' sh -c '
    ! ls full | grep -v "^000[0-8].png$" && cmp full/0003.png threads1/0003.png && ! cmp -s full/0003.png full/0002.png'
ok 'a pipe gets Y4M' sh -c 'pf-render-video -q --frames 3 --size 16 -o - field.pf >a.y4m &&
    [ "$(head -n 1 a.y4m | cut -c 1-30)" = "YUV4MPEG2 W16 H16 F30:1 Ip A1:" ]'
# 44 bytes of header; a frame is 6 bytes and 16 x 16 x 1.5.
ok 'Y4M has every frame' sh -c '[ $(($(wc -c <a.y4m) - $(head -n 1 a.y4m | wc -c))) = $((3 * (6 + 384))) ]'
ok 'any number of threads gives the same bytes' sh -c '
    OMP_NUM_THREADS=1 pf-render-video -q --frames 3 --size 16 -o b.y4m field.pf && cmp a.y4m b.y4m'
ok 'the elevation is that of the first views' sh -c '
    pf-render-video -q --frames 3 --size 16 --elevation 0 -o c.y4m field.pf && cmp a.y4m c.y4m'
ok 'another elevation is another film' sh -c '
    pf-render-video -q --frames 3 --size 16 --elevation 40 -o d.y4m field.pf && ! cmp -s a.y4m d.y4m'
ok 'elevations follow each other' sh -c '
    pf-render-video -q --frames 3 --size 16 --elevation 0,40 -o e.y4m field.pf &&
    tail -n +2 a.y4m >parts && tail -n +2 d.y4m >>parts && tail -n +2 e.y4m | cmp - parts'
film -o film.mp4 field.pf 2>.mp4
if grep -q 'no H.264 encoder' .mp4; then
    skip 'the film is an MP4 file' 'this libavcodec cannot encode H.264'
else
    ok 'the film is an MP4 file' sh -c '[ "$(head -c 8 film.mp4 | tail -c 4)" = ftyp ]'
    ln -s /dev/full full.mp4
    fails 'a full disk is an error' 1 'cannot write' film -o full.mp4 field.pf
    ok 'the same field gives the same film' sh -c '
        pf-render-video -q --frames 3 --size 16 -o again.mp4 field.pf && cmp film.mp4 again.mp4'
    if command -v ffprobe >/dev/null; then
        ok 'players find H.264 of three frames' sh -c 'ffprobe -v error -count_frames -show_entries \
            stream=codec_name,pix_fmt,nb_read_frames -of csv=p=0 film.mp4 | grep -qx h264,yuv420p,3'
    else
        skip 'players find H.264 of three frames' 'there is no ffprobe'
    fi
fi
# test_video.c reads films of every ending back.
for ending in mov mkv webm gif; do
    film -o film.$ending field.pf 2>.$ending
    if grep -q 'no .* encoder' .$ending; then
        skip "-o film.$ending wrote an MP4 file" 'this libavcodec cannot encode it'
        continue
    fi
    ok "-o film.$ending wrote an MP4 file" sh -c "[ -s film.$ending ] && ! cmp -s film.$ending film.mp4"
    ok "the same field gives the same film.$ending" sh -c "
        pf-render-video -q --frames 3 --size 16 -o again.$ending field.pf && cmp film.$ending again.$ending"
    ln -s /dev/full full.$ending
    fails "a full disk is an error for $ending" 1 'cannot write' film -o full.$ending field.pf
done
for name in film.avi film.m4v film mp4 /dev/full; do
    fails "-o $name wrote an MP4 file" 2 "$name, ends in none of .mp4, .mov, .mkv, .webm, .gif, .y4m" film -o $name field.pf
done
ok 'and left it there' sh -c '! ls film.avi film.m4v film mp4'
fails 'a GIF was faster than browsers show' 2 '--fps 60' film --fps 60 -o fast.gif field.pf
ok 'only a GIF has such a limit' film --fps 60 -o fast.y4m field.pf

fails 'an odd size is refused' 2 'odd' pf-render-video --size 17 -o v.mp4 field.pf
fails 'an elevation out of range is refused' 2 '--elevation' pf-render-video --elevation 95 -o v.mp4 field.pf
fails 'a stream without a field is refused' 1 'field' pf-render-video --size 16 -o v.mp4 views.pf
head -c 3000 field.pf >cut.pf
fails 'a truncated field is refused' 1 'cut.pf' pf-render-video --size 16 -o v.mp4 cut.pf
fails 'a full disk is an error for Y4M' 1 'No space left' sh -c '
    pf-render-video -q --frames 3 --size 64 -o - field.pf >/dev/full'
ok 'a failure leaves no file behind' sh -c '! ls | grep -q "^v[.]mp4"'
# ---- meshes ----
M=$DATA/mesh/box.glb
ok 'a mesh is filmed as pf-render-mesh draws it' sh -c '
    pf-render-video -q -d cpu --renderer mesh --frames 1 --size 32 --elevation 80 --png turn "$0" &&
    pf-render-mesh -q -d cpu --fit --elevation 80 --view-num 1 --size 32 "$0" | pf-stream png --tensor views.image -o view.png &&
    cmp turn/0000.png view.png' "$M"
ok '--keep-frame and --light are those of pf-render-mesh, too' sh -c '
    pf-render-video -q -d cpu --renderer mesh --keep-frame --light flat --frames 1 --size 32 --elevation 80 --png kept "$0" &&
    pf-render-mesh -q -d cpu --keep-frame --light flat --elevation 80 --view-num 1 --size 32 "$0" 2>/dev/null | pf-stream png --tensor views.image -o view.png &&
    cmp kept/0000.png view.png' "$M"
ok 'a mesh shows its normals and its depth' sh -c '
    for s in normal depth; do pf-render-video -q -d cpu --renderer mesh --show $s --frames 1 --size 32 --png $s "$0" || exit; done
    ! cmp -s normal/0000.png depth/0000.png' "$M"
fails 'a field has no such' 2 'for --renderer mesh' film --show normal -o x.y4m field.pf
fails 'a mesh was read as a field' 1 'box.glb' film -o x.y4m "$M"
fails 'a field was read as a mesh' 1 'ends in none of .glb' film --renderer mesh -o x.y4m field.pf
fails 'a mesh has a name' 2 'needs the name of a mesh' film --renderer mesh -o x.y4m
