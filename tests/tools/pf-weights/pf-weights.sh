# pf-weights: what it lists, what it finds, what it converts, and what it refuses.
. "$(dirname "$0")/../lib.sh"
C=$DATA/checkpoint

says() { "${@:2}" | grep -qF -- "$1"; }

# info
ok "info lists type and shape" says "a.turned F32 [3, 2]" pf-weights info "$C/small.ckpt"
ok "info names what it skips" says "skipped hyper_parameters: object of class lightning.parsing.AttributeDict" \
    pf-weights info "$C/small.ckpt"
ok "info counts" says "zip, 4 tensors, 15 parameters, 60 bytes" pf-weights info "$C/small.ckpt"
ok "info knows legacy files" says "legacy, 4 tensors" pf-weights info "$C/small-legacy.ckpt"
ok "info knows TorchScript" says "inner.weight F32 [2, 3]" pf-weights info "$C/script.pt"
ok "info gives the tensors of ONNX models their names back" says "stage1.rebnconvin.conv_s1.weight F32 [1]" \
    pf-weights info "$DATA/onnx/folded.onnx"
ok "no file is stdin" sh -c "pf-weights info <'$C/small.ckpt' | grep -q 'stdin: zip, 4 tensors'"
ok "stdin may be a pipe" sh -c "cat '$C/small.ckpt' | pf-weights info - | grep -q 'stdin: zip, 4 tensors'"

# check
ok "check passes finite numbers" says "4 tensors, all finite" pf-weights check "$C/small.ckpt"
fails "check finds NaN" 1 "1 of 2 tensors hold NaN or infinity, the first is b.bad" \
    pf-weights check "$C/nan.safetensors"
ok "check says how many" sh -c "pf-weights check '$C/nan.safetensors' 2>&1 | grep -q '^b.bad: 1 NaN, 1 infinite of 3'"
fails "check compares zip checksums" 1 "tensor w: zip entry archive/data/0: checksum" \
    pf-weights check "$C/checksum_wrong.ckpt"
fails "check compares pf.crc32" 1 "tensor w.x: checksum" pf-weights check "$C/crc_wrong.safetensors"
fails "check unpacks everything" 1 "deflate stream is damaged" pf-weights check "$C/deflate_damaged.ckpt"

# convert
ok "convert writes safetensors" pf-weights convert "$C/small.ckpt" -o a.safetensors
ok "... with all tensors" says "safetensors, 4 tensors, 15 parameters, 60 bytes" pf-weights info a.safetensors
ok "... and sums that hold" pf-weights check a.safetensors
ok "data starts on 64 bytes" sh -c '[ $(( ($(od -An -tu8 -N8 a.safetensors) + 8) % 64 )) = 0 ]'
ok "convert writes to a pipe" sh -c "pf-weights convert '$C/small.ckpt' | cmp - a.safetensors"
ok "the legacy twin converts to the same bytes" sh -c "pf-weights convert '$C/small-legacy.ckpt' | cmp - a.safetensors"
ok "the deflated twin, too" sh -c "pf-weights convert '$C/small-deflated.ckpt' | cmp - a.safetensors"
ok "an ONNX model of every type" sh -c "pf-weights convert -q '$DATA/onnx/typed.onnx' | pf-weights info | grep -q '11 tensors, 19 parameters, 64 bytes'"
fails "a quantised ONNX model" 1 "is a quantised model" pf-weights convert "$DATA/onnx/quantised.onnx" -o none.safetensors
ok "halves" pf-weights convert --dtype f16 "$C/small.ckpt" -o h.safetensors
ok "... floats become F16, integers stay" sh -c \
    "pf-weights info h.safetensors | grep -q 'a.weight F16' && pf-weights info h.safetensors | grep -q 'b.step I64'"
ok "tables of the outermost module stay F32" sh -c \
    "pf-weights convert --dtype bf16 '$C/small.safetensors' | pf-weights info | grep -q '^table F32'"
ok "f16 and back gives the same numbers" bash -c \
    "pf-weights convert --dtype f32 h.safetensors -o f.safetensors && pf-weights info f.safetensors | grep -q 'b.half F32' &&
     pf-weights convert --dtype f16 f.safetensors -o g.safetensors && tail -c 36 g.safetensors | cmp - <(tail -c 36 h.safetensors)"
ok "metadata passes through" sh -c "pf-weights convert '$C/small.safetensors' | grep -aq '\"note\":\"kept\"'"
ok "history is written" sh -c "grep -aq 'pf-weights' a.safetensors"
fails "too large for f16 names the tensor" 1 "tensor m.large: 70000 is too large for F16" \
    pf-weights convert --dtype f16 "$C/large.safetensors" -o no.safetensors
ok "... and leaves no file" test ! -e no.safetensors
fails "a full disk is an error" 1 "No space left" pf-weights convert "$C/small.ckpt" -o /dev/full
fails "info to a full disk is an error" 1 "No space left" sh -c "pf-weights info '$C/small.ckpt' >/dev/full"

# what people have: wrapped models, several files, types of which no network needs any
ok "info says what it left out of the names" says "left out of the names: module." pf-weights info "$C/parts.index.json"
ok "several files convert to one" sh -c "pf-weights convert '$C/parts.index.json' | pf-weights info | grep -q '2 tensors, 7 parameters'"
fails "a file of the index is missing" 1 "part-3.safetensors: cannot be opened" pf-weights info "$C/file_missing.index.json"
fails "an index without a name" 1 "give its name" sh -c "pf-weights info <'$C/parts.index.json'"
ok "info lists types that are not known" says "skipped b.small: tensor of type F8_E4M3 without its scale" pf-weights info "$C/types_unknown.safetensors"
ok "convert says that it leaves them out" sh -c "pf-weights convert '$C/types_unknown.safetensors' 2>&1 >left.safetensors |
    grep -q '3 tensors that cannot be read are left out, the first is b.small' && pf-weights check left.safetensors"

# F8_E4M3
D=$ROOT/configs/demo/weights.safetensors
ok "info shows the type of the file, and no scales" bash -c '[ "$(pf-weights info "$1" | cut -d " " -f 2 | sort | uniq -c | tr -s " \n" " ")" = \
    " 1 F32 5 F8_E4M3 1 safetensors, " ]' - "$C/f8.safetensors"
ok "... and counts their bytes" says "6 tensors, 17 parameters, 44 bytes" pf-weights info "$C/f8.safetensors"
ok "check compares the checksums of the file's bytes" says "6 with checksums that hold" pf-weights check "$C/f8.safetensors"
ok "convert --dtype f8" pf-weights convert --dtype f8 "$D" -o eight.safetensors
ok "... halves 16 bits" sh -c '[ $(( $(stat -c %s eight.safetensors) * 100 / $(stat -c %s "$1") )) -le 52 ]' - "$D"
ok "... with sums that hold" pf-weights check eight.safetensors
ok "... leaves vectors and tables as they are" bash -c 'cmp <(pf-weights info "$1" | grep "\[[0-9]*\]") <(pf-weights info eight.safetensors | grep "\[[0-9]*\]")' - "$D"
ok "... and has the scales beside the numbers" sh -c "pf-stream info eight.safetensors | grep -q '_scale *F32'"
ok "there and back, and there again, the numbers are the same" bash -c '
    pf-weights convert --dtype f16 eight.safetensors -o half.safetensors && pf-weights info half.safetensors | grep -q "^model.*weight F16" &&
    pf-weights convert --dtype f8 half.safetensors -o again.safetensors && cmp <(tail -c 15000000 eight.safetensors) <(tail -c 15000000 again.safetensors)'
plan() { pf-sample --plan -d cpu -c "$ROOT/configs/demo/config.yaml" -w "$1" | grep -v ^free; }
ok "pf-sample needs as much memory with them" bash -c '[ "$1" = "$2" ]' - "$(plan eight.safetensors)" "$(plan "$D")"
views() {
    pf-sample -q -d cpu -c "$ROOT/configs/demo/config.yaml" --seed 1 --steps 1 -w "$1" clip.pf -o views.pf &&
        pf-stream get views.image views.pf -o "$2"
}
ok "a photo for it" bash -c 'pf-crop --crop-size -1 --size 128 --input-elevation 17.7 "$1/photos/chair-18.png" |
    pf-clip-embed -d cpu -c "$1/config.yaml" -w eight.safetensors -o clip.pf' - "$ROOT/configs/demo"
ok "its views are those" views eight.safetensors eight.npy
ok "... of the same numbers as F16" views half.safetensors half.npy
ok "... to the byte" cmp eight.npy half.npy
ok "several files with them become one" sh -c "pf-weights convert -q '$C/f8.index.json' | pf-weights info | grep -q '^a.weight F8_E4M3'"
fails "a scale must be one" 1 "tensor w_scale: is 0, expected a finite number above 0" pf-weights info "$C/scale_zero.safetensors"

# EMA weights
ok "info says that there are EMA weights" says "EMA weights are there, too" pf-weights info "$C/ema_beside.safetensors"
ok "convert --ema takes them" sh -c "pf-weights convert --ema '$C/ema_beside.safetensors' -o ema.safetensors &&
    pf-weights info ema.safetensors | grep -q '3 tensors'"
ok "... and no others" sh -c "! pf-weights info ema.safetensors | grep -q model_ema"
fails "--ema wants some" 1 "holds no EMA weights" pf-weights convert --ema "$C/small.ckpt" -o no.safetensors
fails "their names alone are not the model's" 1 "whose names (model_ema.*) are not the model's" \
    pf-weights convert --ema "$C/ema_alone.safetensors" -o no.safetensors
ok "check counts checksums" says "4 with checksums that hold" pf-weights check "$C/small.ckpt"
ok "... and says if there are none" says "0 with checksums" pf-weights check "$C/large.safetensors"

ok "every tensor of the weights that ship has a checksum" sh -c \
    "pf-weights check '$ROOT/configs/demo/weights.safetensors' | awk '{exit !(\$2 > 500 && \$2 == \$6)}'"

# refusals
for f in names_system.ckpt names_subprocess.ckpt names_os_inside.ckpt names_eval-legacy.ckpt; do
    fails "convert refuses $f" 1 "refused: the pickle names" pf-weights convert "$C/$f" -o no.safetensors
done
for f in evil.ckpt evil-legacy.ckpt; do
    golden=${PF_GOLDEN:-$ROOT/../shared/golden}/tiny/$f
    if [ -r "$golden" ]; then
        rm -f /tmp/pf_pwned
        fails "convert refuses golden $f" 1 "refused: the pickle names" pf-weights convert "$golden" -o no.safetensors
    else
        skip "convert refuses golden $f" "no golden data"
    fi
done
fails "convert refuses numbers whose checksum does not hold" 1 "checksum" \
    pf-weights convert "$C/f8_crc_wrong.safetensors" -o no.safetensors
fails "and a scale under another's name" 1 "scale_twice.safetensors: tensor a.b_scale is there twice" \
    pf-weights convert "$C/scale_twice.safetensors" -o no.safetensors
ok "nothing was made by any of them" test ! -e no.safetensors -a ! -e pf_pwned -a ! -e /tmp/pf_pwned
fails "a truncated file is refused" 1 "no end record" pf-weights info "$C/truncated_directory.ckpt"
fails "a missing file is named" 1 "none.ckpt: cannot be opened" pf-weights info none.ckpt
fails "an unknown command is refused" 2 '"list" is not one of info, check, convert' pf-weights list "$C/small.ckpt"
fails "no command is refused" 2 "expected info, check or convert" pf-weights
fails "-o belongs to convert" 2 "belong to convert" pf-weights info "$C/small.ckpt" -o x
fails "the type is one of four" 2 "f32|f16|bf16|f8" pf-weights convert --dtype f64 "$C/small.ckpt" -o x
