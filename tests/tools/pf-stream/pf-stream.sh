. "$(dirname "$0")/../lib.sh"
. "$ROOT/tests/tools/small-field.inc"

# says WORDS COMMAND...: prints a line that contains WORDS.
says() { local words=$1; shift; "$@" | grep -qF -- "$words"; }

small_field field.pf
ok 'info lists tensors with shape and statistics' says \
    'views.pose  F32 [1, 3, 4]  min -1  max 1.5  mean 0.208333  NaN 0' pf-stream info views.pf
ok 'info lists metadata' says 'pf.kind: field' pf-stream info field.pf
ok 'info lists the history' says 'history 1: pf-neus ' pf-stream info field.pf
ok 'info --json is a line for each document' sh -c '
    pf-stream cat views.pf field.pf | pf-stream info --json >lines && [ "$(wc -l <lines)" = 2 ] &&
    grep -qF "{\"name\":\"views.pose\",\"dtype\":\"F32\",\"shape\":[1,3,4],\"min\":-1.0,\"max\":1.5,\"mean\":" lines &&
    tail -n 1 lines | grep -q "^{\"stream\":\"stdin\",\"document\":1,.*\"history\":\[{\"tool\":\"pf-neus\""'
ok 'info reads a pipe' sh -c 'pf-stream info <views.pf | grep -q "^stdin: document 0"'
ok 'info counts what is not a number' sh -c '
    n=$(($(head -c 2 views.pf | od -An -tu2) + 8))
    { head -c $n views.pf; printf "\0\0\300\177"; tail -c +$((n + 5)) views.pf; } >nan.pf
    pf-stream info nan.pf | grep -q "^  views.alpha .* NaN 1$"'
ok 'cat numbers the documents' sh -c '
    pf-stream cat -o two.pf views.pf field.pf && pf-stream info --index 1 two.pf | grep -q "pf.index: 1" &&
    [ "$(pf-stream info two.pf | grep -c "pf.count: 2")" = 2 ]'
ok 'cat of parts is cat of the whole' sh -c '
    pf-stream cat --index 0 two.pf >0.pf && pf-stream cat --index 1 two.pf >1.pf && pf-stream cat 0.pf 1.pf | cmp - two.pf'
ok 'get writes an array that NumPy reads' sh -c '
    pf-stream get views.elevation -o e.npy views.pf && [ "$(wc -c <e.npy)" = 132 ] && grep -aq "NUMPY" e.npy &&
    grep -aqF "{'"'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"'" e.npy'
ok 'get takes the bytes as they are' sh -c '
    pf-stream get views.image views.pf | tail -c 192 | od -An -tu1 -v -w3 | sort -u | tr -s " " | grep -qx " 128 64 32"'
ok 'get takes a later document' sh -c 'pf-stream get field.variance --index 1 two.pf | tail -c 4 | od -An -tf4 | grep -q 0.3'
ok 'png draws the views with their alpha' sh -c '
    pf-stream png -o sheet.png views.pf && [ "$(head -c 26 sheet.png | tail -c 10 | od -An -tu1 | tr -s " ")" = " 0 0 0 8 0 0 0 8 8 6" ]'
ok 'png draws any tensor of pictures' sh -c '
    pf-stream png --tensor views.alpha -o a.png views.pf && [ "$(head -c 26 a.png | tail -c 2 | od -An -tu1 | tr -s " ")" = " 8 0" ]'
ok 'png puts documents under each other' sh -c '
    pf-stream png -o sheet.png views.pf views.pf && [ "$(head -c 24 sheet.png | tail -c 4 | od -An -tu1 | tr -s " ")" = " 0 0 0 16" ]'

fails 'no command is wrong usage' 2 'expected info' pf-stream
fails 'an unknown command is wrong usage' 2 'list is no command' pf-stream list views.pf
fails "an option of another command did nothing" 2 '--json belongs to info, not to cat' pf-stream cat --json -o x.pf views.pf
fails '... of info' 2 '--tensor belongs to png, not to info' pf-stream info --tensor views.pose views.pf
fails '... of pack' 2 '--index chooses documents of a stream' pf-stream pack --index 0 -o x.pf cameras.json
fails 'get without a name is wrong usage' 2 'name of a tensor' pf-stream get
fails 'a tensor that is not there is named' 1 'no tensor views.depth' pf-stream get views.depth views.pf
fails 'a document that is not there is named' 1 'no document 3' pf-stream info --index 3 views.pf
fails 'what is no picture is refused' 1 'views.elevation is F32 [1]' pf-stream png --tensor views.elevation views.pf
fails 'a field has no pictures' 1 'give --tensor' pf-stream png field.pf
head -c 3000 field.pf >cut.pf
fails 'a truncated stream is an error' 1 'cut.pf' pf-stream cat -o out.pf cut.pf
ok 'a failure leaves no file behind' sh -c '! ls | grep -q "^out[.]pf"'
fails 'a picture was "a header of 727905341920923785 bytes"' 1 'photo.png: is a PNG picture, not a stream of documents' \
    pf-stream info "$DATA/images/photo.png"
fails '... on a pipe, too' 1 'standard input: is a PNG picture' sh -c 'pf-neus -o x.pf <"$0"' "$DATA/images/photo.png"
printf '<!doctype html>\n' >page.json
fails 'a page was JSON that was not well formed' 1 'page.json: is an HTML page, not JSON: the download' pf-stream pack page.json
fails 'a full disk is an error' 1 'No space left' sh -c 'pf-stream cat field.pf >/dev/full'

printf '\357\273\277{"frames": []}' >mark.json
fails 'a byte order mark was no JSON' 1 'mark.json names no picture' pf-stream pack mark.json
printf '\357\273{}' >half.json
fails '... half of one is none' 1 'half.json:1' pf-stream pack half.json

# A pattern makes a file of each object, with its documents as a run of their own.
printf 'photo\tobject\televation\n%s\ta\t10\n%s\tb c\t20\n' "$DATA/images/photo.png" "$DATA/images/flag.png" >list.tsv
pf-crop --size 32 --crop-size -1 --list list.tsv -o both.pf 2>warnings
ok 'cat splits a stream by its objects' sh -c 'pf-stream cat <both.pf -o "split/%o/%e.pf" && pf-stream cat -o again.pf "split/a/10.pf" "split/b c/20.pf" && cmp again.pf both.pf'
ok 'png draws a sheet of each' sh -c 'pf-stream png -o "split/%o.png" both.pf && pf-stream png -o b.png --index 1 both.pf && cmp b.png "split/b c.png" && [ -s split/a.png ]'
ok 'info says what failed' sh -c 'pf-crop -k "$1" "$2" -o k.pf 2>said; pf-stream info --index 1 k.pf | grep -q "pf.error: pf-crop: .*empty.png is empty" && pf-stream cat k.pf | cmp - k.pf' \
    sh "$DATA/images/photo.png" "$DATA/images/empty.png"
