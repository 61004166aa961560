# pf-crop: its document, formats, and what it refuses.
. "$(dirname "$0")/../lib.sh"
I=$DATA/images

# header FILE: the JSON header of a document.
header() { tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1")"; }
# at FILE TENSOR: the tensor's first number.
at() {
    local h=$(header "$1") start
    start=$(sed 's/.*"'"$2"'":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/' <<<"$h")
    tail -c +$((9 + ${#h} + start)) "$1" | od -An -tf4 -N4 | tr -d ' '
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
same() { pf-crop --size 32 "$@" -o b.pf && body b.pf | cmp - whole.body; }
pf-crop --size 32 --input-elevation 10 "$I/flag.png" -o whole.pf && body whole.pf >whole.body
ok "a pipe is a file" bash -c 'pf-crop --size 32 --input-elevation 10 - <"$0" -o p.pf && cmp <(tail -c 4000 p.pf) <(tail -c 4000 whole.pf)' "$I/flag.png"
ok "the original's spelling" same --elevation 10 "$I/flag.png"
for kind in interlaced.png 16bit.png palette.png lossless.webp; do
    ok "flag_$kind gives the same numbers" same --input-elevation 10 "$I/flag_$kind"
done
ok "same input, same bytes" bash -c 'pf-crop "$0" -o c.pf; pf-crop "$0" -o d.pf; cmp <(tail -c 100000 c.pf) <(tail -c 100000 d.pf)' "$I/photo.png"
for photo in photo.jpg photo_progressive.jpg photo_grey.jpg photo_rgb.webp photo_rgb.png grey.png grey_1bit.png; do
    ok "fits the whole of $photo" pf-crop --size 32 "$I/$photo" -o e.pf
done
ok "an RGB photo is object everywhere" test "$(at e.pf input.alpha)" = 1
ok "crops a WebP" pf-crop --size 32 --crop-size 20 "$I/photo.webp" -o e.pf

fails "no alpha to crop by" 1 "photo.jpg: there is no alpha channel" pf-crop --crop-size 200 "$I/photo.jpg" -o x.pf
fails "empty alpha" 1 "empty_alpha.png: the alpha channel is 0 everywhere" pf-crop "$I/empty_alpha.png" -o x.pf
fails "one pixel is no object" 1 "one_pixel.png: the object covers 1 x 1 pixels" pf-crop --crop-size 9 "$I/one_pixel.png" -o x.pf
fails "not a picture" 1 "not_a_png.png is neither a PNG" pf-crop "$I/not_a_png.png" -o x.pf
fails "an empty file" 1 "empty.png is empty" pf-crop "$I/empty.png" -o x.pf
fails "an empty pipe" 1 "stdin is empty" pf-crop -o x.pf </dev/null
for bad in truncated.png no_end.png bad_crc.png giant.png promises_too_much.png no_pixels.png truncated.jpg truncated.webp; do
    fails "$bad" 1 "$bad: " pf-crop "$I/$bad" -o x.pf
done
fails "no file" 1 "nowhere.png: No such file" pf-crop nowhere.png -o x.pf
fails "a folder" 1 "Is a directory" pf-crop . -o x.pf
fails "NaN" 2 "--input-elevation is nan, not a finite number" pf-crop --input-elevation nan "$I/photo.png" -o x.pf
fails "elevation 90" 2 "out of range: -89 to 89" pf-crop --input-elevation 90 "$I/photo.png" -o x.pf
fails "crop size 0" 2 "--crop-size 0" pf-crop --crop-size 0 "$I/photo.png" -o x.pf
fails "two photos" 2 "one photo at a time" pf-crop "$I/photo.png" "$I/photo.png" -o x.pf
ok "a failure leaves nothing" test ! -e x.pf
fails "a full disk" 1 "No space left" bash -c 'pf-crop "$0" >/dev/full' "$I/photo.png"
