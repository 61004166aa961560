# reconstruct.mk: what is redone when something changes, and the names of files.  The tools are stand-ins that say that
# they ran and copy their command into what they are to make: which stages run is what is looked at here.
. "$(dirname "$0")/../lib.sh"
mkdir tools
cat >tools/pf-stream <<'END'
#!/bin/bash
tool=${0##*/}
[ "$*" = --version ] && { echo "$tool 1"; exit; }
[ "$tool" = pf-stream ] && tool=$1
echo "$tool" >>"$RAN"
[ -t 0 ] || [ "$tool" != pf-clip-embed ] || cat >/dev/null
out=/dev/stdout photo=${*: -1}
while [ $# != 0 ]; do [ "$1" = -o ] && out=$2; shift; done
[ "$tool" != pf-crop ] || [ -f "$photo" ] || { echo "pf-crop: no photo $photo" >&2; exit 1; }
[ "$tool" != pf-crop ] || echo "photo $photo" >>"$RAN"
echo "$tool $RANDOM" >"$out"
END
chmod +x tools/pf-stream
for t in cutout crop clip-embed sample pick mask neus extract-mesh render-video; do ln -s pf-stream tools/pf-$t; done
export RAN=$TMP/ran
echo photo >a.png; echo other >b.png; touch -d 2001-01-01 b.png
echo 'clip: {width: 64}' >plain.yaml; echo weights >w; echo w2 >w2; touch -d 2001-01-01 w2; echo 'steps: 1' >neus.yaml
recon() {
    make -s -f "$ROOT/pipelines/reconstruct.mk" PATH="$TMP/tools:$PATH" OUTPUT=out CONFIG=plain.yaml CKPT=w NEUS_CONFIG=neus.yaml "$@"
}


# would NAME STAGES VARIABLES...: what would run with these, in the order of $stages.
stages="pf-cutout pf-crop pf-sample pf-pick png pf-mask pf-neus pf-extract-mesh pf-render-video"
would() {
    local name=$1 expected=$2 line got='' t; shift 2
    local -A times=()
    recon INPUT=a.png "$@" -n >said 2>&1
    while read -r line; do
        line=${line#pf-stream }; t=${line%% *}
        times[$t]=$((${times[$t]:-0} + 1))
    done <said
    for t in $stages; do [ -z "${times[$t]:-}" ] || got+="${times[$t]} $t, "; done
    ok "$name" test "$got" = "$expected"
    [ "$got" = "$expected" ] || { echo "# $got"; echo "# expected $expected"; }
}
mesh="2 pf-extract-mesh, " film="1 pf-render-video, "
field="1 pf-neus, $mesh$film" views="2 png, 1 pf-mask, 1 pf-neus, $mesh$film"
input="1 pf-crop, 2 pf-sample, 1 pf-pick, $views" photo="1 pf-cutout, 1 pf-crop, 2 pf-sample, 1 pf-pick, $views"
would "at first everything" "$photo"
ok "is made" recon INPUT=a.png
would "then nothing" ""
would "RESOLUTION" "$mesh" RESOLUTION=64
would "FRAMES" "$film" FRAMES=9
would "FILM_SIZE" "$film" FILM_SIZE=32
ok "is that of a frame" grep -q "^pf-render-video *--size '32' -d" said
would "NEUS_STEPS" "$field" NEUS_STEPS=9
would "TARGET_ELEVATION" "1 pf-sample, $views" TARGET_ELEVATION=50
would "SEED" "2 pf-sample, 1 pf-pick, $views" SEED=1
would "SAMPLES" "1 pf-sample, 1 pf-pick, $views" SAMPLES=2
would "INPUT_ELEVATION" "1 pf-crop, 1 pf-sample, $views" INPUT_ELEVATION=20
would "CUTOUT" "$input" CUTOUT=off
would "older weights" "$input" CKPT=w2
would "another photo, older" "$photo" INPUT=b.png
touch a.png plain.yaml
would "touched, but the same: nothing" ""
echo '# now' >>neus.yaml; would "a field's config with other words" "$field"
cp b.png a.png; touch -d 2001-01-01 a.png; would "the photo replaced by an older one" "$photo"
rm -f ran; ok "all of it is made" recon INPUT=a.png RESOLUTION=64
ok "that is, every stage" test "$(wc -l <ran)" = 14
would "once" "" RESOLUTION=64
rm out/mesh.glb; would "what was deleted" "1 pf-extract-mesh, " RESOLUTION=64

# The encoder's elevation in the config, as YAML writes it: no views of candidates then.
told() { printf "$1" >told.yaml; recon new/views.pf INPUT=a.png OUTPUT=new CONFIG=told.yaml -n >said 2>&1; test "$(grep -c ^pf-sample said)" = "$2"; }
ok "clip.elevation in a line" told 'model: {a: 1}\nclip: {width: 8, elevation: 112}\nmask: {a: 1}\n' 1
ok "in a block" told 'clip:\n  width: 8\n\n  # where\n  elevation: 112\nmask: {a: 1}\n' 1
ok "none" told 'clip:\n  elevation: -1 # elevation: 5\nvideo:\n  elevation: 30\n' 2

# Names.
for name in $'a b$(x)$c:d#e\'f"g*h%i\\j;k&l|m~\u20ac.png' -o.png; do
    echo photo >"./$name"; rm -rf ran out; cp plain.yaml "./$name.yaml"; cp w "./$name.w"
    ok "a photo, config and weights called $name" \
        recon out/input.pf INPUT="$name" CUTOUT=off CONFIG="$name.yaml" NEUS_CONFIG="$name.yaml" CKPT="$name.w"
    ok "are those" grep -qxF -- "photo ./${name#./}" <(sed 's,photo ,photo ./,; s,\./\./,./,' ran)
done
ok "a folder called ünï-1,2+3@x" recon INPUT=a.png OUTPUT=ünï-1,2+3@x -n
for name in '3 out' 'a$b' 'a:b' '-b' ''; do
    before=$(ls -A)
    recon INPUT=a.png OUTPUT="$name" >said 2>&1
    ok "a folder called '$name' is refused" test $? = 2 -a "$(grep -c 'OUTPUT: make takes' said)" = 1
    ok "and nothing is written" test "$(ls -A)" = "$before"
done
for v in INPUT CKPT; do
    recon INPUT=a.png OUTPUT=none $v='no such' >said 2>&1
    ok "no such $v" test $? = 2 -a "$(wc -l <said)" = 1 -a "$(grep -c "$v: there is no file" said)" = 1 -a ! -e none
done

demo() { make -s -n -f "$ROOT/pipelines/demo.mk" PATH="$TMP/tools:$PATH" OUTPUT=demo CONFIG=plain.yaml CKPT=w "$@"; }
demo >said 2>&1
ok "the demo samples 30 and 0 degrees" grep -q "pf-sample .*--target-elevation '30,0'" said
demo TARGET_ELEVATION=50 >said 2>&1
ok "or what is asked for" grep -q "pf-sample .*--target-elevation '50'" said

# Installed: PREFIX/bin beside PREFIX/share/posefusion.
mkdir -p there/share/posefusion; cp -r "$ROOT/pipelines" there/share/posefusion; cp -r tools there/bin; rm -f ran
ok "an installed pipeline finds the installed tools" env PATH=/usr/bin:/bin make -s -f there/share/posefusion/pipelines/reconstruct.mk \
    INPUT=a.png OUTPUT=here CONFIG=plain.yaml CKPT=w NEUS_CONFIG=neus.yaml here/input.pf
ok "and runs them" grep -qx pf-clip-embed ran
rm -r there/bin
env PATH=/usr/bin:/bin make -s -f there/share/posefusion/pipelines/reconstruct.mk INPUT=a.png OUTPUT=none CONFIG=plain.yaml CKPT=w >said 2>&1
ok "or says that there are none" test $? = 2 -a "$(grep -c 'the tools are neither' said)" = 1 -a "$(wc -l <said)" = 1
