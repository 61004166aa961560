# batch.mk and shard.sh: what is made and what is left alone, what costs itself only, what is refused.  The tools are
# stand-ins whose documents are lines, the names of objects; test_shards.c takes the real ones.
. "$(dirname "$0")/../lib.sh"
mkdir tools
# The name of an object says where it fails: pf-mask=fails, pf-sample=hangs, pf-neus=dies.
cat >tools/pf-stream <<'END'
#!/bin/bash
tool=${0##*/} command=$1 out= list= log= status=0 photos=()
[ "$*" = --version ] && { echo "pf-stream (posefusion) 1"; exit; }
while [ $# != 0 ]; do
    case $1 in
    -o) out=$2; shift ;; --list) list=$2; shift ;; --log) log=$2; shift ;;
    -c | -w | -d | --*) case $1 in -q | --json | --refine | --opaque) ;; *) shift ;; esac ;; -*) ;; *) photos+=("$1") ;;
    esac; shift
done
fill() { local f=${1//%o/$object}; mkdir -p "${f%/*}"; echo "$2" >"${f//%%/%}"; }
echo "$tool" >>"$RAN"
input() {
    if [ "$tool" = pf-crop ]; then tail -n +2 "$list" | cut -f 2
    elif [ "$tool" = pf-cutout ]; then for f in "${photos[@]}"; do f=${f##*/}; echo "${f%.*}"; done
    elif [ "$command" = info ] && [ "${#photos[@]}" = 2 ]; then echo x
    else cat; fi
}
while IFS= read -r object; do
    case $object in
    failed:*) ;;
    "$tool=fails"*)
        echo "$tool: \"no" >&2; status=1
        colon=:; [[ $object != *-photo ]] || colon=" is"
        [ "$tool" != pf-cutout ] || { echo "$tool: ${photos[0]%/*}/$object.photo$colon no" >&2; continue; }
        object=failed:$object ;;
    z) [ "$tool" != pf-cutout ] || echo "$tool: ${photos[0]%/*}/z.photo: is doubtful" >&2 ;;
    "$tool=hangs"*) sleep 1000 ;;
    "$tool=dies"*) kill -9 $$ ;;
    esac
    case $object in failed:*) [ "$command" = info ] || [ -n "$out" ] || echo "$object" ;; *)
        if [ -n "$out" ]; then fill "$out" "$(printf 'element face 7\n%s' "$object")"
        elif [ "$command" != info ]; then echo "$object"; fi
        [ -z "$log" ] || fill "$log" "8,,,,,30.5"
        case $tool in pf-mask) note=',"x":1' ;; pf-extract-mesh) note=,\"watertight\":$WATERTIGHT ;; *) note= ;; esac
        [ -z "${PF_STAGES:-}" ] || echo "{\"object\":\"$object\",\"tool\":\"$tool\",\"seconds\":0.500,\"memory\":7$note}" >>"$PF_STAGES" ;;
    esac
    if [ "$command" = info ]; then
        case $object in
        failed:*) echo "{\"metadata\":{\"pf.error\":\"tool: \\\"no\",\"pf.object\":\"${object#failed:}\",\"x\":1},\"history\":[]}" ;;
        *) echo '{"metadata":{"pf.object":"'"$object"'","x":1},"tensors":[{"name":"views.alpha","mean":0.5,"nan":0}],"history":[{"tool":"pf-crop"}]}' ;;
        esac
    fi
done < <(input)
[ $status = 0 ] || echo "$tool: 1 object failed" >&2
exit $status
END
chmod +x tools/pf-stream
for t in cutout crop clip-embed sample pick mask neus extract-mesh render-video; do ln -s pf-stream tools/pf-$t; done
export RAN=$TMP/ran WATERTIGHT=true
echo 'clip: {elevation: 3}' >c.yaml; echo w >w; echo n >n.yaml
batch() {
    make -s -f "$ROOT/pipelines/batch.mk" PATH="$TMP/tools:$PATH" CONFIG=c.yaml CKPT=w NEUS_CONFIG=n.yaml "$@" >said 2>&1
}
photos() { local f; mkdir -p in/sub; for f; do echo "photo $f" >"in/$f"; done; }
manifest() { sed 's/{"object":"\([^"]*\)","status":"\([^"]*\)".*/\1 \2/' out/manifest.jsonl | sort | tr '\n' ' '; }

photos a.png 'b c$d%e.JPG' sub/f.WebP sub/g.txt .h.png pf-cutout=fails{,-photo}.png pf-mask=fails.png
batch INPUT=in OUTPUT=out
ok "of a folder and those below, what fails" test $? = 2
ok "costs itself alone" test "$(manifest)" = 'a done b c$d%e done f done pf-cutout=fails failed pf-cutout=fails-photo failed pf-mask=fails failed '
for why in '"pf-mask=fails".*"error":"tool: \\"no"' '"pf-cutout=fails".*"error":"pf-cutout: .*/in/pf-cutout=fails.png: no"' \
    '"pf-cutout=fails-photo".*"error":"pf-cutout: .*/in/pf-cutout=fails-photo.png is no"'; do
    ok "with a sentence: ${why##*:}" grep -q "^{\"object\":$why" out/manifest.jsonl
done
ok "the others have folders, and nothing is left over" test "$(cd out && echo .[!.]* *)" = '.[!.]* a b c$d%e f manifest.jsonl'
ok "whole" test "$(cd out/f && echo *)" = "0.png cutout.png field.pf loss.csv masked.pf masks.png mesh.glb mesh.ply rendering.mp4 views.pf"
ok "with scores" grep -q '"psnr":30.5,"coverage":0.5,"faces":7,"seconds":[0-9.]*,"watertight":true,"stages":\[{' out/manifest.jsonl
table=$("$BIN/pf-stream" table out/manifest.jsonl)
ok "as JSON" test "$(head -n 1 <<<"$table")" = "6 objects: 3 done, 3 failed"
for t in 'cutout seconds  0.5' 'crop memory  7' 'extract-mesh seconds  1' 'render-video seconds  0.5'; do
    ok "of pf-${t%  *}" grep -q "^pf-${t%  *} *${t#*  } .* 3\$" <<<"$table"
done
rm ran in/pf-*; ok "again: nothing is done" batch INPUT=in OUTPUT=out
ok "by no tool" test ! -e ran
rm -r out/a out/f/mesh.glb; echo new >>'in/b c$d%e.JPG'
# Two runs at once.
twice() { local first; batch "$@" & first=$!; batch "$@" && wait $first; }
ok "what is missing, and a photo that is another now" twice INPUT=in OUTPUT=out
ok "is made, once" test "$(wc -l <out/manifest.jsonl)" = 9 -a -e out/a/mesh.glb -a -e out/f/mesh.glb

# refused NAME WORDS VARIABLES...: by one sentence, and nothing is written.
refused() {
    local name=$1 words=$2; shift 2
    batch OUTPUT=none "$@"
    ok "$name" test $? = 2 -a "$(grep -v '^make' said | wc -l)" = 1 -a "$(grep -cF -- "$words" said)" = 1 -a ! -e none
}
printf 'photo\tseed\na.png\tx7\n' >bad.tsv
refused "no folder" 'INPUT: there is no folder "nowhere"' INPUT=nowhere
mkdir empty; refused "an empty one" "empty: there are no photos" INPUT=empty
refused "a number that is none" 'bad.tsv:2: column seed: "x7" is no whole number from 0 to 9007199254740992' LIST=bad.tsv

[ -n "${PF_LONG:-}" ] || exit 0

ok "other settings, in shards, two at once" batch INPUT=in OUTPUT=out FRAMES=3 SHARD=2 JOBS=2
ok "are made" test "$(wc -l <out/manifest.jsonl)" = 12
mkdir -p in/out; ok "OUTPUT among the photos" batch INPUT=in OUTPUT=in/out FRAMES=3
ok "holds no photos" batch INPUT=in OUTPUT=in/out FRAMES=3
ok "of the next run" test "$(wc -l <in/out/manifest.jsonl)" = 3
rm -r in out

photos a.png pf-mask=fails.png pf-neus=dies.png pf-render-video=fails.png pf-sample=hangs.png z.png
batch INPUT=in OUTPUT=out TIMEOUT=10
ok "what dies or hangs" test $? = 2
ok "costs itself alone, too" test "$(manifest)" = "a done pf-mask=fails failed pf-neus=dies failed pf-render-video=fails failed pf-sample=hangs failed z done "
ok "its tool is named" grep -q '"pf-sample=hangs".*"error":"pf-sample: no progress in 10 seconds"' out/manifest.jsonl
ok "as are one that dies" grep -q '"pf-neus=dies".*"error":"pf-neus: ended by signal 9"' out/manifest.jsonl
ok "and one that fails last" grep -q '"pf-render-video=fails".*"error":"pf-render-video: \\"no"' out/manifest.jsonl
ok "nothing but sentences is said" test -z "$(grep -v '^batch.mk: \|^make' said)"
rm ran; batch INPUT=in OUTPUT=out
ok "again: it still has failed" test $? = 2 -a ! -e ran
rm in/pf-[nrs]*
batch INPUT=in OUTPUT=out RETRY=1
ok "RETRY=1 tries again" test $? = 2 -a "$(manifest | grep -o 'pf-mask=fails failed' | wc -l)" = 2
rm -r in out

# What is nobody's fault alone ends the run, and no photo is said to have failed.
photos a.png; mkdir other; cp -r tools/. other; rm other/pf-neus
printf '#!/bin/sh\necho "pf-neus: no such device" >&2\nexit 1\n' >other/pf-neus; chmod +x other/pf-neus
batch INPUT=in OUTPUT=out PATH="$TMP/other:$PATH"
ok "a device that is missing ends the run" test $? = 2 -a "$(grep -c 'shard 0: pf-neus: no such device' said)" = 1 -a ! -e out/manifest.jsonl
printf '#!/bin/sh\ncat\necho "pf-render-video: empty; did the command before this one fail?" >&2\nexit 1\n' >other/victim
mv -f other/victim other/pf-render-video; chmod +x other/pf-render-video
rm other/pf-mask; printf '#!/bin/sh\nsleep 0.5; cat; echo "pf-mask: doubtful" >&2\n' >other/pf-mask; chmod +x other/pf-mask
batch INPUT=in OUTPUT=out PATH="$TMP/other:$PATH"
ok "and not those that wait for it are to blame" test $? = 2 -a "$(grep -c 'shard 0: pf-neus: no such device' said)" = 1
printf '#!/bin/sh\necho "pf-neus: cannot write x: No space left on device" >&2\necho "pf-neus: 1 object failed" >&2\nexit 1\n' >other/pf-neus
batch INPUT=in OUTPUT=out PATH="$TMP/other:$PATH"
ok "a full disk is nobody's fault" test $? = 2 -a "$(grep -c 'shard 0: .*/out: no space is left' said)" = 1 -a ! -e out/manifest.jsonl
ok "and it goes on later" batch INPUT=in OUTPUT=out

# Lists.
mkdir -p p/q; cp in/a.png p/x.png; cp in/a.png p/q/x.png
printf 'photo\tobject\televation\tseed\nx.png\tone\t\t\nq/x.png\ttwo\t20\t7\nfifo.png\t\t20\t7\n' >p/list.tsv
mkfifo p/fifo.png; { echo x >p/fifo.png; } & writer=$!
ok "a list" batch LIST=p/list.tsv OUTPUT=out2
ok "of named objects" test "$(cd out2 && echo */)" = "fifo/ one/ two/"
ok "what is no file is left to the tools" kill $writer
sed -i /fifo/d p/list.tsv; rm -r out2; batch LIST=p/list.tsv OUTPUT=out2
ok "each with its seed" test "$(grep -o '"seed":[0-9]*' out2/manifest.jsonl | sort | tr '\n' ' ')" = '"seed":6033 "seed":7 '
sed -i 's/20\t7/20\t8/' p/list.tsv; batch LIST=p/list.tsv OUTPUT=out2
ok "of which what changed is made anew" test "$(wc -l <out2/manifest.jsonl)" = 3

refused "neither" "INPUT=FOLDER or LIST=TSV is missing"
refused "both" "INPUT or LIST, not both" INPUT=in LIST=p/list.tsv
refused "no list" 'LIST: there is no file "nowhere"' LIST=nowhere
printf 'photo\tcolour\n' >bad.tsv; refused "a column that is unknown" 'bad.tsv:1: there is no column "colour"' LIST=bad.tsv
printf 'photo\tseed\na.png\tx7\n' >bad.tsv; refused "a number that is none" 'bad.tsv:2: column seed: "x7" is no whole number from 0 to 9007199254740992' LIST=bad.tsv
printf 'photo\na.png\nb/a.jpg\n' >bad.tsv; refused "two photos of one object" "are both of the object a" LIST=bad.tsv
printf 'photo\tobject\na.png\t../a\n' >bad.tsv; refused "an object out of the folder" 'no object can be called "../a"' LIST=bad.tsv
touch 'empty/a\tb.png' $'empty/a\tb.png'; refused "a tab in a name" "holds a tab" INPUT=empty
rm empty/*; touch $'empty/a\rb.png'; refused "another control character" "a?b.png: the name holds a control character" INPUT=empty
rm empty/*; touch "empty/$(printf 'x%.0s' {1..240}).png"; refused "a long name" "has 240 bytes, more than 200" INPUT=empty
rm empty/*; touch $'empty/\344.png'; refused "Latin-1" "is not UTF-8" INPUT=empty
printf 'photo\televation\na.png\t90\n' >bad.tsv; refused "a number out of range" 'bad.tsv:2: column elevation: "90" is no number from -89 to 89' LIST=bad.tsv
refused "a shard that is not there" "there is no shard 1" INPUT=in shard-1
refused "or no number" "there is no shard x" INPUT=in shard-x
touch file; refused "a file as OUTPUT" 'cannot be made' INPUT=in OUTPUT=file
refused "SHARD=0" 'SHARD is a number of photos, not "0"' INPUT=in SHARD=0
refused "SAMPLE" "SAMPLE is for one photo" INPUT=in SAMPLES=2 SAMPLE=1
