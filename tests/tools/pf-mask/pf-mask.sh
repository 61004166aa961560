# pf-mask: strips and streams, masks in and out, and what it refuses.
. "$(dirname "$0")/../lib.sh"
I=$DATA/images

header() { tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1")"; }
has() { header "$1" | grep -qF -- "$2"; }
# alpha FILE: the numbers of views.alpha (the first tensor by name: 4 views of 32 x 32), one a line.
alpha() { tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1" | od -An -v -tf4 -w4 -N16384; }
# near A B TOLERANCE: mean difference of two lists of alpha.
near() { paste "$1" "$2" | awk -v tol="$3" '{d = $1 - $2; s += d < 0 ? -d : d} END {exit !(NR == 4096 && s / NR <= tol)}'; }

ok "a strip becomes a stream" pf-mask "$I/strip.png" --elevation 30 --open 0 --soft 1.5 -o white.pf
ok "views.image" has white.pf '"views.image":{"dtype":"U8","shape":[4,32,32,3]'
ok "views.alpha" has white.pf '"views.alpha":{"dtype":"F32","shape":[4,32,32]'
ok "views.pose" has white.pf '"views.pose":{"dtype":"F32","shape":[4,3,4]'
ok "views.intrinsics" has white.pf '"views.intrinsics":{"dtype":"F32","shape":[4,3,3]'
ok "views.elevation" has white.pf '"views.elevation":{"dtype":"F32","shape":[4]'
ok "kind" has white.pf '"pf.kind":"views"'
ok "an RGBA strip brings its alpha" pf-mask "$I/strip_rgba.png" --elevation 30 -o given.pf
ok "white of an RGBA strip" pf-mask "$I/strip_rgba.png" --method white --elevation 30 --open 0 --soft 1.5 -o anew.pf
alpha white.pf >white.txt; alpha given.pf >given.txt; alpha anew.pf >anew.txt
ok "white finds what is there" near white.txt given.txt 0.003
ok "RGBA is composited on white" cmp white.txt anew.txt
ok "a hard edge is worse" bash -c "$(declare -f alpha near)"'; pf-mask "$0" --elevation 30 --soft 0 --open 0 -o hard.pf; alpha hard.pf >hard.txt; ! near hard.txt given.txt 0.02' "$I/strip.png"

ok "a strip from a pipe" bash -c 'pf-mask --elevation 30 --open 0 --soft 1.5 <"$0" | tail -c 16000 | cmp - <(tail -c 16000 white.pf)' "$I/strip.png"
ok "a stream from a pipe" bash -c 'pf-mask --method white --open 0 --soft 1.5 <white.pf | tail -c 16000 | cmp - <(tail -c 16000 white.pf)'
ok "alpha that is there stays" bash -c "$(declare -f alpha)"'; pf-mask <given.pf >stays.pf && alpha stays.pf | cmp - given.txt'
ok "method alpha" pf-mask --method alpha given.pf -o x1.pf
ok "history grows" bash -c "$(declare -f header)"'; test "$(header stays.pf | grep -o pf-mask | wc -l)" = 2'
ok "writes the masked views" pf-mask --png pngs white.pf -o x2.pf
ok "one for each view" test -s pngs/masked-3.png -a ! -e pngs/masked-4.png
ok "several documents" bash -c 'cat white.pf given.pf | pf-mask --png many >two.pf && test -s many/masked-0.png -a -s many/1/masked-3.png'
ok "each with its masks" bash -c 'cat white.pf given.pf | pf-mask --masks many | tail -c 16000 | cmp - <(tail -c 16000 given.pf)'
ok "masks that were written can be read" bash -c "$(declare -f alpha near)"'; pf-mask --masks pngs white.pf >back.pf && alpha back.pf >back.txt && near back.txt white.txt 0.001'
ok "masked views are a valid photo" pf-crop pngs/masked-0.png --crop-size 100 -o x3.pf
mkdir plain && for k in 0 1 2 3; do cp pngs/masked-$k.png plain/$k.png; done
ok "masks without the prefix" bash -c "pf-mask --masks plain white.pf | tail -c 16000 | cmp - <(tail -c 16000 back.pf)"

rm plain/3.png
fails "a missing mask" 1 "plain has neither masked-3.png nor 3.png" pf-mask --masks plain white.pf -o x.pf
cp "$I/photo.png" plain/3.png
fails "a mask of another size" 1 "plain/3.png is 64 x 48 pixels, expected 32 x 32" pf-mask --masks plain white.pf -o x.pf
fails "a strip without its elevation" 2 "needs --elevation" pf-mask "$I/strip.png" -o x.pf
fails "a stream with an elevation" 2 "--elevation is for a strip, PNG, JPEG or WebP; white.pf is none" pf-mask --elevation 3 white.pf -o x.pf
fails "two elevations" 2 "needs --elevation" pf-mask --elevation 3,4 "$I/strip.png" -o x.pf
mkdir -p folder
fails "a folder was no strip and therefore a stream" 1 "cannot read folder: Is a directory" pf-mask --elevation 3 folder -o x.pf
fails "elevation 90" 2 "out of range" pf-mask --elevation 90 "$I/strip.png" -o x.pf
fails "views that are not square" 1 "not square views" pf-mask --elevation 30 "$I/photo.png" -o x.pf
fails "a JPEG strip was taken for a stream" 1 "photo.jpg: 64 x 48 pixels are not square views" pf-mask --elevation 30 "$I/photo.jpg" -o x.pf
fails "a WebP strip was taken for a stream" 1 "photo.webp: 64 x 48 pixels are not square views" pf-mask --elevation 30 "$I/photo.webp" -o x.pf
fails "a JPEG strip from a pipe" 1 "stdin: 64 x 48 pixels" bash -c 'cat "$0" | pf-mask --elevation 30 -o x.pf' "$I/photo.jpg"
fails "a JPEG strip without its elevation" 2 "a strip needs --elevation" pf-mask "$I/photo.jpg" -o x.pf
fails "a damaged JPEG strip" 1 "truncated.jpg" pf-mask --elevation 30 "$I/truncated.jpg" -o x.pf
fails "a damaged strip" 1 "truncated.png: not a valid PNG" pf-mask --elevation 30 "$I/truncated.png" -o x.pf
fails "no alpha to take" 1 "--method alpha: the views have no alpha" pf-mask --method alpha --elevation 30 "$I/strip.png" -o x.pf
pf-crop "$I/photo.png" -o input.pf
fails "a stream without views" 1 "views.image; it is made by pf-sample" pf-mask input.pf -o x.pf
head -c 20000 white.pf >short.pf
fails "a truncated stream" 1 "short.pf" pf-mask short.pf -o x.pf
fails "an empty stream" 1 "standard input" pf-mask -o x.pf </dev/null
fails "no file" 1 "nowhere.pf" pf-mask nowhere.pf -o x.pf
fails "two streams" 2 "one stream or strip" pf-mask white.pf given.pf -o x.pf
fails "an unknown method" 2 "auto|alpha|white|net" pf-mask --method magic white.pf -o x.pf
fails "a folder that cannot be" 1 "cannot make the folder" pf-mask --png nowhere/deep white.pf -o x.pf
ok "a failure leaves nothing" test ! -e x.pf
fails "a full disk" 1 "No space left" bash -c 'pf-mask white.pf >/dev/full'

# Objects: folders of their own, and -k.
pf-crop -q --size 32 --crop-size 20 "$I/photo.png" -o crop.pf
ok "-k passes on what is no view, and says so" bash -c 'pf-stream cat crop.pf white.pf >mixed.pf
    pf-mask -k -o k.pf mixed.pf 2>said; [ $? = 1 ] && [ "$(cat said)" = "pf-mask: mixed.pf: the stream has no tensor views.image; it is made by pf-sample
pf-mask: 1 object failed" ] && pf-stream info --index 0 k.pf | grep -q "pf.kind: failed" && pf-stream info --index 1 k.pf | grep -q "pf.kind: views"'
fails "-k goes on after a stream that breaks off" 1 "ends inside document 1" bash -c 'head -c -9 k.pf | pf-mask -k -q -o x.pf'
fails "without -k a failure does not end the run" 1 "mixed.pf: the stream has no tensor views.image" pf-mask -o x.pf mixed.pf
ok "a folder of masks by elevation and sample" bash -c 'pf-mask -q --png "by/%e-%s" white.pf -o y.pf && [ -s by/30-0/masked-3.png ] &&
    pf-mask -q --masks "by/%e-%s" white.pf | tail -c 16000 | cmp - <(tail -c 16000 back.pf)'
fails "a folder of an object that is not known" 1 "the document does not say whose it is" pf-mask -q --png "by/%o" white.pf -o x.pf
