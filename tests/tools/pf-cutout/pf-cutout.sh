# pf-cutout: what passes, what is cut, what is refused.
. "$(dirname "$0")/../lib.sh"
I=$DATA/images

# says NAME WORDS COMMAND...: succeeds, and its stderr contains WORDS (nothing, if WORDS is empty).
says() {
    local name=$1 words=$2; shift 2
    ok "$name" sh -c 'words=$1; shift; "$@" 2>said || exit 1
        if [ "$words" ]; then grep -qF -- "$words" said; else ! [ -s said ]; fi' - "$words" "$@"
}

says "a photo that is cut out already stays as it is" "has transparency, so it is cut out already" \
    pf-cutout "$I/photo.png" -o same.png
ok "byte for byte" cmp same.png "$I/photo.png"
head -c 500 "$I/photo.png" >cut-off.png
fails "unless it is damaged" 1 "cut-off.png: " pf-cutout cut-off.png -o none.png
head -c -20 "$I/photo.png" >cut-off.png
fails "at its end, too, where it was said to stay" 1 "cut-off.png: " pf-cutout cut-off.png -o none.png
fails "nothing but transparency" 1 "empty_alpha.png: all of it is transparent, so there is no object" \
    pf-cutout "$I/empty_alpha.png" -o none.png
says "what is no PNG becomes one" "has transparency" pf-cutout "$I/flag_lossless.webp" -o alpha.png
ok "pf-crop makes the same of it" sh -c 'pf-crop "$0" | tail -c 400000 >a; pf-crop same.png | tail -c 400000 >b; cmp a b' "$I/photo.png"
says "-q says nothing of it" "" pf-cutout -q "$I/photo.png" -o same.png
says "a plain background needs no network" "the background is plain, (255, 255, 255)" \
    pf-cutout -v "$I/photo_rgb.png" -o plain.png
says "and has nothing to warn of" "" pf-cutout "$I/photo_rgb.png" -o again.png
ok "twice the same bytes" cmp plain.png again.png
says "nor has the demo's photograph" "" pf-cutout "$ROOT/configs/demo/photos/table-20.jpg" -o table.png
ok "pf-crop takes it" pf-crop plain.png -o view.pf
ok "through pipes" sh -c 'pf-cutout <"$0" 2>said | cmp - plain.png' "$I/photo_rgb.png"
for photo in photo.jpg photo.webp photo_grey.jpg flag_16bit.png; do
    ok "reads $photo" pf-cutout "$I/$photo" -o x.png
done

fails "what is no picture" 1 "not_a_png.png" pf-cutout "$I/not_a_png.png" -o none.png
fails "a truncated photo" 1 "truncated.jpg" pf-cutout "$I/truncated.jpg" -o none.png
fails "no such photo" 1 "nowhere.png" pf-cutout nowhere.png -o none.png

# Several photos, each to a name of its own; what one of them lacks is no matter of the others.
ok "several photos" pf-cutout -o 'many/%o-%i.png' "$I/photo_rgb.png" "$I/photo.webp"
ok "the first is the same as alone" cmp many/photo_rgb-0.png plain.png
ok "the second too" sh -c 'pf-cutout "$0" | cmp - many/photo-1.png' "$I/photo.webp"
ok "%% is a percent sign" sh -c 'pf-cutout -o "%o 100%%.png" "$0" && cmp "photo_rgb 100%.png" plain.png' "$I/photo_rgb.png"
fails "two photos, one name" 2 "nowhere.png and b.png would both be none.png; %o is the photo's name" \
    pf-cutout nowhere.png b.png -o none.png
cp "$I/photo_rgb.png" x0.png; cp "$I/photo_rgb.png" x1.png
fails "a photo that is still to be read would be replaced" 2 "would replace the photo x0.png" pf-cutout -o 'x%i.png' x1.png x0.png
fails "a photo would be replaced by its own cut-out" 2 "would replace the photo x1.png" pf-cutout -o ./x1.png x1.png
ok "the photos are as they were" sh -c 'cmp x0.png "$1" && cmp x1.png "$1"' - "$I/photo_rgb.png"
fails "several photos to standard output" 2 "2 photos need names" pf-cutout x0.png x1.png
fails "a pattern that is none" 2 "of % only %o" pf-cutout "$I/photo_rgb.png" -o 'none%d.png'
pf-cutout -q -o 'some/%o.png' nowhere.png "$I/truncated.jpg" "$I/photo_rgb.png" 2>said
ok "some failed: status 1" test $? = 1
ok "each with its sentence, and then how many" sh -c '[ "$(wc -l <said)" = 3 ] && grep -q "nowhere.png: No such file" said &&
    grep -q "truncated.jpg: " said && grep -qx "pf-cutout: 2 of 3 photos failed" said'
ok "the other is there, alone" sh -c 'cmp some/photo_rgb.png plain.png && [ "$(ls -A some)" = photo_rgb.png ]'

ok "all folders of a pattern are made" pf-cutout -o 'far/%o/away/cut.png' "$I/photo_rgb.png"
ok "and the photo is there" cmp far/photo_rgb/away/cut.png plain.png
fails "a photo that fails leaves none" 1 "nowhere.png" pf-cutout -o 'empty/%o/far/cut.png' nowhere.png
ok "none at all" test ! -e empty
pf-cutout -q -o 'far/%o/too.png' nowhere.png "$I/photo_rgb.png" 2>said
ok "but for those of others" cmp far/photo_rgb/too.png plain.png
fails "folders where a file is" 1 "plain.png" pf-cutout -o 'plain.png/%o/x.png' "$I/photo_rgb.png"
fails "a folder is no name" 2 "'cut/%o.png' gives each photo a name in it" pf-cutout -o cut/ "$I/photo_rgb.png"
fails "a full disk, by the name of what is written" 1 "/dev/full: cannot write" pf-cutout -o /dev/full "$I/photo_rgb.png"
fails "and of what is copied" 1 "cannot write /dev/full" pf-cutout -o /dev/full "$I/photo.png"
fails "and of what becomes a PNG" 1 "/dev/full: cannot write" pf-cutout -o /dev/full "$I/flag_lossless.webp"
ln -s x1.png linked.png
fails "a photo would be replaced by another name" 2 "would replace the photo linked.png" pf-cutout -o x1.png linked.png
fails "weights are told once, not of each photo" 1 "none.safetensors" \
    pf-cutout -w none.safetensors -o 'none%o.png' "$I/photo.jpg" "$I/flag_rgb.png" "$I/photo_rgb.png"

fails "a GPU that is not there" 1 "device cuda:99" pf-cutout --method net -d cuda:99 "$I/photo.jpg" -o none.png
fails "a photo without an object" 1 "flag_rgb.png: no object is found" pf-cutout --method net "$I/flag_rgb.png" -o none.png
fails "a background that is not plain" 1 "the background is not plain" pf-cutout --method plain "$I/flag_rgb.png" -o none.png
fails "weights that are not there" 1 "none.safetensors" pf-cutout --method net -w none.safetensors "$I/photo.jpg" -o none.png
fails "weights of something else" 1 "holds no network that cuts out" \
    pf-cutout --method net -w "$ROOT/configs/demo/weights.safetensors" "$I/photo.jpg" -o none.png
fails "an ONNX model of something else" 1 "holds no network that cuts out" pf-cutout --method net -w "$DATA/onnx/small.onnx" "$I/photo.jpg" -o none.png
fails "rules for another network" 1 "imgly has rules for IS-Net alone, not for U^2-Net-p" pf-cutout --method net --preset imgly "$I/photo.jpg" -o none.png
fails "matting of something else" 1 "does not hold FBA matting" \
    pf-cutout --matting "$ROOT/configs/demo/weights.safetensors" "$I/photo_rgb.png" -o none.png
fails "matting of a plain background" 2 "--matting is for a network's mask" \
    pf-cutout --method plain --matting fba.pth "$I/photo_rgb.png" -o none.png
fails "matting and refining" 2 "one of them" \
    pf-cutout --refine on --matting fba.pth "$I/photo_rgb.png" -o none.png
fails "a method that is none" 2 "auto|net|plain" pf-cutout --method magic "$I/photo.jpg" -o none.png
ok "nothing was left behind" sh -c '! ls none.png* 2>/dev/null'

# Installed: PREFIX/bin beside PREFIX/share/posefusion.
mkdir -p there/bin there/share/posefusion alone/bin
cp "$BIN/pf-cutout" there/bin; cp "$BIN/pf-cutout" alone/bin
ln -s "$ROOT/configs" there/share/posefusion/configs
fails "an installed program finds its network" 1 "no object is found" there/bin/pf-cutout --method net "$I/flag_rgb.png" -o none.png
fails "one that is alone says what it lacks" 1 "say where with -w" alone/bin/pf-cutout --method net "$I/flag_rgb.png" -o none.png
fails "once" 1 "say where with -w" alone/bin/pf-cutout -o 'lone/%o.png' "$I/flag_rgb.png" "$I/photo.png" "$I/grey.png"
ok "and leaves no folder" test ! -e lone
ok "but a plain background needs none" alone/bin/pf-cutout "$I/photo_rgb.png" -o x.png

# The pipeline: a photo without transparency is cut out first, or not.
D=$ROOT/configs/demo
pipeline() {
    make -s -f "$ROOT/pipelines/reconstruct.mk" PATH="$PATH" out/input.pf OUTPUT=out CONFIG="$D/config.yaml" \
        CKPT="$D/weights.safetensors" DEVICE=cpu "$@"
}
ok "reconstruct.mk cuts out what is opaque" pipeline INPUT="$I/photo.jpg"
ok "it keeps the cut-out" test -s out/cutout.png -a -s out/input.pf
rm -r out
ok "what is cut out is copied" pipeline INPUT="$I/photo.png"
ok "byte for byte" cmp out/cutout.png "$I/photo.png"
rm -r out
ok "CUTOUT=off: what is cut out is taken as it is" pipeline INPUT="$I/photo.png" CUTOUT=off
ok "without pf-cutout" test ! -e out/cutout.png
rm -r out
pipeline INPUT="$I/photo.jpg" CUTOUT=off >refused 2>&1 && echo "not refused" >refused
ok "CUTOUT=off: what is opaque is refused" grep -q "cut the object out first with pf-cutout" refused
ok "another word is refused" sh -c '! "$@"' - make -s -f "$ROOT/pipelines/reconstruct.mk" out/input.pf INPUT=x OUTPUT=out CKPT=x CUTOUT=on
