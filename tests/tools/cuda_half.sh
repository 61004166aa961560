# The CUDA half of the tools, libpf-cuda.so, is loaded by who wants a GPU: kernels/module/module.md.  Of CUDA itself
# nothing is needed here, nor a GPU: an empty library is the driver.
. "$(dirname "$0")/lib.sh"
demo=$ROOT/configs/demo
embed() { "${FROM:-$BIN}/pf-clip-embed" -q -c "$demo/config.yaml" -w "$demo/weights.safetensors" "$@"; }
pf-crop -q -c "$demo/config.yaml" --crop-size -1 "$demo/photos/chair-18.png" >crop || exit 1
embed -d cuda crop >/dev/null 2>said
if grep -q 'built without CUDA' said; then skip "the CUDA half is loaded when it is asked for" "built without CUDA"; exit; fi

linked() { ! { for t in "$BIN"/pf-*; do ldd "$t" || return; done; } | grep -iE 'libcu|nvidia|not found'; }
ok "no tool is linked with CUDA" linked
small() { (ulimit -v 2000000 && pf-crop -h && embed crop) >/dev/null; }
ok "a small address space is enough without a GPU" small

# access.so: the kernel seems to have NVIDIA's driver.
cc -shared -fPIC -o access.so -x c - <<'END' || exit 1
#include <errno.h>
#include <string.h>
int
access(const char *path, int mode)
{
    errno = ENOENT;
    return strcmp(path, "/dev/nvidiactl") || mode ? -1 : 0;
}
END

mkdir driver other other/bin other/lib other/lib/posefusion
cc -shared -o driver/libcuda.so.1 -x c /dev/null || exit 1
ours=$BIN/../lib/posefusion theirs=other/lib/posefusion/libpf-cuda.so
cp "$BIN/pf-clip-embed" other/bin
# Of ARCH=generic, what it starts.
[ ! -d "$ours/x86-64" ] || (cd "$ours" && cp --parents x86-64*/pf-clip-embed "$TMP/other/lib/posefusion")
embed -d cpu crop >on.cpu
# refused NAME WORDS: of the program in other/.
refused() {
    fails "$1: a sentence" 1 "$2" embed -d cuda -o out crop
    same() { [ ! -e out ] && embed -d auto crop 2>said | cmp - on.cpu && [ -e /dev/nvidiactl -o ! -s said ]; }
    ok "$1: auto takes the CPU, and nothing is left" same
}
# warned NAME WORDS: so does auto, as a warning, where the kernel has the driver.
warned() {
    local why=$2
    warns() {
        LD_PRELOAD=$TMP/access.so embed -d auto --no-sandbox crop 2>said | cmp - on.cpu && [ "$(wc -l <said)" = 1 ] &&
            grep -F "an NVIDIA driver: device cuda:0: " said | grep -qF "$why"
    }
    ok "$1: auto says so and why where the kernel has a driver" warns
}
export FROM=other/bin LD_LIBRARY_PATH=
[ -e /dev/nvidiactl ] || refused "no driver" "no driver of a GPU: libcuda.so.1"
LD_LIBRARY_PATH=$TMP/driver
refused "a driver, but not our half" "cannot be loaded: libpf-cuda.so: cannot open"
warned "a driver, but not our half" "cannot be loaded: libpf-cuda.so: cannot open"
cp "$ours/libpf-cuda.so" .                      # the working folder is no place for libraries
refused "our half in the working folder" "cannot be loaded: libpf-cuda.so: cannot open"
echo "no library" >$theirs
refused "a file that is no library" "cannot be loaded: "
cc -shared -o $theirs -x c /dev/null
refused "another library" "libpf-cuda.so: it does not belong to this program"
id=$(strings libpf-cuda.so | grep -E '^[0-9.]+ [0-9a-f]{16}$')
sed "s/$id/${id%?}-/" libpf-cuda.so >$theirs
refused "our half of another build" "libpf-cuda.so: it does not belong to this program"
cp libpf-cuda.so $theirs
if [ "$(embed -d cuda crop 2>&1 >/dev/null | grep -c 'libcublasLt.*cannot open')" = 1 ]; then
    skip "our half, but no GPU: a sentence" "no libcublasLt here"
else
    refused "our half, but no GPU" "device cuda:0: CUDA driver version is insufficient"
    warned "our half, but no GPU" "CUDA driver version is insufficient"
fi
