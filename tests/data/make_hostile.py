#!/usr/bin/env python3
"""make_hostile.py - write tests/data/hostile/: files that would cost more time or memory than their size allows, or that
two readers understand in two ways, each named after its mistake.  Those of harmless/ may be read, but cheaply.

    python3 tests/data/make_hostile.py

Same bytes on every run.
"""
import io
import json
import os
import random
import struct
import zipfile
import zlib

from make_checkpoints import (F, RAMP, W, archive, dic, entry, legacy, name, num, one, pickle, safetensors, storage,
                              tensor, text, tup)

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "hostile")


# ---- pickles ----
def put(i):
    return b"q" + bytes([i])


def get(i):
    return b"h" + bytes([i])


def pickles():
    """Bodies that leave a dictionary; given to a zip archive and to a legacy file."""
    again = lambda module, what, n: (text(module) + put(0) + b"0" + text(what) + put(1) + b"0" +
                                     (get(0) + get(1) + b"\x93" + b"0") * n + b"}")
    yield "name_long_asked_again", again("a" * 1001, "b", 9)
    yield "name_dotted_long_asked_again", again("a", "b." * 900, 9)
    yield "names_asked_too_often", again("a." * 499, "b." * 499, 12000)
    yield "key_of_a_storage_long", dic(("w", tensor(storage("Float", "k" * 301, 6), 0, (2, 3), (3, 1))))
    shared = tensor(storage("Float", "0", 6), 0, (4000, 4000), (0, 0)) + put(0)
    yield "expanded_and_named_often", b"}(" + text("w0") + shared + b"".join(
        text("w%d" % i) + get(0) for i in range(1, 40)) + b"u"
    yield "expanded_once_too_far", dic(("w", tensor(storage("Float", "0", 6), 0, (5000, 1000), (0, 0))))


def module(*attributes):
    return name("__torch__", "Thing") + b")\x81" + dic(*attributes) + b"b"


def shared_modules():
    """2 ** 24 tensors by 24 modules, each of which has the one before twice."""
    body = module(("w", W)) + put(0) + b"0"
    for i in range(1, 25):
        body += (name("__torch__", "Thing") + b")\x81" + b"}(" + text("a") + get(i - 1) + text("b") + get(i - 1) +
                 b"ub" + put(i) + b"0")
    return archive(pickle(body + get(24)), [("0", RAMP)], [("constants.pkl", pickle(b")"))])


def memo_bomb():
    """A deflated pickle of 24 million MEMOIZE."""
    return archive(pickle(b"}" + b"\x94" * (24 << 20)), [], method=zipfile.ZIP_DEFLATED)


def checkpoints():
    for what, body in pickles():
        yield what + ".ckpt", archive(pickle(body), [("0", RAMP)])
        yield what + "-legacy.ckpt", legacy(body.replace(b"tQ", b"NtQ"), [("0", 6, RAMP)])
    yield "modules_shared.pt", shared_modules()
    yield "memo_bomb.ckpt", memo_bomb()
    yield "values_nothing_but.ckpt", archive(pickle(b"}" + b"](" + b"N" * 900000 + b"e0" + b"](" + b"N" * 900000 + b"e0"
                                                    + b"](" + b"N" * 900000 + b"e0"), [], method=zipfile.ZIP_DEFLATED)
    yield "data_kept_unpacked.ckpt", one(tensor(storage("Byte", "0", 32 << 20), 0, (1,), (1,)), bytes(32 << 20),
                                         method=zipfile.ZIP_DEFLATED)
    many = b"}(" + text("w0") + tensor(storage("Byte", "0", 8 << 20), (8 << 20) - 1, (1,), (1,)) + b"".join(
        text("w%d" % i) + tensor(storage("Byte", "0", 8 << 20), (8 << 20) - 1, (1,), (1,)) for i in range(1, 50)) + b"u"
    yield "unpacked_for_every_tensor.ckpt", archive(pickle(many), [("0", bytes(8 << 20))], method=zipfile.ZIP_DEFLATED)


# ---- zip ----
def record(path, data, **kw):
    """The local header with data, and the directory's record, which says what kw says otherwise."""
    at = dict(local_name=path, name=path, packed=len(data), size=len(data), crc=zlib.crc32(data), method=0, flags=0,
              local_size=len(data), local_method=0, local_crc=zlib.crc32(data), local_flags=0)
    at.update(kw)
    n = at["local_name"].encode()
    local = b"PK\3\4" + struct.pack("<HHHHHLLLHH", 20, at["local_flags"], at["local_method"], 0, 33, at["local_crc"],
                                    at["local_size"], at["local_size"], len(n), 0) + n + data
    n = at["name"].encode()
    central = lambda offset: b"PK\1\2" + struct.pack(
        "<HHHHHHLLLHHHHHLL", 20, 20, at["flags"], at["method"], 0, 33, at["crc"], at["packed"], at["size"], len(n), 0, 0,
        0, 0, 0, offset) + n
    return local, central


def zipped(records, count=None, offsets=None, gap=b"", behind=b""):
    out, directory = b"", b""
    for i, (local, central) in enumerate(records):
        directory += central(len(out) if offsets is None else offsets[i])
        out += local
    n = len(records) if count is None else count
    return (out + gap + directory + behind +
            b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, n, n, len(directory), len(out) + len(gap), 0))


def zips():
    pkl = pickle(dic(("w", W)))
    evil = pickle(dic(("other", W)))
    both = [record("a/data.pkl", pkl), record("a/data/0", RAMP)]
    yield "zip_two_models.ckpt", zipped(both + [record("b/data.pkl", evil)])
    yield "zip_model_outside_and_inside.ckpt", zipped(both + [record("data.pkl", evil)])
    yield "zip_local_name_differs.ckpt", zipped([record("a/data.pkl", pkl, local_name="b/data.pkl"), both[1]])
    yield "zip_local_name_shorter.ckpt", zipped([record("a/data.pkl", pkl, local_name="a/data.pk"), both[1]])
    yield "zip_local_size_differs.ckpt", zipped([both[0], record("a/data/0", RAMP, local_size=20)])
    yield "zip_local_method_differs.ckpt", zipped([both[0], record("a/data/0", RAMP, local_method=8)])
    yield "zip_local_checksum_differs.ckpt", zipped([both[0], record("a/data/0", RAMP, local_crc=1)])
    yield "zip_entries_are_one.ckpt", zipped([both[0], both[1], record("a/data/0", RAMP, name="a/data/0")],
                                             offsets=[0, len(both[0][0]), len(both[0][0])])
    inner = record("a/data/0", RAMP)[0]
    outer = record("a/data.pkl", pkl + inner)
    yield "zip_entry_inside_another.ckpt", zipped([outer, (b"", both[1][1])],
                                                  offsets=[0, len(outer[0]) - len(inner)])
    yield "zip_entry_uncounted.ckpt", zipped(both + [record("a/data/1", RAMP)], count=2)
    yield "zip_entry_counted_and_missing.ckpt", zipped(both, count=3)
    yield "zip_bytes_behind_the_directory.ckpt", zipped(both, behind=b"PK\1\2" + bytes(60))
    yield "zip_pickle_checksum_wrong.ckpt", zipped([record("a/data.pkl", pkl, crc=7, local_crc=7), both[1]])
    yield "zip_directory_overlaps_data.ckpt", zipped([both[0], record("a/data/0", RAMP, packed=60, size=60,
                                                                      local_size=60)])


# ---- safetensors, indices ----
def headers():
    yield "safetensors_braces.safetensors", safetensors(b'{"a":' * 3000)
    yield "safetensors_brackets.safetensors", safetensors(b'{"a":' + b"[" * 60000)
    yield "safetensors_name_with_c1.safetensors", safetensors({"a\u009b31m": entry("U8", [1], 0, 1)}, b"a")
    yield "safetensors_name_not_utf8.safetensors", safetensors(
        b'{"a\xff":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"a")
    yield "index_of_brackets.index.json", b'{"weight_map":' + b"[" * 60000
    yield "index_of_nothing.index.json", json.dumps({"weight_map": {"t%d" % i: "none.safetensors"
                                                                    for i in range(3000)}}).encode()
    yield "index_of_many_files.index.json", json.dumps({"weight_map": {"t%d" % i: "f%d.safetensors" % i
                                                                       for i in range(1001)}}).encode()


# ---- ONNX ----
def field(number, payload):
    size, n = b"", len(payload)
    while n > 127:
        size += bytes([n & 127 | 128])
        n >>= 7
    return bytes([number << 3 | 2]) + size + bytes([n]) + payload


OPSET = field(8, bytes([16, 13]))


def onnxes():
    """One weight, and a thousand names for it; one that names itself by way of others."""
    weight = bytes([8, 200, 1, 8, 200, 1, 16, 1]) + field(8, b"w") + field(9, bytes(4 * 200 * 200))
    alias = lambda of, to: field(1, field(1, of) + field(2, to) + field(4, b"Identity"))
    used = lambda x, k: field(1, field(1, b"x") + field(1, x) + field(2, b"y%d" % k) + field(4, b"Conv"))
    graph = field(5, weight)
    before = b"w"
    for k in range(1000):
        graph += alias(before, b"a%d" % k)
        before = b"a%d" % k
    yield "harmless/aliases_a_thousand.onnx", bytes([8, 8]) + field(7, graph + used(before, 0)) + OPSET
    ring = b"".join(alias(b"r%d" % k, b"r%d" % ((k + 1) % 1000)) for k in range(1000))
    yield "aliases_in_a_long_ring.onnx", bytes([8, 8]) + field(7, ring + used(b"r0", 0)) + OPSET


# ---- documents ----
def document(header, data=b""):
    h = json.dumps(header, separators=(",", ":")).encode()
    h += b" " * ((-len(h) - 8) % 64)
    return struct.pack("<Q", len(h)) + h + data


def documents():
    keys = {"k%05d" % i: "" for i in range(8000)}
    yield "harmless/metadata_many.pf", document({"__metadata__": keys, "a": entry("U8", [1], 0, 1)}, b"a")
    names = {"t%05d" % i: entry("U8", [1], 3999 - i, 4000 - i) for i in range(4000)}
    yield "harmless/tensors_many_backwards.pf", document(names, bytes(4000))
    yield "harmless/kind_with_escapes.pf", document(
        {"__metadata__": {"pf.kind": "x\33]0;t\7\u009b31m"}, "a": entry("U8", [1], 0, 1)}, b"a")
    yield "header_longer_than_file.pf", struct.pack("<Q", 90000000) + b'{"a":1'
    yield "data_longer_than_file.pf", document({"a": entry("U8", [1 << 40], 0, 1 << 40)}, b"a")
    yield "count_of_documents_huge.pf", document({"__metadata__": {"pf.index": "0", "pf.count": "2000000000"},
                                                  "a": entry("U8", [1], 0, 1)}, b"a")
    yield "harmless/tiny.field.pf", tiny_field()
    yield "field_grid_too_fine.field.pf", tiny_field(occupancy_resolution=512)
    yield "field_table_huge.field.pf", tiny_field(log2_table=24, max_resolution=16384)
    yield "field_hidden_huge.field.pf", tiny_field(hidden=1024)


def tiny_field(**changes):
    config = dict(kind="hash", bound=0.6, step=1, levels=2, level_features=1, log2_table=8, base_resolution=2,
                  max_resolution=4, hidden=4, color_hidden=4, geo_features=2, start_levels=1, level_steps=1,
                  occupancy_resolution=4, ray_samples=4)
    shapes = {"color.lin0.bias": [4], "color.lin0.weight": [4, 21], "color.lin1.bias": [4], "color.lin1.weight": [4, 4],
              "color.lin2.bias": [3], "color.lin2.weight": [3, 4], "grid.table": [72, 1], "sdf.lin0.bias": [4],
              "sdf.lin0.weight": [4, 5], "sdf.lin1.bias": [3], "sdf.lin1.weight": [3, 4], "variance": []}
    header = {"__metadata__": {"field.config": json.dumps(dict(config, **changes))}}
    at = 0
    for what, shape in shapes.items():
        size = 4
        for n in shape:
            size *= n
        header["field." + what] = entry("F32", shape, at, at + size)
        at += size
    return document(header, F(*[0.1] * (at // 4)))


# ---- pictures ----
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def riff(*chunks):
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(d)) + d + b"\0" * (len(d) & 1) for k, d in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def cut_webp(path, keep):
    """The first chunk's payload cut to that part, and the sizes mended."""
    b = open(os.path.join(HERE, "images", path), "rb").read()
    size = struct.unpack("<I", b[16:20])[0]
    return riff((b[12:16], b[20:20 + int(size * keep)]))


def jpeg_scans(n):
    """A progressive JPEG of 2048 x 2048 grey pixels and n scans that say nothing."""
    segment = lambda mark, d: b"\xff" + bytes([mark]) + struct.pack(">H", len(d) + 2) + d
    head = (b"\xff\xd8" + segment(0xdb, b"\0" + b"\1" * 64) + segment(0xc2, struct.pack(">BHHB", 8, 2048, 2048, 1) +
            b"\1\x11\0") + segment(0xc4, b"\0" + bytes([1] + [0] * 15) + b"\0") +
            segment(0xc4, b"\x10" + bytes([0, 1] + [0] * 14) + b"\xe0"))
    dc = segment(0xda, b"\1\1\0\0\0\0") + bytes(2048 * 2048 // 64 // 8)
    ac = lambda k: segment(0xda, bytes([1, 1, 0, 1, 63, 0])) + bytes(8)
    return head + dc + b"".join(ac(k) for k in range(n)) + b"\xff\xd9"


def pictures():
    lossless = lambda w, h: struct.pack("<BI", 0x2f, (w - 1) | (h - 1) << 14) + bytes.fromhex("e8410f7ad0ff02") + bytes(18)
    yield "webp_pixels_for_nothing.webp", riff((b"VP8L", lossless(15500, 15500)))
    yield "webp_canvas_huge.webp", riff((b"VP8X", struct.pack("<I", 0) + struct.pack("<I", 16382)[:3] * 2),
                                        (b"VP8L", lossless(16, 16)))
    for part in (0.2, 0.5, 0.9):
        yield "webp_lossy_cut_at_%d.webp" % (100 * part), cut_webp("photo_rgb.webp", part)
        yield "webp_lossless_cut_at_%d.webp" % (100 * part), cut_webp("flag_rgb_lossless.webp", part)
    yield "jpeg_scans_for_nothing.jpg", jpeg_scans(400)
    sof = lambda kind, w, h, n: (b"\xff\xd8\xff" + bytes([kind]) + struct.pack(">HBHHB", 8 + 3 * n, 8, h, w, n) +
                                 b"".join(bytes([i + 1, 0x11, 0]) for i in range(n)))
    for what, kind in (("baseline", 0xc0), ("progressive", 0xc2), ("arithmetic", 0xc9)):
        yield "jpeg_%s_huge.jpg" % what, sof(kind, 16000, 16000, 3) + bytes(3000)
    ihdr = lambda w, h, mode: chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, mode))
    for what, mode in (("", 0), ("interlaced_", 1)):
        yield "png_%shuge.png" % what, (b"\x89PNG\r\n\x1a\n" + ihdr(16000, 16000, mode) +
                                        chunk(b"IDAT", zlib.compress(bytes(100000))) + chunk(b"IEND", b""))
    profile = zlib.compress(bytes(30 << 20), 9)
    yield "harmless/png_profile_bomb.png", (b"\x89PNG\r\n\x1a\n" + ihdr(1, 1, 0) + chunk(b"iCCP", b"p\0\0" + profile) +
                                            chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b""))


# ---- settings ----
def configs():
    yield "yaml_brackets.yaml", b"neus: " + b"[" * 30000
    yield "yaml_braces.yaml", b"neus: " + b"{a: " * 10000
    yield "yaml_dashes.yaml", b"neus:\n  " + b"- " * 20000
    yield "yaml_closed_brackets.yaml", b"neus: {steps: " + b"[" * 9 + b"]" * 9 + b"}\n"
    yield "yaml_anchors.yaml", b"neus: [" + b",".join(b"&a%d 1" % i for i in range(6000)) + b"]\n"
    yield "yaml_alias_of_itself.yaml", b"&a neus: &b {steps: *b}\n"
    yield "yaml_word_endless.yaml", b"y\n" * 40000
    yield "yaml_key_long.yaml", b"neus: {" + b"k" * 60000 + b": 1}\n"
    yield "yaml_tags.yaml", b"".join(b"%%TAG !a%d! b\n" % i for i in range(3000)) + b"---\nneus: [\n"
    yield "yaml_escapes.yaml", b"\"neus\\e]0;t\\a\": {steps: 1}\n"


# ---- meshes ----
def ply(vertex="element vertex 3", more="", face="element face 1\nproperty list uchar int vertex_indices", rows=None, how="ascii"):
    head = "ply\nformat %s 1.0\n%s\nproperty float x\nproperty float y\nproperty float z\n%s%s\nend_header\n" % (
        how, vertex, more, face)
    return head.encode() + (b"0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n" if rows is None else rows)


def plys():
    corners = F(0, 0, 0, 1, 0, 0, 0, 1, 0)
    le = "binary_little_endian"
    yield "header_endless", b"ply\nformat ascii 1.0\n" + b"comment a\n" * 9000
    yield "header_line_endless", b"ply\nformat ascii 1.0\ncomment " + b"a" * 90000
    yield "elements_many", ply(more="".join("element e%d 0\n" % i for i in range(500)))
    yield "properties_many", ply(more="".join("property float p%d\n" % i for i in range(500)))
    yield "vertices_2_to_62", ply(vertex="element vertex %d" % 2 ** 62)
    yield "vertices_fewer_than_none", ply(vertex="element vertex -3")
    yield "vertices_no_number", ply(vertex="element vertex three")
    yield "faces_2_to_62", ply(face="element face %d\nproperty list uchar int vertex_indices" % 2 ** 62)
    yield "faces_of_nothing_2_to_40", ply(face="element face %d" % 2 ** 40)
    yield "list_longer_than_file", ply(how=le, more="property list uint uchar a\n", rows=corners[:12] + b"\xff" * 4 + corners)
    yield "list_negative", ply(how=le, more="property list int uchar a\n", rows=corners[:12] + b"\xfe\xff\xff\xff" + corners)
    yield "corners_ten_thousand", ply(rows=b"0 0 0\n1 0 0\n0 1 0\n10000 " + b"0 1 2 " * 3334 + b"\n")
    yield "word_endless", ply(rows=b"0" * 90000)
    yield "number_beyond_all", ply(rows=b"0 0 0\n1 0 0\n0 1e999 0\n3 0 1 2\n")
    yield "index_beyond_all", ply(rows=b"0 0 0\n1 0 0\n0 1 0\n3 0 1 99999999999999999999\n")
    yield "two_formats", ply(vertex="format binary_big_endian 1.0\nelement vertex 3", rows=b"")
    yield "escapes_in_a_type", ply(more="property \x1b[2Jfloat a\n")
    yield "cut_in_a_row", ply(how=le, rows=corners + b"\3\0\0")


def objs():
    yield "face_before_vertices", b"f 1 2 3\n" + b"v 0 0 0\n" * 2
    yield "face_of_ten_thousand", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf" + b" 1 2 3" * 3334 + b"\n"
    yield "index_2_to_63", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9223372036854775807\n"
    yield "index_2_to_64", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 18446744073709551616\n"
    yield "index_least_of_all", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -9223372036854775808\n"
    yield "index_a_slash", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf / / /\n"
    yield "number_endless", b"v 0 0 " + b"1" * 90000 + b"\nf 1 1 1\n"
    yield "number_beyond_all", b"v 0 0 1e999\nf 1 1 1\n"
    yield "number_not_one", b"v 0 0 nan\nf 1 1 1\n"
    yield "number_infinite", b"v 0 0 inf\nf 1 1 1\n"
    yield "lines_empty", b"\n" * 90000
    yield "line_endless", b"v " * 45000
    yield "vertices_alone_many", b"v 1 2 3\n" * 10000
    yield "continued_endless", b"f 1 2 \\\n" * 9000


def stls():
    yield "triangles_2_to_32", struct.pack("<80sI", b"a", 2 ** 32 - 1) + bytes(100)
    yield "triangles_none", struct.pack("<80sI", b"a", 0)
    yield "triangle_cut", struct.pack("<80sI", b"a", 1) + bytes(49)
    yield "corner_not_a_number", struct.pack("<80sI", b"a", 1) + F(*[float("nan")] * 12) + bytes(2)


def glb(root, data=bytes(F(0, 0, 0, 1, 0, 0, 0, 1, 0)), length=None, text=None):
    text = json.dumps(root).encode() if text is None else text
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text) if length is None else length, b"JSON") + text
    body += struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def gltf(nodes=None, **more):
    """A triangle; what is given replaces a part of it."""
    root = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": nodes or [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}], "buffers": [{"byteLength": 36}],
            "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
            "bufferViews": [{"buffer": 0, "byteLength": 36}]}
    return glb(dict(root, **more))


def glbs():
    position = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}
    view = {"buffer": 0, "byteLength": 36}
    yield "json_of_brackets", glb(None, text=b"[" * 90000)
    yield "json_of_braces", glb(None, text=b'{"a":' * 20000)
    yield "json_longer_than_file", glb({}, length=2 ** 31)
    yield "json_longer_than_all", glb({}, length=2 ** 32 - 1)
    yield "json_with_nul", glb(None, text=b'{"asset": {}\0}')
    yield "nodes_in_a_ring", gltf([{"children": [1]}, {"children": [0]}])
    yield "nodes_ten_thousand_deep", gltf([{"children": [i + 1]} for i in range(10000)] + [{"mesh": 0}])
    yield "nodes_shared_2_to_30", gltf([{"children": [i + 1, i + 1]} for i in range(30)] + [{"mesh": 0}])
    yield "node_with_itself_often", gltf([{"mesh": 0, "children": [0] * 10000}])
    yield "mesh_of_primitives_for_nothing", gltf(meshes=[{"primitives": [{"attributes": {}}] * 10000}])
    yield "count_2_to_62", gltf(accessors=[dict(position, count=2 ** 62)])
    yield "count_no_number", gltf(accessors=[dict(position, count="3")])
    yield "count_negative", gltf(accessors=[dict(position, count=-3)])
    yield "stride_2_to_62", gltf(bufferViews=[dict(view, byteStride=2 ** 62)])
    yield "stride_too_short", gltf(bufferViews=[dict(view, byteStride=1)])
    yield "offset_2_to_62", gltf(accessors=[dict(position, byteOffset=2 ** 62)])
    yield "view_beyond_buffer", gltf(bufferViews=[dict(view, byteOffset=36)])
    yield "view_of_2_to_62", gltf(bufferViews=[dict(view, byteLength=2 ** 62, byteOffset=2 ** 62)])
    yield "sparse_for_nothing", gltf(accessors=[{"componentType": 5126, "count": 2 ** 31, "type": "VEC3", "sparse": {
        "count": 1, "indices": {"bufferView": 0, "componentType": 5125}, "values": {"bufferView": 0}}}])
    yield "scale_beyond_all", gltf([{"mesh": 0, "scale": [1e300, 1e300, 1e300]}])
    yield "version_9", b"glTF" + struct.pack("<II", 9, 12)
    yield "length_more_than_file", gltf()[:8] + struct.pack("<I", 2 ** 32 - 1) + gltf()[12:]
    yield "head_alone", gltf()[:12]


def npy(descr, shape, data, text=None):
    head = text or ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)).encode()
    head += b" " * (-(10 + len(head) + 1) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


def npzs():
    def pack(*entries, method=zipfile.ZIP_STORED):
        to = io.BytesIO()
        with zipfile.ZipFile(to, "w", method) as z:
            for name, data in entries:
                z.writestr(zipfile.ZipInfo(name), data, method)
        return to.getvalue()
    v, f = npy("<f4", "(3, 3)", F(0, 0, 0, 1, 0, 0, 0, 1, 0)), npy("<i4", "(1, 3)", struct.pack("<3i", 0, 1, 2))
    yield "rows_2_to_62", pack(("v.npy", npy("<f4", "(%d, 3)" % 2 ** 62, b"")), ("f.npy", f))
    yield "rows_beyond_all", pack(("v.npy", npy("<f4", "(%d, 3)" % 10 ** 30, b"")), ("f.npy", f))
    yield "rows_negative", pack(("v.npy", npy("<f4", "(-3, 3)", b"")), ("f.npy", f))
    yield "axes_many", pack(("v.npy", npy("<f4", "(%s)" % "1, " * 500, b"")), ("f.npy", f))
    yield "pickled_objects", pack(("v.npy", npy("|O", "(3, 3)", b"cos\nsystem\n(S'true'\ntR.")), ("f.npy", f))
    yield "header_of_brackets", pack(("v.npy", npy("", "", b"", b"{" * 9000)), ("f.npy", f))
    yield "header_longer_than_entry", pack(("v.npy", v[:8] + b"\xff\xff" + v[10:]), ("f.npy", f))
    yield "faces_of_a_bomb", pack(("v.npy", v), ("f.npy", npy("<i4", "(2000000, 3)", bytes(24000000))),
                                  method=zipfile.ZIP_DEFLATED)
    yield "data_cut", pack(("v.npy", v[:-1]), ("f.npy", f))
    yield "two_meshes", zipped([record("v.npy", v), record("v.npy", v), record("f.npy", f)])


def meshes():
    for ending, part in (("ply", plys), ("obj", objs), ("stl", stls), ("glb", glbs), ("npz", npzs)):
        for what, data in part():
            yield "%s_%s.%s" % (ending, what, ending), data
    yield "harmless/ply_rows_of_nothing_2_to_62.ply", ply(vertex="element nothing %d\nelement vertex 3" % 2 ** 62)


# ---- tables and cameras ----
def tables():
    yield "list_columns_many.tsv", b"\t".join(b"c%d" % i for i in range(10000)) + b"\n"
    yield "list_line_endless.tsv", b"photo\n" + b"a" * ((1 << 20) + 1)
    yield "list_fields_endless.tsv", b"photo\n" + b"\t" * 90000 + b"\n"
    yield "list_lines_empty.tsv", b"\n" * 90000
    yield "list_column_with_escapes.tsv", b"photo\t\x1b]0;t\7\n"
    yield "list_object_with_escapes.tsv", b"photo\tobject\na.png\t\x1b[2J/../x\n"
    yield "list_object_leads_out.tsv", b"photo\tobject\na.png\t../../x\n"
    yield "list_object_an_option.tsv", b"photo\tobject\na.png\t--rf\n"
    yield "list_number_beyond_all.tsv", b"photo\televation\na.png\t1e999\n"
    yield "list_targets_many_wrong.tsv", b"photo\ttarget_elevation\na.png\t" + b"0," * 90000 + b"x\n"
    yield "list_same_object_often.tsv", b"photo\n" + b"a.png\n" * 10000
    yield "manifest_of_brackets.jsonl", b"[" * 90000 + b"\n"
    yield "manifest_of_braces.jsonl", b'{"object": ' * 9000 + b"\n"
    yield "manifest_key_twice.jsonl", b'{"object": "a", "object": "b", "status": "done"}\n'
    yield "manifest_not_utf8.jsonl", b'{"object": "\xff", "status": "done"}\n'
    yield "manifest_lines_empty.jsonl", b"\n" * 90000
    yield "manifest_escape_raw.jsonl", b'{"object": "\x1b[2J", "status": "done"}\n'


def cameras():
    pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1]]
    frame = {"file_path": "photo.png", "transform_matrix": pose}
    whole = lambda **more: json.dumps(dict({"fl_x": 50, "frames": [frame]}, **more)).encode()
    framed = lambda **more: whole(frames=[dict(frame, **more)])
    yield "brackets", b'{"frames": ' + b"[" * 90000
    yield "braces", b'{"frames": ' * 9000
    yield "frames_no_list", whole(frames={"0": frame})
    yield "frames_empty", whole(frames=[])
    yield "key_twice", b'{"fl_x": 1, "fl_x": 2, "frames": []}'
    yield "picture_with_escapes", framed(file_path="\x1b[2J")
    yield "picture_name_endless", framed(file_path="a" * 90000)
    yield "picture_with_nul", b'{"fl_x": 50, "frames": [{"file_path": "photo.png\\u0000x"}]}'
    yield "picture_a_number", framed(file_path=7)
    yield "matrix_beyond_all", b'{"fl_x": 50, "frames": [{"file_path": "photo.png", "transform_matrix": [[1e999]]}]}'
    yield "matrix_of_nothing", framed(transform_matrix=[[0] * 4] * 4)
    yield "matrix_rows_many", framed(transform_matrix=pose * 9000)
    yield "focal_length_none", whole(fl_x=0)
    yield "side_2_to_62", whole(w=2 ** 62)


def all_cameras():
    for what, data in cameras():
        yield "cameras_%s.transforms.json" % what, data


def noise():
    """What no reader should take for its own, under the name of each."""
    chance = random.Random(1)
    for ending in ("ckpt", "safetensors", "onnx", "pf", "png", "jpg", "webp", "yaml", "index.json"):
        yield "noise." + ending, bytes(chance.randrange(256) for _ in range(3000))
        if ending != "yaml":                            # an empty config changes nothing
            yield "empty." + ending, b""
        yield "one_byte." + ending, b"P"
        yield "zeros." + ending, bytes(3000)
        yield "text." + ending, b"y\n" * 1500


def main():
    for part in (checkpoints, zips, headers, onnxes, documents, pictures, configs, meshes, tables, all_cameras, noise):
        for path, data in part():
            path = os.path.join(OUT, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main()
