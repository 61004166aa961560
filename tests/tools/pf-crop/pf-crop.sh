# pf-crop: its document, formats, and what it refuses.
. "$(dirname "$0")/../lib.sh"
I=$DATA/images

# header FILE: the JSON header of a document.
header() { tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1")"; }
# at FILE TENSOR [I]: number I of the tensor, from 0.
at() {
    local h=$(header "$1") start
    start=$(sed 's/.*"'"$2"'":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/' <<<"$h")
    tail -c +$((9 + ${#h} + start + 4 * ${3:-0})) "$1" | od -An -tf4 -N4 | tr -d ' '
}
has() { header "$1" | grep -qF -- "$2"; }

ok "crops" pf-crop "$I/photo.png" --crop-size 40 --size 64 --input-elevation 20 --input-azimuth 90 -o a.pf
ok "image" has a.pf '"input.image":{"dtype":"F32","shape":[3,64,64]'
ok "alpha" has a.pf '"input.alpha":{"dtype":"F32","shape":[64,64]'
ok "kind" has a.pf '"pf.kind":"input"'
ok "history" has a.pf pf-crop
ok "elevation in radians" test "$(at a.pf input.elevation)" = 0.34906584
ok "azimuth in radians" test "$(at a.pf input.azimuth)" = 1.5707964
ok "transparent is white" test "$(at a.pf input.image)" = 1
ok "transparent has no alpha" test "$(at a.pf input.alpha)" = 0
ok "size is 256 by default" bash -c 'pf-crop "$0" | head -c 4000 | grep -q "\[3,256,256\]"' "$I/photo.png"
echo 'model: {image_size: 32}' >small.yaml
ok "size comes from the config" bash -c 'pf-crop -c small.yaml "$0" | head -c 4000 | grep -q "\[3,32,32\]"' "$I/photo.png"

# body FILE: a document's numbers, without the header whose history tells how they came to be.
body() { tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1"; }
same() { pf-crop --size 32 --crop-size -1 "$@" -o b.pf && body b.pf | cmp - whole.body; }
pf-crop --size 32 --input-elevation 10 --crop-size -1 "$I/flag.png" -o whole.pf && body whole.pf >whole.body
ok "a pipe is a file" bash -c 'pf-crop --size 32 --input-elevation 10 --crop-size -1 - <"$0" -o p.pf && cmp <(tail -c 4000 p.pf) <(tail -c 4000 whole.pf)' "$I/flag.png"
ok "the original's spelling" same --elevation 10 "$I/flag.png"
for kind in interlaced.png 16bit.png palette.png lossless.webp; do
    ok "flag_$kind gives the same numbers" same --input-elevation 10 "$I/flag_$kind"
done
ok "same input, same bytes" bash -c 'pf-crop "$0" -o c.pf; pf-crop "$0" -o d.pf; cmp <(tail -c 100000 c.pf) <(tail -c 100000 d.pf)' "$I/photo.png"
for photo in photo.jpg photo_progressive.jpg photo_grey.jpg photo_rgb.webp photo_rgb.png grey.png grey_1bit.png; do
    ok "takes the whole of $photo" pf-crop --opaque --crop-size -1 --size 32 "$I/$photo" -o e.pf
    fails "$photo has no transparency" 1 "$photo has no transparency: cut the object out first with pf-cutout, or say --opaque" \
        pf-crop "$I/$photo" -o x.pf
done
ok "padding has no alpha" test "$(at e.pf input.alpha)" = 0
ok "padding is white" test "$(at e.pf input.image)" = 1
ok "crops a WebP" pf-crop --size 32 --crop-size 20 "$I/photo.webp" -o e.pf

fails "empty alpha" 1 "empty_alpha.png: the alpha channel is 0 everywhere" pf-crop "$I/empty_alpha.png" -o x.pf
fails "one pixel is no object" 1 "one_pixel.png: the object covers 1 x 1 pixels" pf-crop --crop-size 9 "$I/one_pixel.png" -o x.pf
# By default the object keeps its share of the view, whatever that measures.
for size in 128 256; do
    px=$((200 * size / 256))
    ok "$px pixels of $size by default" bash -c 'pf-crop --size $2 "$0" -o c.pf && pf-crop --size $2 --crop-size $1 "$0" -o d.pf &&
        cmp <(tail -c $((16 * $2 * $2 + 8)) c.pf) <(tail -c $((16 * $2 * $2 + 8)) d.pf)' "$I/photo.png" $px $size
done
# says NAME WORDS COMMAND...: succeeds, with one line on stderr that contains WORDS, or none if WORDS is empty.
says() {
    local name=$1 words=$2 lines; shift 2; n=$((n + 1))
    "$@" 2>"$TMP/.err" && lines=$(wc -l <"$TMP/.err") && [ "$lines" = "${words:+1}" -o "$lines$words" = 0 ] &&
        grep -qF -- "$words" "$TMP/.err$([ "$words" ] || echo .none)" && { echo "ok $n - $name"; return; }
    echo "not ok $n - $name"; sed 's/^/# /' "$TMP/.err" | head -5
}
nothing=$TMP/.err.none; echo >"$nothing"
says "the default does not reach the border" "" pf-crop --size 128 "$I/photo.png" -o c.pf
says "200 pixels of 128" "photo.png: the object reaches the border of the view: --crop-size 200 in 128 pixels" \
    pf-crop --size 128 --crop-size 200 "$I/photo.png" -o c.pf
says "cut off by the photo's border" "flag.png: the object reaches the border of the view: --crop-size 0 leaves a margin" \
    pf-crop --crop-size -1 --size 32 "$I/flag.png" -o c.pf
# One chunk behind IHDR: two frames are announced.
{ head -c 33 "$I/photo.png"; printf '\0\0\0\10acTL\0\0\0\2\0\0\0\0\xf3\x8d\x93\x70'; tail -c +34 "$I/photo.png"; } >animated.png
says "an animation" "animated.png: an animation, of which the first frame is taken" pf-crop animated.png -o c.pf
# One segment behind the start: EXIF, orientation 6, so that the photo of 64 x 48 stands.
{ head -c 2 "$I/photo.jpg"
  printf '\xff\xe1\0\42Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\6\0\0\0\0\0\0'
  tail -c +3 "$I/photo.jpg"; } >turned.jpg
says "a photo that a phone wrote" "" pf-crop --opaque --crop-size -1 --size 64 turned.jpg -o c.pf
ok "stands upright, its margins left and right" test "$(at c.pf input.alpha 32)$(at c.pf input.alpha 2048)" = 10
printf '\0\0\0\30ftypheic\0\0\0\0' >IMG.HEIC
fails "a HEIC photo" 1 "IMG.HEIC is a HEIC picture; PNG, JPEG and WebP are read: heif-convert 'IMG.HEIC' photo.png" pf-crop IMG.HEIC -o x.pf

fails "nothing above the threshold" 1 "flag.png: alpha is nowhere above 1" pf-crop --alpha-threshold 1 "$I/flag.png" -o x.pf
fails "not a picture" 1 "not_a_png.png is neither a PNG" pf-crop "$I/not_a_png.png" -o x.pf
fails "an empty file" 1 "empty.png is empty" pf-crop "$I/empty.png" -o x.pf
fails "an empty pipe" 1 "stdin is empty" pf-crop -o x.pf </dev/null
for bad in truncated.png no_end.png bad_crc.png giant.png promises_too_much.png no_pixels.png truncated.jpg truncated.webp; do
    fails "$bad" 1 "$bad: " pf-crop --opaque "$I/$bad" -o x.pf
done
fails "no file" 1 "nowhere.png: No such file" pf-crop nowhere.png -o x.pf
fails "a folder" 1 "Is a directory" pf-crop . -o x.pf
fails "NaN" 2 "--input-elevation is nan, not a finite number" pf-crop --input-elevation nan "$I/photo.png" -o x.pf
fails "elevation 90" 2 "out of range: -89 to 89" pf-crop --input-elevation 90 "$I/photo.png" -o x.pf
fails "alpha threshold 2" 2 "out of range: 0 to 1" pf-crop --alpha-threshold 2 "$I/photo.png" -o x.pf
ok "--input is the photo, as the original has it" bash -c \
    "pf-crop '$I/photo.png' -o a.pf && pf-crop --input '$I/photo.png' --crop_size 0 --elevation 30 --output b.pf &&
     cmp <(pf-stream get input.image a.pf) <(pf-stream get input.image b.pf)"
fails "--input and a photo" 2 "one photo at a time" pf-crop --input "$I/photo.png" "$I/photo.png" -o x.pf
fails "two photos of one name" 2 "photo.webp: two photos of one object, photo; --list can name objects" \
    pf-crop "$I/photo.png" "$I/photo.webp" -o x.pf

# Many photos are a stream of as many documents.
meta() { pf-stream info --index "$1" "$2" | sed -n "s/^  $3: //p"; }
ok "a photo's object is named after it" test "$(meta 0 a.pf pf.object)" = photo
ok "several" pf-crop --size 32 --crop-size 20 "$I/photo.png" "$I/flag.png" -o many.pf
ok "which are counted" test "$(meta 0 many.pf pf.index)$(meta 0 many.pf pf.count) $(meta 1 many.pf pf.index)$(meta 1 many.pf pf.count)" = "02 12"
ok "which are named" test "$(meta 0 many.pf pf.object) $(meta 1 many.pf pf.object)" = "photo flag"
ok "nobody knows whose photo a pipe is" sh -c 'pf-crop - <"$1" | pf-stream info | (! grep pf.object)' sh "$I/photo.png"
ok "a pattern makes a file of each, the bytes of a run of its own" sh -c '
    pf-crop --size 32 --crop-size 20 "$1/photo.png" "$1/flag.png" -o "dir/%o/in-%i-%e%%.pf" &&
    pf-crop --size 32 --crop-size 20 "$1/flag.png" | cmp - dir/flag/in-1-30%.pf && [ -s dir/photo/in-0-30%.pf ]' sh "$I"
printf 'photo\tobject\televation\n%s\ta\t10\n%s\tb\t20\n%s\tc\t10\n' "$I/photo.png" "$I/photo.png" "$I/photo.png" >three.tsv
fails "a file that would be replaced" 1 "10.pf would be written twice; %o in the name" pf-crop --list three.tsv -o 'p%e.pf'

# -k: a photo that fails becomes a document that says why, and the next tools pass it on.
pf-crop -k --size 32 "$I/bad_crc.png" "$I/photo.png" "$I/empty.png" -o k.pf 2>said; status=$?
ok "-k fails at the end" test $status = 1
ok "-k says what failed, and how many" sh -c '[ "$(wc -l <said)" = 3 ] && grep -q "^pf-crop: .*empty.png is empty$" said && grep -qx "pf-crop: 2 objects failed" said'
ok "the others are there" test "$(meta 1 k.pf pf.object) $(meta 1 k.pf pf.index) $(meta 1 k.pf pf.count)" = "photo 1 3"
ok "and what failed says why" sh -c '[ "$1" = failed ] && case $2 in "pf-crop: "*empty.png*) ;; *) false; esac' sh "$(meta 2 k.pf pf.kind)" "$(meta 2 k.pf pf.error)"
ok "without tensors" sh -c '! pf-stream info --index 2 k.pf | grep -q input.image'
fails "without -k the first ends the run" 1 "bad_crc.png" pf-crop "$I/bad_crc.png" "$I/photo.png" -o x.pf

# --list: the table says what differs among the photos.
mkdir -p table; cp "$I/photo.png" table/; cp "$I/photo.webp" "table/a photo, #2.webp"
printf 'photo\tobject\televation\tazimuth\tcrop_size\ttarget_elevation\tseed\nphoto.png\tfirst\t10\t-20\t20\t-20,30\t7\r\n\na photo, #2.webp\t\t\t\t\t50,60\n' >table/list.tsv
ok "a list" pf-crop --size 32 --input-elevation 5 --list table/list.tsv -o list.pf
ok "object" test "$(meta 0 list.pf pf.object), $(meta 1 list.pf pf.object)" = "first, a photo, #2"
ok "target elevation" test "$(meta 0 list.pf pf.target_elevation) $(meta 1 list.pf pf.target_elevation)" = "-20,30 50,60"
ok "seed" test "$(meta 0 list.pf pf.seed)$(meta 1 list.pf pf.seed)" = 7
ok "elevation, azimuth and crop" bash -c 'pf-crop --size 32 --input-elevation 10 --input-azimuth=-20 --crop-size 20 "$1" -o one.pf &&
    for t in image alpha elevation azimuth; do pf-stream get input.$t --index 0 list.pf | cmp - <(pf-stream get input.$t one.pf) || exit; done' \
    bash "$I/photo.png"
ok "what is left out is as the options say" test "$(pf-stream info --index 1 list.pf | grep -c 'input.elevation.* min 0.0872665')" = 1
ok "the list is no part of a photo's history" sh -c '! grep -q list.tsv list.pf'
ok "a list from standard input" sh -c 'cd table && pf-crop --size 32 --input-elevation 5 --list - <list.tsv | cmp - ../list.pf'
bad() { printf "$3" >bad.tsv; fails "$1" 1 "$2" pf-crop --list bad.tsv -o x.pf; }
bad "a column that is unknown" 'bad.tsv:1: there is no column "elev"' 'photo\televation\telev\n'
bad "a column twice" 'bad.tsv:1: column photo is there twice' 'photo\tphoto\n'
bad "no photos" 'bad.tsv:1: there is no column photo' 'object\nx\n'
bad "a bad number" 'bad.tsv:3: column elevation: "high", expected a number, -89 to 89' 'photo\televation\na.png\t1\nb.png\thigh\n'
bad "a number out of range" 'bad.tsv:2: column seed: "-1", expected a whole number, 0 to' 'photo\tseed\na.png\t-1\n'
bad "a bad elevation among several" 'bad.tsv:2: column target_elevation: "90"' 'photo\ttarget_elevation\na.png\t30,90\n'
bad "other numbers of elevations" 'bad.tsv:3: column target_elevation: "30", expected as many' 'photo\ttarget_elevation\na.png\t30,60\nb.png\t30\n'
bad "some with elevations" 'bad.tsv:3: column target_elevation: "", expected it in all rows or in none' 'photo\ttarget_elevation\na.png\t30\nb.png\t\n'
bad "too many fields" 'bad.tsv:2: more than the 1 columns' 'photo\na.png\t1\n'
bad "an empty name" 'bad.tsv:2: column photo: it is empty' 'photo\televation\n\t1\n'
bad "two photos of one object" 'bad.tsv:4: two photos of one object, a, the first in line 2' 'photo\na.png\nb.png\nd/a.jpg\n'
bad "an object that leaves the folder" 'bad.tsv:2: column object: "../x" cannot be the name of an object' 'photo\tobject\na.png\t../x\n'
bad "an empty list" 'bad.tsv: lists no photo' 'photo\n'
fails "no such list" 1 "cannot read none.tsv" pf-crop --list none.tsv -o x.pf
fails "a list and a photo" 2 "one or the other" pf-crop --list table/list.tsv "$I/photo.png" -o x.pf
fails "a pattern of unknown letters" 2 "behind a % comes o" pf-crop "$I/photo.png" -o 'a%n.pf'

ok "a failure leaves nothing" test ! -e x.pf
fails "a full disk" 1 "No space left" bash -c 'pf-crop "$0" >/dev/full' "$I/photo.png"
