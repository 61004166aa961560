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
fails "two photos" 2 "one photo at a time" pf-crop "$I/photo.png" "$I/photo.png" -o x.pf
ok "a failure leaves nothing" test ! -e x.pf
fails "a full disk" 1 "No space left" bash -c 'pf-crop "$0" >/dev/full' "$I/photo.png"
