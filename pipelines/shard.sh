#!/bin/bash
# shard.sh - the photos of a batch, for batch.mk, which sets the variables PF_*.
#
#   shard.sh count      how many shards there are
#   shard.sh all        the shards one after the other, PF_JOBS at once
#   shard.sh run N      make what is missing of shard N, from 0 on
#   shard.sh round      for itself: photos through one pipe of all tools
#
# An object is made in OUTPUT/.batch/N/, which only the holder of the lock OUTPUT/.batch/N.lock writes,
# and moved to OUTPUT/OBJECT when it is whole.  Move and line of the manifest happen under a lock of the
# manifest, by whoever comes first: runs that overlap do work twice at worst.  Locks end with the
# processes that hold them, whatever ends those.
set -euo pipefail
export LC_ALL=C OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

die() { printf 'batch.mk: %s\n' "$1" >&2; exit 1; }

# ---- which photos ----

# of_folder: object, photo, and five empty columns of each photo in the folder PF_INPUT.
of_folder() {
    local folder=$PF_INPUT photo object made=()
    case $folder in -*) folder=./$folder ;; esac
    [ -d "$folder" ] || die "INPUT: there is no folder \"$PF_INPUT\""
    [ ! "$folder" -ef "$PF_OUTPUT" ] || die "INPUT and OUTPUT are one folder, \"$PF_INPUT\""
    # What was made of photos is none, where OUTPUT lies among them.
    [ ! -e "$PF_OUTPUT" ] || made=(-samefile "$PF_OUTPUT" -prune -o)
    while IFS= read -r -d '' photo; do
        case $photo in *[$'\t\n']*) die "INPUT: the name of a photo holds a tab or a line break: $photo" ;; esac
        object=${photo##*/}
        printf '%s\t%s\t\t\t\t\t\n' "${object%.*}" "$photo"
    done < <(find -L "$folder" -mindepth 1 -name '.*' -prune -o "${made[@]}" -type f \
        \( -iname '*.png' -o -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.webp' \) -print0)
}

# of_list: the same of PF_LIST, whose relative names count from its folder.
of_list() {
    local folder
    [ -r "$PF_LIST" ] || die "LIST: there is no file \"$PF_LIST\" that can be read"
    folder=$(dirname -- "$PF_LIST")
    LIST_NAME=$PF_LIST FOLDER=$folder awk -F '\t' '
        function bad(why) {printf "batch.mk: %s:%d: %s\n", ENVIRON["LIST_NAME"], NR, why >"/dev/stderr"; failed = 1; exit 1}
        # The text of a column, which must be a number from least to most.
        function number(name, least, most, whole,   text) {
            text = name in at ? $at[name] : ""
            if (text != "" && (text !~ "^" real "$" || text + 0 < least + 0 || text + 0 > most + 0 || whole && text ~ /[.]/))
                bad("column " name ": \"" text "\" is no " (whole ? "whole " : "") "number from " least " to " most)
            return text
        }
        function targets(   text) {
            text = "target_elevation" in at ? $at["target_elevation"] : ""
            if (text != "" && text !~ "^" real "(," real ")*$")
                bad("column target_elevation: \"" text "\" is no number")
            return text
        }
        BEGIN {real = "[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)"; OFS = "\t"
            split("photo object elevation azimuth crop_size target_elevation seed", name, " ")
            for (i in name) known[name[i]] = 1}
        {sub(/\r$/, "")}
        NR == 1 {for (i = 1; i <= NF; i++) {
                if (!($i in known)) bad("there is no column \"" $i "\": photo, object, elevation, azimuth, crop_size, target_elevation, seed")
                if ($i in at) bad("column " $i " is there twice")
                at[$i] = i}
            if (!("photo" in at)) bad("there is no column photo")
            next}
        /^$/ {next}
        {photo = $at["photo"]
            if (photo == "") bad("column photo: no name")
            if (photo !~ /^\//) photo = ENVIRON["FOLDER"] "/" photo
            object = "object" in at ? $at["object"] : ""
            if (object == "") {object = photo; sub(/.*\//, "", object); sub(/\.[^.]*$/, "", object)}
            print object, photo, number("elevation", -89, 89), number("azimuth", -360, 360),
                number("crop_size", -1, 4096, 1), targets(), number("seed", 0, "9007199254740992", 1)}' <"$PF_LIST"
}

# objects: the table of all, sorted by object.
objects() {
    local table
    [ -z "$PF_INPUT" ] || [ -z "$PF_LIST" ] || die "INPUT or LIST, not both"
    [ -n "$PF_INPUT$PF_LIST" ] || die "INPUT=FOLDER or LIST=TSV is missing"
    if [ -n "$PF_LIST" ]; then table=$(of_list); else table=$(of_folder); fi || exit 1
    table=$(sort -t $'\t' -k 1,1 <<<"$table")
    [ -n "$table" ] || die "${PF_LIST:-$PF_INPUT}: there are no photos: PNG, JPEG or WebP"
    iconv -f UTF-8 -t UTF-8 <<<"$table" >/dev/null 2>&1 || die "${PF_LIST:-$PF_INPUT}: the name of a photo is not UTF-8"
    awk -F '\t' '
        $1 == before {printf "batch.mk: %s and %s are both of the object %s: the column object of a LIST tells them apart\n", photo, $2, $1 >"/dev/stderr"; exit 1}
        $1 ~ /^$|^[.-]|\/|^manifest[.]jsonl$/ {
            printf "batch.mk: %s: no object can be called \"%s\": a name is that of a folder and begins with neither . nor -\n", $2, $1 >"/dev/stderr"; exit 1}
        length($1) > 200 {printf "batch.mk: %s: the name of the object has %d bytes, more than 200\n", $2, length($1) >"/dev/stderr"; exit 1}
        /[\001-\010\013-\037]/ {gsub(/[\001-\037]/, "?", $2)
            printf "batch.mk: %s: the name holds a control character\n", $2 >"/dev/stderr"; exit 1}
        {before = $1; photo = $2; print}' <<<"$table"
}

# ---- the manifest ----

# What is done for each object starts few processes: where many objects are small, those would take longer.

# json TEXT: REPLY is it as a string of JSON.
json() {
    local s=${1//\\/\\\\}
    s=${s//\"/\\\"}
    REPLY=\"${s//[$'\001'-$'\037']/?}\"
}

# beginning STATUS: REPLY is that of the line that says of $object, with this photo and these settings, that it has it.
beginning() {
    json "$object"
    printf -v REPLY '{"object":%s,"status":"%s","settings":"%s","sha256":"%s"' "$REPLY" "$1" "$digest" "$sha"
}

# left: whether there is something to do for $object.
left() {
    local file failed
    last=
    [ -s "$PF_OUTPUT/manifest.jsonl" ] || return 0
    json "$object"
    last=$(grep -F "{\"object\":$REPLY," "$PF_OUTPUT/manifest.jsonl" | tail -n 1) || true
    beginning failed; failed=$REPLY
    beginning done
    case $last in
    "$failed"*) [ -n "$PF_RETRY" ] ;;
    "$REPLY"*) for file in $RESULTS; do [ -s "$PF_OUTPUT/$object/$file" ] || return 0; done; return 1 ;;
    esac
}

# publish STATUS REST: what is in the folder of the shard becomes the object's, and one write its line.
publish() {
    local manifest=$PF_OUTPUT/manifest.jsonl
    exec 8>>"$manifest"
    flock 8
    if left; then
        if [ "$1" = done ]; then
            [ ! -e "$work/old" ] || rm -rf "$work/old"
            [ ! -e "$PF_OUTPUT/$object" ] || mv -T "$PF_OUTPUT/$object" "$work/old"
            mv -T "$work/made/$object" "$PF_OUTPUT/$object"
        fi
        # A line that a full disk cut off ends here.
        [ ! -s "$manifest" ] || [ -z "$(tail -c 1 "$manifest")" ] || echo >&8
        beginning "$1"
        printf '%s%s}\n' "$REPLY" "$2" >"$work/line"
        cat "$work/line" >&8
    fi
    exec 8>&-
    [ ! -e "$work/old" ] && [ ! -e "$work/made/$object" ] || rm -rf "$work/old" "$work/made/$object"
}

# ---- the pipe: shard.sh round ----

# stage COMMAND: run it; how it ended is a line of $work/ended.
stage() {
    local status=0
    eval "$1" || status=$?
    echo "${1%% *} $status" >>"$work/ended"
    return $status
}
maybe() { if [ -n "$1" ]; then stage "$1 $2"; else cat; fi; }

# The photos of $work/in through all stages, each of which is one process; what becomes of object o is in
# $work/made/o, where files appear when they are whole.
pipe() {
    local device="-d $PF_DEVICE" made=${work//%/%%}/made/%o readers=()
    if [ -n "$PF_CUTOUT" ]; then
        stage "$PF_CUTOUT"' $device -o "$made/cutout.png" "$work"/in/*' 2> >(tee "$work/cutout" >&2) || true
    fi
    awk -F '\t' -v OFS='\t' -v cut="$PF_CUTOUT" -v made="$work/made/" '
        cut && NR > 1 {$1 = made $2 "/cutout.png"; if ((getline line <$1) < 0) next; close($1)} {print}' "$work/list" >"$work/list.tsv"
    [ "$(wc -l <"$work/list.tsv")" -gt 1 ] || return 0
    mkfifo "$work"/{views,strip,masked,masks,field,told,ply,glb}
    stage 'pf-stream cat -o "$made/views.pf"' <"$work/views" & readers+=($!)
    stage 'pf-stream png -o "$made/0.png"' <"$work/strip" & readers+=($!)
    stage 'pf-stream cat -o "$made/masked.pf"' <"$work/masked" & readers+=($!)
    stage 'pf-stream png -o "$made/masks.png"' <"$work/masks" & readers+=($!)
    stage 'pf-stream cat -o "$made/field.pf"' <"$work/field" & readers+=($!)
    stage 'pf-stream info --json >"$work/documents"' <"$work/told" & readers+=($!)
    stage "$PF_MESH"' -k $device -o "$made/mesh.ply"' <"$work/ply" & readers+=($!)
    stage "$PF_MESH"' -k $device -o "$made/mesh.glb"' <"$work/glb" & readers+=($!)
    stage "$PF_CROP"' -k --list "$work/list.tsv"' | stage "$PF_EMBED"' -k $device' |
        maybe "$try" '-k $device' | maybe "$refine" -k |
        stage "$PF_SAMPLE"' -k $device' | tee "$work/views" "$work/strip" | maybe "$PF_PICK" -k |
        stage "$PF_MASK"' -k' | tee "$work/masked" "$work/masks" |
        stage "$PF_NEUS"' -k $device --log "$made/loss.csv"' |
        tee "$work/field" "$work/told" "$work/ply" "$work/glb" |
        stage "$PF_FILM"' -k $device -o "$made/rendering.mp4"' || true
    wait "${readers[@]}" || true
}

# The pipe does not outlive the one who waits for it.
round() {
    local shard=$PPID watch
    { while kill -0 "$shard" 2>/dev/null; do sleep 1; done; kill -9 -- -$$; } 9>&- &
    watch=$!
    pipe
    kill "$watch"
    echo 1<>"$work/awake"           # which waits for nobody
}

# ---- the work ----

RESULTS="0.png masks.png mesh.ply mesh.glb rendering.mp4"

# number NAME: this variable is null where it is none.
number() { [[ ${!1} =~ ^-?[0-9]+([.][0-9]+)?(e[-+]?[0-9]+)?$ ]] || printf -v "$1" null; }
# scores FOLDER: REPLY is members of the JSON, of the object in this folder.
scores() {
    local psnr= coverage= faces= line
    IFS=, read -r _ _ _ _ _ psnr _ < <(tail -n 1 "$1/loss.csv") || true
    coverage=$(pf-stream info --json "$1/masked.pf" | awk '{
        while (match($0, /"name":"views.alpha"[^}]*"mean":[^,]*,/)) {
            all = substr($0, RSTART, RLENGTH - 1)
            $0 = substr($0, RSTART + RLENGTH)
            sub(/.*"mean":/, "", all)
            sum += all; n++}}
        END {if (n) print sum / n}')
    while IFS= read -r line; do
        case $line in "element face "*) faces=${line##* } ;; end_header) break ;; esac
    done <"$1/mesh.ply"
    number psnr; number coverage; number faces
    printf -v REPLY ',"psnr":%s,"coverage":%s,"faces":%s' "$psnr" "$coverage" "$faces"
}

# rest: REPLY is more members, of which each line has those.
rest() {
    json "$photo"
    printf -v REPLY ',"photo":%s,"version":"%s","seed":%s' "$REPLY" "$PF_VERSION" "${seed:-$PF_SEED}"
}

# full [SENTENCE]: whether the disk is, which is no photo's fault.  (What a tool said of it may be lost.)
full() {
    [[ ${1-} != *"No space left on device"* && ${1-} != *"Disk quota exceeded"* ]] || return 0
    ! head -c 1000000 /dev/zero 2>/dev/null >"$work/space"
}

# fail SENTENCE, a string of JSON; files that it names there are the photo's.
fail() {
    local why=$1 name place
    ! full "$why" || die "shard $number: $PF_OUTPUT: no space is left on its device"
    json "$photo"; name=${REPLY:1:-1}
    for place in "$work/in/$object.photo" "$work/made/$object/cutout.png"; do
        json "$place"; why=${why//"${REPLY:1:-1}"/"$name"}
    done
    printf 'batch.mk: %s: %s\n' "$object" "$why" >&2
    rest
    publish failed "$REPLY,\"error\":$why"
    failed=$((failed + 1))
}

# choose I: photo I of the shard becomes the one that object, photo, ... are about.
choose() {
    IFS=$'\x1f' read -r object photo elevation azimuth crop_size target_elevation seed sha digest <<<"${rows[$1]}"
}

# stages: of $object, each tool's seconds and memory as members of JSON, and whether all meshes are
# watertight; nothing before the last of two meshes and a film has said what it took.
stages() {
    json "$object"
    KEY="{\"object\":$REPLY,\"tool\":" awk '
        BEGIN {key = ENVIRON["KEY"]}
        index($0, key) != 1 {next}
        {$0 = substr($0, length(key) + 1)
            gsub(/[{}"]/, "")
            split($0, part, /[,:]/)}            # pf-mask,seconds:0.1,memory:7,watertight:true
        part[1] == "pf-stream" {next}
        !(part[1] in seconds) {tool[++n] = part[1]}
        {seconds[part[1]] += part[3]; if (part[5] > memory[part[1]]) memory[part[1]] = part[5]}
        part[1] ~ /^pf-(extract-mesh|render-video)$/ {last++}
        part[6] == "watertight" {meshes++; closed += part[7] == "true"}
        END {if (last != 3) exit
            if (meshes) printf ",\"watertight\":%s", closed == meshes ? "true" : "false"
            printf ",\"stages\":["
            for (i = 1; i <= n; i++)
                printf "%s{\"tool\":\"%s\",\"seconds\":%.3f,\"memory\":%.1f}", (i > 1 ? "," : ""),
                    tool[i], seconds[tool[i]], memory[tool[i]]
            printf "]"}' "$work/stages"
}

# document: the line of pf-stream info about what pf-neus made of $object.
document() { json "$object"; grep -F "\"pf.object\":$REPLY," "$work/documents" 2>/dev/null; }

# harvest I...: of these photos publish what is whole, and with it how long it took.
harvest() {
    local i file costs scored now ms
    for i; do
        [ "${state[$i]}" = left ] || continue
        for file in $RESULTS views.pf masked.pf field.pf loss.csv; do
            [ -e "$work/made/${rows[$i]%%$'\x1f'*}/$file" ] || continue 2
        done
        choose "$i"
        costs=$(stages 2>/dev/null) || true
        [ -n "$costs" ] || continue
        scores "$work/made/$object"; scored=$REPLY
        now=${EPOCHREALTIME/.} ms=$(((${EPOCHREALTIME/.} - since) / 1000))
        rest
        printf -v scored '%s%s,"seconds":%d.%03d' "$REPLY" "$scored" $((ms / 1000)) $((ms % 1000))
        publish done "$scored$costs"
        since=$now
        state[$i]=done
    done
}

# uncut: what pf-cutout said of $object, which it went over without a cut-out.  (It also says what it
# doubts of those that go on.)
uncut() {
    local photo=$work/in/$object.photo
    grep -q '^pf-cutout 1$' "$work/ended" && [ ! -e "$work/made/$object/cutout.png" ] &&
        grep -F -e "$photo: " -e "$photo is " "$work/cutout" | tail -n 1
}

# sorry I...: those of which a tool has said why they failed.
sorry() {
    local i why
    for i; do
        [ "${state[$i]}" = left ] || continue
        choose "$i"
        why=$(document | sed -n 's/.*"pf.error":\("\([^"\\]\|\\.\)*"\).*/\1/p') || true
        if [ -z "$why" ] && why=$(uncut 2>/dev/null) && [ -n "$why" ]; then json "$why"; why=$REPLY; fi
        [ -z "$why" ] || { fail "$why"; state[$i]=failed; }
    done
}

# progress: something that changes while the tools work.
progress() { stat -c %s "$work/log"; find "$work/made" ! -name '*.tmp' | wc -l; }

# round_of I...: these photos through one pipe.
round_of() {
    local i before= at=$SECONDS now
    rm -rf "$work"; mkdir -p "$work/in" "$work/made"
    printf 'photo\tobject\televation\tazimuth\tcrop_size\ttarget_elevation\tseed\n' >"$work/list"
    for i; do
        choose "$i"
        ln -s -- "$photo" "$work/in/$object.photo"
        printf '%s\t' "$photo" "$object" "$elevation" "$azimuth" "$crop_size" "${target_elevation:-$PF_TARGET_ELEVATION}" >>"$work/list"
        printf '%s\n' "${seed:-$PF_SEED}" >>"$work/list"
    done
    mkfifo "$work/awake"
    : >"$work/ended"
    hung=
    since=${EPOCHREALTIME/.}
    work=$work try=$try refine=$refine PF_STAGES=$work/stages setsid "$0" round >"$work/log" 2>&1 &
    pipe=$!
    while kill -0 "$pipe" 2>/dev/null; do
        read -r -t 0.5 <>"$work/awake" || true
        harvest "$@"
        [ "$PF_TIMEOUT" != 0 ] || continue
        now=$(progress)
        [ "$now" = "$before" ] || { before=$now; at=$SECONDS; }
        [ $((SECONDS - at)) -le "$PF_TIMEOUT" ] || { hung=1; kill -9 -- "-$pipe"; wait "$pipe" 2>/dev/null || true; }
    done
    wait "$pipe" 2>/dev/null || true
    harvest "$@"
    pipe=
    sorry "$@"
}

# still I...: which of them are neither done nor failed.
still() {
    local i
    todo=()
    for i; do [ "${state[$i]}" != left ] || todo+=("$i"); done
}

# blame I: why photo I, which was alone, came to nothing.  What is not its own fault ends the run.
blame() {
    local tool status why command before=
    choose "$1"
    # The last word of a tool that failed, and not because the one before it had.
    why=$(awk 'NR == FNR {if ($2 != 0 && $2 != 141) failed[$1 ":"]; next}
        $1 in failed && !/ s left| s in all|did the command before this one fail\?/ {last = $0}
        END {print last}' "$work/ended" "$work/log")
    if [ -n "$hung" ]; then
        # The first in the order of the pipe that has not ended.
        for command in "$PF_CUTOUT" "$PF_CROP" "$PF_EMBED" "$try" "$refine" "$PF_SAMPLE" "$PF_PICK" "$PF_MASK" "$PF_NEUS" \
            "$PF_MESH" "$PF_FILM"; do
            [ -n "$command" ] || continue
            tool=${command%% *} before+=" $tool"
            [ "$(grep -c "^$tool " "$work/ended")" -ge "$(grep -o "$tool" <<<"$before" | wc -l)" ] || break
        done
        why="$tool: no progress in $PF_TIMEOUT seconds"
    elif read -r tool status < <(awk '$2 > 128 && $2 != 141' "$work/ended"); then
        why="$tool: ended by signal $((status - 128))"
    elif [[ $why = *": 1 object failed" ]]; then
        why=$(grep -aF "${why%: 1 object failed}: " "$work/log" | grep -v ' s left\| s in all' | tail -n 2 | head -n 1)
    else
        ! full "$why" || why="$PF_OUTPUT: no space is left on its device"
        die "shard $number: ${why:-$(tail -n 1 "$work/log")}"
    fi
    json "$why"; fail "$REPLY"
    state[$1]=failed
}

# all_of I...: one pipe after the other, until there is nothing left.  One breaks where a tool hangs or
# dies; that is at the first photo without results, or, since a tool may wait for the next object before it
# goes on with one, before it: so this photo goes alone and then the others.
all_of() {
    local todo=("$@") several
    while [ ${#todo[@]} != 0 ]; do
        several=$((${#todo[@]} > 1))
        round_of "${todo[@]}"
        still "${todo[@]}"
        [ ${#todo[@]} != 0 ] || return 0
        [ $several = 0 ] || round_of "${todo[0]}"
        [ "${state[${todo[0]}]}" != left ] || blame "${todo[0]}"
        still "${todo[@]}"
    done
}

# lock FILE: on descriptor 9, until this process and those that it started end.
lock() {
    while :; do
        # Another shard may be removing the folder, when it is the last to leave.
        mkdir -p "${1%/*}"
        [ -w "${1%/*}" ] || die "${1%/*}: cannot be written"
        { exec 9>>"$1"; } 2>/dev/null || continue
        flock -n 9 || { echo "batch.mk: waiting for another run of shard $number" >&2; flock 9; }
        [ "$1" -ef /dev/fd/9 ] && return        # and not one that its holder has removed meanwhile
    done
}

# known_by: photos becomes the names from the root of those of the table on standard input, and shas what
# tells them from others.  What is no file, as a FIFO of a list, is the tools' matter: TIMEOUT counts for
# them alone.
known_by() {
    local line photo
    mapfile -d '' -t photos < <(cut -f 2 | tr '\n' '\0' | xargs -0 realpath -msz --)
    while IFS= read -r -d '' line; do shas[${line:66}]=${line:0:64}; done < <(
        for photo in "${photos[@]}"; do [ ! -f "$photo" ] || printf '%s\0' "$photo"; done |
            xargs -0r sha256sum -z -- 2>/dev/null)
}

# run NUMBER: what is missing of this shard.
run() {
    local number=$1 work=$PF_OUTPUT/.batch/$1 failed=0 pipe= hung= since table i try refine
    local object photo elevation azimuth crop_size target_elevation seed sha digest
    local rows=() state=() told=() untold=() photos=() wishes
    local -A digests=() shas=()
    [[ $number =~ ^(0|[1-9][0-9]{0,8})$ ]] || die "there is no shard $number"
    table=$(objects) || exit 1
    table=$(sed -n "$((number * PF_SHARD + 1)),$(((number + 1) * PF_SHARD))p" <<<"$table")
    [ -n "$table" ] || die "there is no shard $number"
    mkdir -p "$PF_OUTPUT" 2>/dev/null || die "OUTPUT: the folder \"$PF_OUTPUT\" cannot be made"
    lock "$work.lock"
    trap '[ -z "${pipe-}" ] || kill -9 -- "-$pipe" 2>/dev/null' EXIT
    trap 'exit 1' INT TERM HUP
    known_by <<<"$table"
    while IFS=$'\x1f' read -r object photo elevation azimuth crop_size target_elevation seed; do
        photo=${photos[${#rows[@]}]}
        sha=${shas[$photo]-}
        wishes=$elevation,$azimuth,$crop_size,$target_elevation,$seed
        digest=${digests[$wishes]-}
        if [ -z "$digest" ]; then
            digest=$(printf '%s\n' "$PF_SETTINGS" "$elevation" "$azimuth" "$crop_size" "$target_elevation" "$seed" | sha256sum); digest=${digest%% *}
            digests[$wishes]=$digest
        fi
        i=${#rows[@]}
        rows[i]=$object$'\x1f'$photo$'\x1f'$elevation$'\x1f'$azimuth$'\x1f'$crop_size$'\x1f'$target_elevation$'\x1f'$seed$'\x1f'$sha$'\x1f'$digest
        state[i]=left
        if ! left; then
            state[i]=known
            beginning failed
            [[ $last != "$REPLY"* ]] || failed=$((failed + 1))
        elif [ -n "$elevation" ]; then told+=("$i")
        else untold+=("$i"); fi
    done < <(tr '\t' '\037' <<<"$table")
    # Of those whose elevation the list tells none is looked for.
    try= refine= all_of "${told[@]}"
    try=$PF_TRY refine=$PF_REFINE all_of "${untold[@]}"
    rm -rf "$work" "$work.lock"
    rmdir "$PF_OUTPUT/.batch" 2>/dev/null || true           # the last one removes it
    [ $failed = 0 ] || die "shard $number: $failed of ${#rows[@]} objects failed; RETRY=1 tries them again"
}

# all NUMBER: so many shards.  What ends this ends them.
all() {
    local n running=0 status=0
    trap 'kill $(jobs -p) 2>/dev/null; exit 1' INT TERM HUP
    for ((n = 0; n < $1; n++)); do
        [ $running -lt "$PF_JOBS" ] || { wait -n || status=1; running=$((running - 1)); }
        "$0" run $n &
        running=$((running + 1))
    done
    while [ $running != 0 ]; do wait -n || status=1; running=$((running - 1)); done
    return $status
}

[ "$1" != round ] || { round; exit; }
[ -n "$PF_OUTPUT" ] || die "OUTPUT=FOLDER is missing"
[[ $PF_SHARD =~ ^[1-9][0-9]*$ ]] || die "SHARD is a number of photos, not \"$PF_SHARD\""
[[ $PF_JOBS =~ ^[1-9][0-9]*$ ]] || die "JOBS is a number of shards, not \"$PF_JOBS\""
[[ $PF_TIMEOUT =~ ^[0-9]+$ ]] || die "TIMEOUT is a number of seconds, not \"$PF_TIMEOUT\""
PF_OUTPUT=$(realpath -ms -- "$PF_OUTPUT")
case $1 in
count | all)
    table=$(objects) || exit 1
    n=$((($(wc -l <<<"$table") + PF_SHARD - 1) / PF_SHARD))
    [ "$1" != count ] || { echo $n; exit; }
    all $n ;;
run) run "$2" ;;
esac
