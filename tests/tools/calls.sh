# How the tools are called: threads, devices, config files, empty pipes, completion.
. "$(dirname "$0")/lib.sh"
P=$ROOT/configs/demo/photos/ball-20.png D=$ROOT/configs/demo

fails "a device that is none is refused by every tool" 2 '--device is auto, cpu, cuda or cuda:N, not "gpu"' \
    pf-crop -d gpu "$P" -o x.pf
fails "cuda: needs a number" 2 'not "cuda:x"' pf-stream info -d cuda:x
fails "whole bounds are written whole" 2 "0 to 9007199254740992" pf-crop --seed -1 "$P" -o x.pf
fails "an angle that is no number is a mistake of the call" 2 "not a finite number" \
    pf-crop --input-elevation inf "$P" -o x.pf

for t in "$BIN"/pf-*; do
    t=$(basename "$t")
    fails "$t: an operand that is an empty word was a file without a name" 2 "an operand is an empty word" "$t" info ""
done

mkdir folder
fails "a folder as config" 1 "cannot read folder: Is a directory" pf-crop -c folder "$P" -o x.pf
fails "a photo as config" 1 "photo.png: is a PNG picture, not a config file" pf-crop -c "$DATA/images/photo.png" "$P" -o x.pf
printf '<!DOCTYPE html>\n<html>\n' >page.yaml
fails "a page as config" 1 "page.yaml: is an HTML page, not a config file: the download gave" pf-crop -c page.yaml "$P" -o x.pf
printf 'sampler: {steps: 3}\n---\nsampler: {steps: 4}\n' >two.yaml
fails "a second document of a config file is not ignored" 1 "two.yaml:3: a second document" pf-crop -c two.yaml "$P" -o x.pf
printf 'sampler: {steps: 3}\n---\n: [\n' >bad.yaml
fails "nor is one that cannot be parsed" 1 "bad.yaml:" pf-crop -c bad.yaml "$P" -o x.pf
printf -- '---\nsampler: {steps: 3}\n...\n' >one.yaml
ok "one document may have its marks" pf-crop -c one.yaml --version
printf 'sampler:\n  <<: {steps: 3}\n' >merge.yaml
fails "merge keys are named" 1 "merge.yaml:2: merge keys (<<) are not read" pf-crop -c merge.yaml "$P" -o x.pf

for t in pf-clip-embed pf-sample; do
    fails "$t says that the command before may have failed" 1 "did the command before this one fail?" \
        "$t" -w "$D/weights.safetensors" -c "$D/config.yaml" -o x.pf </dev/null
done
for t in pf-mask pf-neus "pf-extract-mesh --format ply"; do
    fails "$t does too" 1 "did the command before this one fail?" $t -o x.pf </dev/null
done
fails "pf-render-video does too" 1 "did the command before this one fail?" pf-render-video -o x.mp4 </dev/null

pf-crop -q -o view.pf "$P"
fails "pf-mask did not name the stream that has no views" 1 "view.pf: the stream has no tensor views.image" pf-mask -o x.pf view.pf
fails "pf-extract-mesh did not name what is no field" 1 "view.pf: no field.config" pf-extract-mesh -o x.ply view.pf
fails "nor did pf-render-video" 1 "view.pf: " pf-render-video -o x.mp4 view.pf
fails "pf-clip-embed did not name the stream without a photo" 1 "views.pf: the stream has no tensor input.image" \
    sh -c 'pf-mask --elevation 30 -q -o views.pf "$1" && pf-clip-embed -d cpu -w "$0/weights.safetensors" -c "$0/config.yaml" -o x.pf views.pf' \
    "$D" "$DATA/images/strip.png"

for t in "pf-extract-mesh -o x.ply" "pf-render-video -o x.mp4" "pf-neus -o x.pf --resume"; do
    cat view.pf view.pf >twice.pf
    fails "${t%% *} took the first of several documents without a word" 1 \
        "twice.pf: holds more than one document: pf-stream cat --index N takes one" $t twice.pf $([[ $t != *resume ]] || echo views.pf)
done

ok "--threads is taken" sh -c 'pf-sample --threads 3 --plan -d cpu -c "$0/config.yaml" -w "$0/weights.safetensors" |
    grep -q "cpu (3 threads)"' "$D"
fails "--threads has a range" 2 "--threads 1025 is out of range: 0 to 1024" pf-crop --threads 1025 "$P" -o x.pf

for t in "$BIN"/pf-*; do
    t=$(basename "$t")
    ok "completion of $t is made for bash and zsh" sh -c 'for shell in bash zsh; do "$0/man/completion" $shell $1 >$1.$shell || exit; done
        bash -n $1.bash && grep -q -- "--seed=" $1.zsh' "$ROOT" "$t"
done
# offers TOOL WORDS...: what bash offers for the last word.
offers() {
    (set +u; . "./$1.bash"; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); "_${1//-/_}"; echo "${COMPREPLY[*]}")
}
ok "bash completes options" test "$(offers pf-extract-mesh --reso)" = --resolution
ok "bash completes choices" test "$(offers pf-extract-mesh --format p)" = ply
ok "bash offered files where a command is needed" test "$(offers pf-stream pa)" = pack
ok "... and commands where there are none" test "$(touch info.pf; offers pf-crop inf)" = info.pf
ok "... and commands again behind one" test "$(offers pf-weights info inf)" = info.pf
ok "zsh, too" grep -q "1:command:(info check convert )" pf-weights.zsh
ok "bash completes aliases" test "$(offers pf-sample --elevation-t)" = --elevation-target
ok "bash completes files" test "$(touch abcdef.yaml; offers pf-crop -c abcd)" = abcdef.yaml
