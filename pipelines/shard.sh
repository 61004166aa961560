#!/bin/bash
# shard.sh - the photos of a batch, for batch.mk, which sets the variables PF_*.
#
#   shard.sh count      how many shards there are
#   shard.sh run N      make what is missing of shard N, from 0 on
#
# An object is made in OUTPUT/.batch/N/, which only the holder of the lock OUTPUT/.batch/N.lock writes,
# and moved to OUTPUT/OBJECT when it is whole.  Move and line of the manifest happen under a lock of the
# manifest, by whoever comes first: runs that overlap do work twice at worst.  Locks end with the
# processes that hold them, whatever ends those.
set -euo pipefail
export LC_ALL=C
HERE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")

die() { printf 'batch.mk: %s\n' "$1" >&2; exit 1; }

# ---- which photos ----

# of_folder: object, photo, and five empty columns of each photo in the folder PF_INPUT.
of_folder() {
    local folder=$PF_INPUT photo object made=()
    case $folder in -*) folder=./$folder ;; esac
    [ -d "$folder" ] || die "INPUT: there is no folder \"$PF_INPUT\""
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
        function number(name, several,   text) {
            text = name in at ? $at[name] : ""
            if (text != "" && text !~ (several ? "^" real "(," real ")*$" : "^" real "$"))
                bad("column " name ": \"" text "\" is no number")
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
            print object, photo, number("elevation"), number("azimuth"), number("crop_size"), number("target_elevation", 1), number("seed")}'
}

# objects: the table of all, sorted by object.
objects() {
    local table
    [ -z "$PF_INPUT" ] || [ -z "$PF_LIST" ] || die "INPUT or LIST, not both"
    [ -n "$PF_INPUT$PF_LIST" ] || die "INPUT=FOLDER or LIST=TSV is missing"
    if [ -n "$PF_LIST" ]; then table=$(of_list | sort -t $'\t' -k 1,1); else table=$(of_folder | sort -t $'\t' -k 1,1); fi
    [ -n "$table" ] || die "${PF_LIST:-$PF_INPUT}: there are no photos: PNG, JPEG or WebP"
    awk -F '\t' '
        $1 == before {printf "batch.mk: %s and %s are both of the object %s\n", photo, $2, $1 >"/dev/stderr"; exit 1}
        $1 ~ /^$|^[.-]|\/|^manifest[.]jsonl$/ {
            printf "batch.mk: %s: no object can be called \"%s\": a name is that of a folder and begins with neither . nor -\n", $2, $1 >"/dev/stderr"; exit 1}
        {before = $1; photo = $2; print}' <<<"$table"
}

# ---- the manifest ----

json() {                        # json TEXT: as a string of JSON
    local s=${1//\\/\\\\}
    s=${s//\"/\\\"}
    printf '"%s"' "$s" | tr '\001-\037' ' ' | iconv -c -f UTF-8 -t UTF-8
}

# beginning STATUS: of the line that says of $object, with this photo and these settings, that it has it.
beginning() { printf '{"object":%s,"status":"%s","settings":"%s","sha256":"%s"' "$(json "$object")" "$1" "$digest" "$sha"; }

# left: whether there is something to do for $object.
left() {
    local last file
    last=$(grep -F "{\"object\":$(json "$object")," manifest.jsonl 2>/dev/null | tail -n 1) || true
    case $last in
    "$(beginning failed)"*) [ -n "$PF_RETRY" ] ;;
    "$(beginning done)"*) for file in $RESULTS; do [ -s "$object/$file" ] || return 0; done; return 1 ;;
    esac
}

# publish STATUS REST: what is in the folder of the shard becomes the object's, and one write its line.
publish() {
    exec 8>>manifest.jsonl
    flock 8
    if left; then
        if [ "$1" = done ]; then
            rm -rf "$work/old"
            [ ! -e "$object" ] || mv -T -- "$object" "$work/old"
            mv -T -- "$work/made/$object" "$object"
        fi
        # A line that a full disk cut off ends here.
        [ ! -s manifest.jsonl ] || [ -z "$(tail -c 1 manifest.jsonl)" ] || echo >&8
        printf '%s%s}\n' "$(beginning "$1")" "$2" >"$work/line"
        cat "$work/line" >&8
    fi
    exec 8>&-
    rm -rf "$work/old" "$work/made/$object"
}

# scores: of the object in the current folder, as members of JSON.
scores() {
    local psnr coverage faces
    psnr=$(tail -n 1 loss.csv | cut -d , -f 6)
    coverage=$(pf-stream info --json masked.pf | sed -n 's/.*"name":"views.alpha"[^}]*"mean":\([^,]*\),.*/\1/p' |
        awk '{s += $1} END {print s / NR}')
    faces=$(head -c 1000 mesh.ply | sed -n 's/^element face //p')
    printf ',"psnr":%s,"coverage":%s,"faces":%s' "$psnr" "$coverage" "$faces"
}

rest() { printf ',"photo":%s,"version":"%s","seed":%s' "$(json "$photo")" "$PF_VERSION" "${seed:-$PF_SEED}"; }

succeed() {
    local stages more
    more=$(cd "$work/made/$object" && scores)
    stages=$(pf-stream info --json "$work/made/$object/field.pf" | sed 's/.*,"history":\(\[.*\]\)}$/\1/')
    publish done "$(rest)$more,\"stages\":$stages"
}

fail() {
    printf 'batch.mk: %s: %s\n' "$object" "$1" >&2
    publish failed "$(rest),\"error\":$(json "$1")"
    failed=$((failed + 1))
}

# ---- the work ----

RESULTS="0.png masks.png mesh.ply mesh.glb rendering.mp4"

# make_alone: $object by reconstruct.mk.
make_alone() {
    local status=0 file word
    rm -rf "$work/one"; mkdir -p "$work/made"
    timeout -k 5 "$PF_TIMEOUT" "$PF_MAKE" -s -C "$work" -f "$HERE/reconstruct.mk" INPUT="$photo" OUTPUT=one \
        ${elevation:+INPUT_ELEVATION="$elevation"} ${crop_size:+CROP_SIZE="$crop_size"} \
        ${target_elevation:+TARGET_ELEVATION="$target_elevation"} ${seed:+SEED="$seed"} >"$work/log" 2>&1 9>&- || status=$?
    if [ $status = 0 ]; then
        for file in $RESULTS views.pf masked.pf field.pf loss.csv cutout.png; do
            mkdir -p "$work/made/$object"
            [ ! -e "$work/one/$file" ] || mv "$work/one/$file" "$work/made/$object/"
        done
        succeed
    elif [ $status = 124 ] || [ $status = 137 ]; then
        for word in input:pf-crop views:pf-sample masked:pf-mask field:pf-neus mesh:pf-extract-mesh; do
            compgen -G "$work/one/${word%:*}.*" >/dev/null || break
        done
        fail "${word#*:}: took more than $PF_TIMEOUT seconds"
    else
        fail "$(grep -a '^pf-' "$work/log" | grep -av ' s left\| s in all\|is empty' | tail -n 1 | grep . || tail -n 1 "$work/log")"
    fi
    rm -rf "$work/one"
}

# lock FILE: on descriptor 9, until this process and those that it started end.
lock() {
    while :; do
        exec 9>>"$1"
        flock -n 9 || { echo "batch.mk: waiting for another run of shard $number" >&2; flock 9; }
        [ "$1" -ef /dev/fd/9 ] && return        # and not one that its holder has removed meanwhile
    done
}

run() {
    local number=$1 work=.batch/$1 failed=0 table here=$PWD
    local object photo elevation azimuth crop_size target_elevation seed sha digest
    table=$(objects | sed -n "$((number * PF_SHARD + 1)),$(((number + 1) * PF_SHARD))p")
    [ -n "$table" ] || die "there is no shard $number"
    cd "$PF_OUTPUT"
    mkdir -p .batch
    lock ".batch/$number.lock"
    rm -rf "$work"; mkdir "$work"
    while IFS=$'\x1f' read -r object photo elevation azimuth crop_size target_elevation seed; do
        case $photo in /*) ;; *) photo=$here/$photo ;; esac
        sha=$(sha256sum <"$photo" 2>/dev/null) || sha=; sha=${sha%% *}
        digest=$(printf '%s\n' "$PF_SETTINGS" "$elevation" "$azimuth" "$crop_size" "$target_elevation" "$seed" | sha256sum); digest=${digest%% *}
        ! left || make_alone
    done < <(tr '\t' '\037' <<<"$table")
    rm -rf "$work" ".batch/$number.lock"
    rmdir --ignore-fail-on-non-empty .batch
    [ $failed = 0 ] || die "shard $number: $failed of $(wc -l <<<"$table") objects failed"
}

[ -n "$PF_OUTPUT" ] || die "OUTPUT=FOLDER is missing"
case $PF_OUTPUT in -*) PF_OUTPUT=./$PF_OUTPUT ;; esac
[[ $PF_SHARD =~ ^[1-9][0-9]*$ ]] || die "SHARD is a number of photos, not \"$PF_SHARD\""
[[ $PF_TIMEOUT =~ ^[0-9]+$ ]] || die "TIMEOUT is a number of seconds, not \"$PF_TIMEOUT\""
case $1 in
count) table=$(objects) && echo $((($(wc -l <<<"$table") + PF_SHARD - 1) / PF_SHARD)) ;;
run) mkdir -p -- "$PF_OUTPUT"; run "$2" ;;
esac
