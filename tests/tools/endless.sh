#!/usr/bin/env bash
# endless.sh - what never ends is refused by every argument that is read: a device of zeros, a pipe of one word a line.
. "$(dirname "$0")/lib.sh"
ulimit -v 4000000 2>/dev/null
[ -z "${PF_SAN:-}" ] || ulimit -v unlimited     # sanitizers map terabytes
views=$DATA/seeds/document/views photo=$DATA/images/photo.png box=$DATA/mesh/box.obj
DEMO=$ROOT/configs/demo
made="-c $DEMO/config.yaml -w $DEMO/weights.safetensors"

# refuses WORDS COMMAND...: /dev/zero in the place of X, in time and with status 1; where two sentences are given, with |
# between them, a pipe of lines, too.
refuses() {
    local words=$1 what; shift
    what=$*; what=${what//"$ROOT"\//}
    fails "/dev/zero: $what" 1 "${words%%|*}" timeout 20 "${@/#X/\/dev/zero}"
    [[ $words != *'|'* ]] || fails "yes: $what" 1 "${words##*|}" timeout 20 "${@/#X/\/dev/stdin}" < <(exec yes)
}
refuses 'neither a PNG|neither a PNG' pf-crop -o x X
refuses 'a line has more than|there is no column' pf-crop -o x --list X
refuses 'neither a PNG' pf-cutout --method plain -o x X
refuses 'is no mesh|is no mesh' pf-eval mesh X "$box"
refuses 'is no mesh' pf-eval mesh "$box" X
refuses 'a line has more than|expected two names' pf-eval mesh --list X
refuses ' ' pf-eval views X "$views"
refuses ' ' pf-extract-mesh -o x.ply X
refuses ' ' pf-mask -o x X
refuses ' ' pf-neus -o x X
refuses ' ' pf-neus -o x --resume X "$views"
refuses ' ' pf-neus -o x -c X "$views"
refuses ' ' pf-pick $made -o x X
refuses ' ' pf-render-mesh -o x --cameras X "$box"
refuses ' ' pf-render-video -o x.mp4 X
refuses 'a line has more than|is not JSON' pf-report -o x X
refuses ' ' pf-sample -o x $made X
refuses ' ' pf-sample -o x -c "$DEMO/config.yaml" -w X "$views"
refuses 'document|document' pf-stream info X
refuses 'a line has more than|is no line of a manifest' pf-stream table X
refuses ' ' pf-stream pack -o x X
refuses 'neither a file nor a pipe|is not a weights file' pf-weights info X
ln -s /dev/zero zero.obj
for tool in 'pf-render-mesh -o x' 'pf-render-video --renderer mesh -o x.mp4'; do
    fails "zero.obj: $tool" 1 "zero.obj" timeout 20 $tool zero.obj
done
ok 'nothing is left of that' sh -c '[ "$(ls)" = zero.obj ]'
