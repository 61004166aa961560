#!/usr/bin/env python3
"""make_checkpoints.py - write tests/data/checkpoint/: small weights files, good and hostile.

    python3 tests/data/make_checkpoints.py

Every byte is written by hand (no torch), so that files can be wrong in exactly one way; a hostile
one is named after its mistake.  Same bytes on every run.
"""
import io
import json
import math
import os
import struct
import zipfile
import zlib

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoint")


# ---- pickles ----
def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return b"X" + struct.pack("<I", len(b)) + b


def num(i):
    if 0 <= i < 256:
        return b"K" + bytes([i])
    if -(2**31) <= i < 2**31:
        return b"J" + struct.pack("<i", i)
    return b"\x8a\x08" + struct.pack("<q", i)


def tup(*items):
    return b"(" + b"".join(items) + b"t"


def name(module, what):
    return b"c" + module.encode() + b"\n" + what.encode() + b"\n"


def dic(*pairs):
    return b"}(" + b"".join(text(k) + v for k, v in pairs) + b"u"


def storage(kind, key, count, view=b""):
    return tup(text("storage"), name("torch", kind + "Storage"), text(key), text("cpu"), num(count), view) + b"Q"


def tensor(where, offset, shape, stride):
    args = tup(where, num(offset), tup(*map(num, shape)), tup(*map(num, stride)), b"\x89",
               name("collections", "OrderedDict") + b")R")
    return name("torch._utils", "_rebuild_tensor_v2") + args + b"R"


def pickle(body, protocol=2):
    return b"\x80" + bytes([protocol]) + body + b"."


F = lambda *v: struct.pack("<%df" % len(v), *v)
RAMP = F(0, 1, 2, 3, 4, 5)


# ---- containers ----
def archive(pkl, blocks, extra=(), method=zipfile.ZIP_STORED, root="archive/"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for path, data in [("data.pkl", pkl)] + [("data/" + k, v) for k, v in blocks] + list(extra):
            z.writestr(zipfile.ZipInfo(root + path, (1980, 1, 1, 0, 0, 0)), data, method)
    return out.getvalue()


def archive64(entries):
    """Every size and offset in zip64 fields, as in an archive over 4 GiB."""
    out = directory = b""
    for path, data in entries:
        path, full = path.encode(), 0xFFFFFFFF
        sizes = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        offset = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(out))
        fixed = struct.pack("<HHHHHLLLHH", 45, 0, 0, 0, 33, zlib.crc32(data), full, full, len(path), len(sizes))
        out += b"PK\3\4" + fixed + path + sizes + data
        directory += (b"PK\1\2" + struct.pack("<H", 45) + fixed[:-2] +
                      struct.pack("<HHHHLL", len(offset), 0, 0, 0, 0, full) + path + offset)
    n, at = len(entries), len(out)
    end64 = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, n, n, len(directory), at)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, at + len(directory), 1)
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, full, full, 0)
    return out + directory + end64 + locator + end


MAGIC = pickle(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + pickle(b"M\xe9\x03")


def legacy(body, blocks, little=True):
    """blocks: (key, elements, bytes)"""
    machine = pickle(dic(("protocol_version", b"M\xe9\x03"), ("little_endian", b"\x88" if little else b"\x89")))
    keys = pickle(b"](" + b"".join(text(k) for k, _, _ in blocks) + b"e")
    return MAGIC + machine + pickle(body) + keys + b"".join(struct.pack("<q", n) + b for _, n, b in blocks)


def safetensors(header, data=b"", length=None):
    h = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(h) if length is None else length) + h + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def one(body_of_tensor, data=RAMP, **kw):
    """A zip checkpoint whose state_dict has the one tensor w."""
    return archive(pickle(dic(("state_dict", dic(("w", body_of_tensor))))), [("0", data)], **kw)


W = tensor(storage("Float", "0", 6), 0, (2, 3), (3, 1))


def good():
    weights = dic(
        ("a.weight", W),
        ("a.turned", tensor(storage("Float", "0", 6), 0, (3, 2), (1, 3))),
        ("b.half", tensor(storage("Half", "1", 3), 1, (2,), (1,))),
        ("b.step", tensor(storage("Long", "2", 1), 0, (), ())),
        ("note", text("not a tensor")),
    )
    blocks = [("0", RAMP), ("1", struct.pack("<3e", 9, 1.5, -2)), ("2", struct.pack("<q", 7))]
    unknown = name("lightning.parsing", "AttributeDict") + b")\x81(" + text("lr") + num(1) + b"u"
    top = dic(("epoch", num(3)), ("state_dict", weights), ("hyper_parameters", unknown))
    yield "small.ckpt", archive(pickle(top), blocks, [("version", b"3\n"), ("byteorder", b"little")])
    yield "small-deflated.ckpt", archive(pickle(top), blocks, method=zipfile.ZIP_DEFLATED)
    yield "small-no-folder.ckpt", archive(pickle(top), blocks, root="")
    yield "small-legacy.ckpt", legacy(
        top.replace(b"tQ", b"NtQ"), [("2", 1, blocks[2][1]), ("0", 6, RAMP), ("1", 3, blocks[1][1])])
    yield "small-zip64.ckpt", archive64([("a/data.pkl", pickle(top))] + [("a/data/" + k, v) for k, v in blocks])
    view = storage("Float", "0", 6, tup(text("v"), num(2), num(3)))
    yield "view-legacy.ckpt", legacy(dic(("w", tensor(view, 1, (2,), (1,)))), [("0", 6, RAMP)])
    module = lambda *attrs: name("__torch__", "Thing") + b")\x81" + dic(*attrs) + b"b"
    yield "script.pt", archive(
        pickle(module(("training", b"\x88"), ("inner", module(("weight", W))), ("steps", num(5)))),
        [("0", RAMP)], [("constants.pkl", pickle(b")")), ("code/x.py", b"pass\n")])
    short = lambda s: b"\x8c" + bytes([len(s)]) + s.encode() + b"\x94"
    body = W.replace(name("torch._utils", "_rebuild_tensor_v2"),
                     short("torch._utils") + short("_rebuild_tensor_v2") + b"\x93\x94")
    pkl = b"}\x94" + short("w") + body + b"s"
    yield "protocol4.ckpt", archive(pickle(b"\x95" + struct.pack("<Q", len(pkl)) + pkl, 4), [("0", RAMP)])
    untyped = tup(text("storage"), name("torch.storage", "UntypedStorage"), text("0"), text("cpu"), num(24)) + b"Q"
    v3 = tup(untyped, num(1), tup(num(2)), tup(num(2)), b"\x89", b"N", name("torch", "float32"), b"N")
    yield "untyped.ckpt", one(name("torch._utils", "_rebuild_tensor_v3") + v3 + b"R")
    yield "parameter.ckpt", one(name("torch._utils", "_rebuild_parameter") + W + b"\x88N\x87R")
    yield "small.safetensors", safetensors(
        {"__metadata__": {"note": "kept", "pf.count": "2"}, "n.b": entry("F16", [2], 24, 28),
         "m.a": entry("F32", [2, 3], 0, 24), "table": entry("F32", [1], 28, 32)},
        RAMP + struct.pack("<2e", 1, 2) + F(0.1))
    yield "nan.safetensors", safetensors(
        {"a.fine": entry("F32", [1], 0, 4), "b.bad": entry("F32", [3], 4, 16)}, F(1, 2, float("nan"), float("inf")))
    yield "large.safetensors", safetensors({"m.large": entry("F32", [2], 0, 8)}, F(1, 70000))
    crc = lambda data: '{"w.x":"%08x"}' % zlib.crc32(data)
    for file, data in ("crc.safetensors", F(1)), ("crc_wrong.safetensors", F(2)):
        yield file, safetensors({"__metadata__": {"pf.crc32": crc(F(1))}, "w.x": entry("F32", [1], 0, 4)}, data)


def wrapped():
    """What trainers and compilers put around a model."""
    for key in "model", "model_state_dict", "module", "params_ema", "ema":
        yield "under_%s.ckpt" % key, archive(pickle(dic(("epoch", num(3)), (key, dic(("a.weight", W))))), [("0", RAMP)])
    inner = dic(("state_dict", dic(("module._orig_mod.a.weight", W))))
    yield "under_three.ckpt", archive(
        pickle(dic(("ema", dic(("decay", num(1)))), ("model", dic(("module", inner))))), [("0", RAMP)])
    yield "prefixes.safetensors", safetensors(
        {"module.model._orig_mod.a.weight": entry("F32", [2, 3], 0, 24), "module.model.b._orig_mod.x": entry("F32", [1], 24, 28),
         "module.model.c_orig_mod.x": entry("F32", [1], 28, 32), "module.model.y": entry("C64", [1], 32, 40)},
        RAMP + F(8, 9, 1, 2))
    yield "unet_alone.safetensors", safetensors({"model.diffusion_model.a.weight": entry("F32", [2, 3], 0, 24)}, RAMP)
    yield "types_unknown.safetensors", safetensors(
        {"a.weight": entry("F32", [2, 3], 4, 28), "b.small": entry("F8_E4M3", [4], 0, 4),
         "c.tiny": entry("F4", [3], 28, 30), "d.pair": entry("C64", [1], 30, 38)}, bytes(4) + RAMP + bytes(10))
    untyped = tup(text("storage"), name("torch.storage", "UntypedStorage"), text("0"), text("cpu"), num(24)) + b"Q"
    v3 = tup(untyped, num(1), tup(num(2)), tup(num(1)), b"\x89", b"N", name("torch", "float8_e4m3fn"), b"N")
    yield "float8.ckpt", archive(
        pickle(dic(("a.weight", W), ("b.small", name("torch._utils", "_rebuild_tensor_v3") + v3 + b"R"))), [("0", RAMP)])
    yield "under_generator.ckpt", archive(
        pickle(dic(("epoch", num(3)), ("generator", dic(("a.weight", W))))), [("0", RAMP)])


def eights():
    """F8_E4M3 numbers and their scales: one of a tensor, one of each row, the least and the next below."""
    f8, r = lambda n, at: entry("F8_E4M3", n, at, at + math.prod(n)), bytes([0x38, 0x39, 0xC0, 0x7E, 0x01, 0x80])
    header = {
        "a.weight": f8([2, 3], 0), "a.weight_scale": entry("F32", [1], 6, 10), "b.weight": f8([2, 2], 10),
        "b.weight_scale": entry("BF16", [2, 1], 14, 18), "c.least": f8([2], 18), "c.least_scale": entry("F32", [], 20, 24),
        "d.below": f8([2], 24), "d.below_scale": entry("F32", [], 26, 30), "e.half": f8([1, 2], 30),
        "e.half_scale": entry("F16", [1], 32, 34), "x_scale": entry("F32", [1], 34, 38)}
    data = [r, F(0.25), bytes([0x38, 0x40, 0x38, 0x40]), struct.pack("<2H", 0x3F00, 0x4040), b"\x7e\x01", F(2.0**-124), b"\x38\x01",
            F(2.0**-125), b"\x38\xb8", struct.pack("<e", 0.1), F(9)]
    sums = {k: "%08x" % zlib.crc32(d) for k, d in zip(header, data)}
    st = lambda **kw: safetensors({"__metadata__": {"pf.crc32": json.dumps({**sums, **kw})}, **header}, b"".join(data))
    yield "f8.safetensors", st()
    yield "f8_crc_wrong.safetensors", st(**{"a.weight": "00000000"})
    yield "scale_crc_wrong.safetensors", st(**{"a.weight_scale": "00000000"})
    yield "f8-1.safetensors", safetensors({"module.a.weight": f8([2, 3], 0), "module.b.weight": f8([6], 6)}, r + r)
    yield "f8-2.safetensors", safetensors({"module.a.weight_scale": entry("F32", [2], 0, 8)}, F(0.25, 4))
    yield "f8.index.json", index({
        "module.a.weight": "f8-1.safetensors", "module.b.weight": "f8-1.safetensors", "module.a.weight_scale": "f8-2.safetensors"})
    one = lambda kind, shape, scale: safetensors(
        {"w": f8([2, 3], 0), "w_scale": entry(kind, shape, 6, 6 + len(scale))}, r + scale)
    yield "scale_nan.safetensors", one("F32", [2], F(1, math.nan))
    yield "scale_infinite.safetensors", one("BF16", [1], struct.pack("<H", 0x7F80))
    yield "scale_zero.safetensors", one("F32", [2], F(0, 1))
    yield "scale_negative.safetensors", one("F16", [1], struct.pack("<e", -1))
    yield "scale_of_columns.safetensors", one("F32", [3], F(1, 1, 1))
    yield "scale_turned.safetensors", one("F32", [1, 2], F(1, 1))
    yield "scale_of_each.safetensors", one("F32", [2, 3], F(1, 1, 1, 1, 1, 1))
    yield "scale_of_none.safetensors", one("F32", [0], b"")
    yield "scale_whole.safetensors", one("I64", [1], struct.pack("<q", 1))
    yield "scale_twice.safetensors", safetensors({
        "a._orig_mod.b": f8([8, 8], 0), "a._orig_mod.b_scale": entry("F32", [], 64, 68),
        "a.b_scale": entry("F32", [3], 68, 80)}, bytes(range(64)) + F(0.5) + F(1, 2, 3))
    yield "scale_of_eights.safetensors", one("F8_E4M3", [1], b"\x38")


def index(names):
    return json.dumps({"metadata": {"total_size": 28}, "weight_map": names}, indent=2).encode() + b"\n"


def averaged():
    """EMA weights: LitEma's, whose names drop the dots, and those of other trainers."""
    one = lambda i: entry("F32", [1], 4 * i, 4 * i + 4)
    yield "ema_beside.safetensors", safetensors(
        {"model.a.weight": one(0), "model.table": one(1), "other.b": one(2), "model_ema.aweight": one(3),
         "model_ema.decay": one(4)}, F(1, 2, 3, 4, 5))
    yield "ema_alone.safetensors", safetensors(
        {"other.b": one(0), "model_ema.aweight": one(1), "model_ema.decay": one(2)}, F(3, 4, 5))
    yield "ema_shape.safetensors", safetensors(
        {"model.a.weight": one(0), "model_ema.aweight": entry("F32", [2], 4, 12)}, F(1, 2, 3))
    yield "ema_of_two.safetensors", safetensors(
        {"model.a.bc": one(0), "model.a.b.c": one(1), "model_ema.abc": one(2)}, F(1, 2, 3))
    mean = tensor(storage("Float", "1", 6), 0, (2, 3), (3, 1))
    yield "ema_beside.ckpt", archive(
        pickle(dic(("model", dic(("a.weight", W))), ("ema", dic(("state_dict", dic(("a.weight", mean))))))),
        [("0", RAMP), ("1", F(5, 4, 3, 2, 1, 0))])


def sharded():
    yield "part-1.safetensors", safetensors({"module.a.weight": entry("F32", [2, 3], 0, 24)}, RAMP)
    yield "part-2.ckpt", archive(
        pickle(dic(("module.b.weight", tensor(storage("Float", "0", 1), 0, (1,), (1,))))), [("0", F(7))])
    yield "parts.index.json", index({"module.a.weight": "part-1.safetensors", "module.b.weight": "part-2.ckpt"})
    a = "module.a.weight"
    yield "leaves_folder.index.json", index({a: "../checkpoint/part-1.safetensors"})
    yield "absolute.index.json", index({a: "/etc/passwd"})
    yield "file_is_no_text.index.json", index({a: 5})
    yield "file_missing.index.json", index({a: "part-3.safetensors"})
    yield "tensor_elsewhere.index.json", index({a: "part-2.ckpt"})
    yield "in_itself.index.json", index({a: "parts.index.json"})
    yield "tensor_twice.index.json", index({a: "part-1.safetensors", "a.weight": "under_model.ckpt", "w": "name_with_w.safetensors"})
    yield "name_with_w.safetensors", safetensors({"w": entry("F32", [1], 0, 4), a: entry("F32", [1], 4, 8)}, F(1, 2))
    yield "map_is_a_list.index.json", b'{"weight_map": ["part-1.safetensors"]}'
    yield "truncated.index.json", index({a: "part-1.safetensors"})[:60]
    yield "map_empty.index.json", index({})


def bad_pickles():
    def t(*args):
        return tensor(storage("Float", "0", 6), *args)

    yield "storage_too_short.ckpt", one(W, RAMP[:-1])
    yield "storage_missing.ckpt", one(tensor(storage("Float", "9", 6), 0, (2, 3), (3, 1)))
    yield "storage_type_unknown.ckpt", one(tensor(storage("Elf", "0", 6), 0, (2, 3), (3, 1)))
    yield "storage_size_negative.ckpt", one(tensor(storage("Float", "0", -6), 0, (), ()))
    yield "offset_beyond_storage.ckpt", one(t(1, (2, 3), (3, 1)))
    yield "offset_negative.ckpt", one(t(-1, (2, 3), (3, 1)))
    yield "stride_beyond_storage.ckpt", one(t(0, (2, 3), (4, 1)))
    yield "stride_overflow.ckpt", one(t(0, (5, 3), (2**62, 1)))
    yield "stride_negative.ckpt", one(t(5, (2, 3), (-3, 1)))
    yield "stride_count.ckpt", one(t(0, (2, 3), (3,)))
    yield "shape_overflow.ckpt", one(t(0, (2**40, 2**40), (0, 0)))
    yield "shape_zero_overflow.ckpt", one(t(0, (2**62, 2**62, 0), (0, 0, 0)))
    yield "shape_nine_axes.ckpt", one(t(0, (1,) * 9, (1,) * 9))
    yield "expanded_too_far.ckpt", one(t(0, (2**25,), (0,)))
    yield "tensor_malformed.ckpt", one(name("torch._utils", "_rebuild_tensor_v2") + b"N\x85R")
    two = dic(("w", W), ("w", W))
    yield "name_twice.ckpt", archive(pickle(two), [("0", RAMP)])
    yield "name_with_nul.ckpt", archive(pickle(dic(("w\0x", W))), [("0", RAMP)])
    yield "name_not_utf8.ckpt", archive(pickle(b"}" + text(b"w\xff") + W + b"s"), [("0", RAMP)])
    yield "no_tensors.ckpt", archive(pickle(dic(("epoch", num(1)))), [])
    yield "not_a_dictionary.ckpt", archive(pickle(b"](" + W + b"e"), [("0", RAMP)])
    deep = b"(" * 2000 + b"t" * 2000
    yield "deep_nesting.pt", archive(pickle(deep), [])
    yield "deep_modules.pt", archive(
        pickle((name("__torch__", "M") + b")\x81" + b"}" + text("m")) * 100 + W + b"sb" * 100), [("0", RAMP)])
    loop = name("__torch__", "M") + b")\x81q\x00}" + text("m") + b"h\x00sb"
    yield "module_in_itself.pt", archive(pickle(loop), [])
    yield "memo_far_ahead.pt", archive(pickle(b"Nr\xff\xff\xff\xff"), [])
    yield "memo_never_set.pt", archive(pickle(b"h\x07"), [])
    yield "stack_empty.pt", archive(pickle(b"s"), [])
    yield "below_the_mark.pt", archive(pickle(b"}" + text("k") + b"(Ns"), [])
    yield "key_without_value.pt", archive(pickle(b"}(" + text("k") + b"u"), [])
    yield "calls_a_number.pt", archive(pickle(b"K\x01)R"), [])
    yield "persistent_id_odd.pt", archive(pickle(b"K\x01Q"), [])
    yield "string_too_long.pt", archive(b"\x80\x02X\xff\xff\xff\x7fabc", [])
    yield "frame_too_long.pt", archive(b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N.", [])
    yield "no_stop.pt", archive(b"\x80\x02N", [])
    yield "protocol0.pt", archive(b"(dp0\n.", [])
    yield "extension.pt", archive(pickle(b"\x82\x01"), [])
    call = lambda g: pickle(dic(("w", W), ("x", g)))
    yield "names_system.ckpt", archive(call(name("posix", "system") + text("touch pf_pwned") + b"\x85R"), [("0", RAMP)])
    yield "names_subprocess.ckpt", archive(call(b"(" + text("true") + b"isubprocess\nPopen\n"), [("0", RAMP)])
    yield "names_getattr.ckpt", archive(call(name("builtins", "getattr")), [("0", RAMP)])
    yield "names_os_inside.ckpt", archive(
        call(b"\x8c\x07pathlib\x8c\x09os.system\x93" + text("touch pf_pwned") + b"\x85R"), [("0", RAMP)])
    ev = name("__builtin__", "eval") + text("open('pf_pwned', 'w')") + b"\x85R"
    yield "names_eval-legacy.ckpt", legacy(dic(("x", ev)), [])
    yield "byte_order_big.ckpt", one(W, extra=[("byteorder", b"big")])


def bad_legacy():
    body = dic(("w", tensor(storage("Float", "0", 6, b"N"), 0, (2, 3), (3, 1))))
    whole = legacy(body, [("0", 6, RAMP)])
    yield "byte_order_big-legacy.ckpt", legacy(body, [("0", 6, RAMP)], little=False)
    yield "truncated_storage-legacy.ckpt", whole[:-1]
    yield "truncated_count-legacy.ckpt", whole[:-28]
    yield "truncated_pickle-legacy.ckpt", whole[:150]
    yield "magic_wrong-legacy.ckpt", pickle(num(5)) + whole
    yield "storage_count_wrong-legacy.ckpt", legacy(body, [("0", 5, RAMP)])
    yield "storage_not_listed-legacy.ckpt", legacy(body, [])
    yield "storage_not_described-legacy.ckpt", legacy(body, [("0", 6, RAMP), ("1", 0, b"")])
    both = dic(("w", tensor(storage("Float", "0", 6, b"N"), 0, (2, 3), (3, 1))),
               ("x", tensor(storage("Half", "0", 6, b"N"), 0, (2, 3), (3, 1))))
    yield "storage_of_two_types-legacy.ckpt", legacy(both, [("0", 6, RAMP)])
    view = storage("Float", "0", 6, tup(text("v"), num(4), num(3)))
    yield "view_beyond_storage-legacy.ckpt", legacy(dic(("w", tensor(view, 0, (1,), (1,)))), [("0", 6, RAMP)])


def patched(data, where, value, fmt="<I"):
    """Overwrite a field of the last central directory record."""
    at = data.rindex(b"PK\1\2") + where
    b = struct.pack(fmt, value)
    return data[:at] + b + data[at + len(b):]


def bad_zips():
    whole = one(W)
    yield "truncated_directory.ckpt", whole[:-10]
    yield "truncated_start.ckpt", whole[:100]
    yield "no_pickle.ckpt", archive(b"", [], root="a/b/")
    yield "entry_twice.ckpt", archive(pickle(dic(("w", W))), [("0", RAMP), ("0", RAMP[::-1])])
    yield "entry_beyond_file.ckpt", patched(whole, 42, 0x7fffffff)
    yield "entry_sizes_differ.ckpt", patched(whole, 24, 23)
    yield "entry_encrypted.ckpt", patched(whole, 8, 1, "<H")
    yield "entry_method_unknown.ckpt", patched(whole, 10, 99, "<H")
    whole64 = archive64([("a/data.pkl", pickle(dic(("w", W)))), ("a/data/0", RAMP)])
    yield "zip64_end_missing.ckpt", whole64.replace(b"PK\6\6", b"PK\0\0")
    yield "zip64_sizes_missing.ckpt", whole64.replace(struct.pack("<HHQ", 1, 24, 24), struct.pack("<HHQ", 9, 24, 24))
    packed = one(W, method=zipfile.ZIP_DEFLATED)
    yield "bomb.ckpt", patched(packed, 24, 0x7ffffff0)
    at = packed.rindex(b"PK\1\2")
    damaged = bytearray(packed)
    damaged[struct.unpack_from("<I", packed, at + 42)[0] + 30 + len("archive/data/0")] ^= 0x07
    yield "deflate_damaged.ckpt", bytes(damaged)
    flipped = bytearray(whole)
    flipped[whole.index(RAMP) + 4] ^= 1
    yield "checksum_wrong.ckpt", bytes(flipped)


def bad_safetensors():
    ok = entry("F32", [1], 0, 4)
    st = safetensors
    yield "offset_overflow.safetensors", st({"w": entry("F32", [1], 2**63 - 4, 2**63 - 1)}, F(1))
    yield "offset_beyond_file.safetensors", st({"w": entry("F32", [2], 0, 8)}, F(1))
    yield "offset_backwards.safetensors", st({"w": entry("F32", [1], 4, 0)}, F(1))
    yield "offset_three.safetensors", st({"w": dict(ok, data_offsets=[0, 4, 4])}, F(1))
    yield "hole.safetensors", st({"w": entry("F32", [1], 4, 8)}, F(1, 2))
    yield "overlap.safetensors", st({"v": ok, "w": entry("F32", [2], 0, 8)}, F(1, 2))
    yield "trailing_bytes.safetensors", st({"w": ok}, F(1, 2))
    yield "dtype_unknown.safetensors", st({"w": dict(ok, dtype="F8_E5M2")}, F(1))
    yield "dtype_missing.safetensors", st({"w": {"shape": [1], "data_offsets": [0, 4]}}, F(1))
    yield "shape_overflow.safetensors", st({"w": entry("F32", [2**40, 2**40], 0, 4)}, F(1))
    yield "shape_zero_overflow.safetensors", st({"w": entry("F32", [2**62, 2**62, 0], 0, 0)})
    yield "shape_negative.safetensors", st({"w": entry("F32", [-1], 0, 4)}, F(1))
    yield "shape_real.safetensors", st({"w": entry("F32", [1.0], 0, 4)}, F(1))
    yield "shape_nine_axes.safetensors", st({"w": entry("F32", [1] * 9, 0, 4)}, F(1))
    yield "shape_disagrees.safetensors", st({"w": entry("F32", [3], 0, 4)}, F(1))
    yield "key_twice.safetensors", st(b'{"w":%s,"w":%s}' % ((json.dumps(ok).encode(),) * 2), F(1))
    yield "name_with_nul.safetensors", st({"w\0x": ok}, F(1))
    yield "name_with_escape.safetensors", st({"w\x1b[2J": ok}, F(1))
    yield "name_empty.safetensors", st({"": ok}, F(1))
    yield "metadata_not_text.safetensors", st({"__metadata__": {"n": 1}, "w": ok}, F(1))
    yield "header_not_json.safetensors", st(b'{"w":', F(1))
    yield "header_beyond_file.safetensors", st({"w": ok}, F(1), length=2**63)
    yield "truncated_header.safetensors", st({"w": ok}, F(1))[:30]
    yield "empty.safetensors", b""
    yield "neither.ckpt", b"# just some text\n"


def main():
    os.makedirs(OUT, exist_ok=True)
    for make in good, wrapped, eights, averaged, sharded, bad_pickles, bad_legacy, bad_zips, bad_safetensors:
        for file, data in make():
            with open(os.path.join(OUT, file), "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main()
