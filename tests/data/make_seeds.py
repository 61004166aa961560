#!/usr/bin/env python3
"""make_seeds.py - write tests/data/seeds/: small files with which the fuzz targets begin (tests/fuzz), good ones and, named
after its mistake, each that once went wrong.

    python3 tests/data/make_seeds.py

Same bytes on every run.
"""
import json
import os
import struct
import zipfile

from make_checkpoints import F, RAMP, W, archive, archive64, dic, entry, name, num, pickle, storage, tensor, text, tup
from make_hostile import document, record, tiny_field, zipped

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "seeds")


def pickles():
    top = dic(("epoch", num(3)), ("state_dict", dic(("w", W))), ("note", text("x")))
    yield "state_dict", pickle(top)
    yield "protocol_4", pickle(b"\x95" + struct.pack("<Q", 20) + b"\x8c\x01a\x94\x8c\x01b\x94\x93\x94)\x81}(h\0K\1ub", 4)
    yield "numbers", pickle(b"(" + num(1) + num(-5) + num(2 ** 40) + b"G" + struct.pack(">d", 1.5) + b"\x88\x89N"
                            b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19M\1\2" + b"t")
    yield "containers", pickle(b"](" + b"}" + b"\x8f(K\1\x90" + b"(K\1K\2\x91" + b")" + num(1) + b"\x85" + num(2) + num(3) +
                               b"\x86" + b"2e")
    yield "texts", pickle(b"(U\1aT\1\0\0\0bX\1\0\0\0c\x8c\1d\x8d\1\0\0\0\0\0\0\0eC\1fB\1\0\0\0g\x8e\1\0\0\0\0\0\0\0h"
                          b"\x96\1\0\0\0\0\0\0\0it")
    yield "memo", pickle(b"}q\0r\1\0\0\0\x94h\0j\1\0\0\x00000")
    yield "calls", pickle(name("collections", "OrderedDict") + b")R" + b"0" + name("torch", "Size") + tup(tup(num(2))) + b"R" +
                          b"0(" + name("x", "Y") + num(1) + b"o0" + b"(" + num(1) + b"ix\nY\n" + b"}b" + b"0" +
                          name("x", "Y") + b")}\x92")
    yield "parameter", pickle(dic(("w", name("torch._utils", "_rebuild_parameter") + tup(
        W, b"\x89", name("collections", "OrderedDict") + b")R") + b"R")))
    yield "view", pickle(dic(("w", tensor(storage("Float", "0", 6, tup(text("v"), num(2), num(3))), 1, (2,), (1,)))))


def zips():
    pkl = pickle(dic(("w", W)))
    yield "stored", archive(pkl, [("0", RAMP)])
    yield "deflated", archive(pkl * 3, [("0", RAMP)], method=zipfile.ZIP_DEFLATED)
    yield "zip64", archive64([("a/data.pkl", pkl), ("a/data/0", RAMP)])
    yield "empty_archive", zipped([])
    yield "sizes_later", zipped([record("a", RAMP, local_flags=8, local_size=0, local_crc=0)])


def documents():
    yield "one", document({"__metadata__": {"pf.format": "1", "pf.kind": "x", "pf.history": "[]"},
                           "a": entry("F32", [2], 0, 8), "b": entry("U8", [3], 8, 11)}, F(1, 2) + b"abc")
    numbered = lambda i: document({"__metadata__": {"pf.index": str(i), "pf.count": "2"}, "a": entry("U8", [0], 0, 0)})
    yield "two", numbered(0) + numbered(1)
    yield "checksum", document({"__metadata__": {"pf.crc32": json.dumps({"a": "352441c2"})}, "a": entry("U8", [3], 0, 3)}, b"abc")
    yield "types", document({t: entry(t, [], 8 * i, 8 * i + 8) for i, t in enumerate(("F64", "I64", "U64"))}, bytes(24))
    yield "eights", document({"a": entry("F8_E4M3", [2, 2], 0, 4), "a_scale": entry("F32", [1], 4, 8)}, b"\x38\x7e\x01\x80" + F(0.25))
    yield "views", views()


def views():
    """Two views of 4 x 4 pixels from opposite sides."""
    identity, turned = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2], [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 2]
    parts = [("views.alpha", "F32", [2, 4, 4], F(*[1.0] * 32)), ("views.image", "U8", [2, 4, 4, 3], bytes(96)),
             ("views.intrinsics", "F32", [2, 3, 3], F(*[4, 0, 1.5, 0, 4, 1.5, 0, 0, 1] * 2)),
             ("views.pose", "F32", [2, 3, 4], F(*(identity + turned)))]
    header, data = {"__metadata__": {"pf.kind": "views", "pf.world": json.dumps({"center": [0, 0, 0], "scale": 1.0})}}, b""
    for what, dtype, shape, b in parts:
        header[what] = entry(dtype, shape, len(data), len(data) + len(b))
        data += b
    return document(header, data)


def configs():
    for what in ("neus", "demo/config"):
        yield os.path.basename(what), open(os.path.join(HERE, "..", "..", "configs", what + ".yaml"), "rb").read()
    yield "flow", b"{neus: {steps: 5, lr: 1e-2, field: hash}, vae: {ch_mult: [1, 2, 4, 4]}}\n"
    yield "quoted", b"'neus': {\"steps\": '5'} # end\n---\n"
    yield "alias", b"neus: {steps: &a 5, warm_up: *a}\n"


def transforms():
    pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1]]
    frame = {"file_path": "photo.png", "transform_matrix": pose}
    yield "nerfstudio", json.dumps({"fl_x": 50, "fl_y": 50, "cx": 32, "cy": 24, "w": 64, "h": 48, "camera_model": "OPENCV",
                                    "frames": [frame, dict(frame, mask_path="grey.png")]}).encode()
    for what, more in (("fisheye", {"is_fisheye": True}), ("distorts", {"k1": 0.1}), ("half_a_pixel", {"w": 64.5}),
                       ("angle_of_a_half_turn", {"camera_angle_y": 3.2}), ("model_unknown", {"camera_model": "EQUIRECTANGULAR"}),
                       ("mask_no_name", {"mask_path": 3}), ("three_rows", {"transform_matrix": pose[:3]}),
                       ("row_short", {"transform_matrix": [[1, 0, 0]] + pose[1:]}), ("no_focal_length", {"fl_x": None}),
                       ("mirrored", {"transform_matrix": [[-1, 0, 0, 0]] + pose[1:]}), ("no_picture", {"file_path": "none"})):
        yield what, json.dumps({"fl_x": 50, "frames": [dict(frame, **more)]}).encode()
    yield "a_page", b"<!DOCTYPE html><html>"
    yield "instant_ngp", json.dumps({"camera_angle_x": 0.7, "frames": [dict(frame, file_path="./photo")]}).encode()


def colmaps():
    cameras = b"# cameras\n1 PINHOLE 64 48 50 50 32 24\n2 SIMPLE_RADIAL 64 48 50 32 24 0\n"
    images = b"# images\n1 1 0 0 0 0 0 3 1 photo.png\n1 2 -1 3 4 5\n2 0.7 0 0.7 0 0 0 3 2 grey.png\n\n"
    yield "two_cameras", cameras + b"\0" + images


def lists():
    yield "photos", b"photo\na.png\nb/c.jpg\n"
    yield "columns", (b"photo\tobject\televation\tazimuth\tcrop_size\ttarget_elevation\tseed\n"
                      b"a.png\tchair\t20\t-5.5\t-1\t0,30\t6033\nb.png\t\t\t\t\t15,45\t\n")
    yield "spreadsheet", b"\xef\xbb\xbfobject\tphoto\r\nchair\ta.png\r\n\r\n"
    yield "column_twice", b"photo\tphoto\na.png\tb.png\n"
    yield "targets_differ", b"photo\ttarget_elevation\na.png\t0,30\nb.png\t15\n"
    yield "targets_left_out", b"photo\ttarget_elevation\na.png\t0,30\nb.png\t\n"
    yield "nul_in_a_line", b"photo\na\0b.png\n"
    yield "number_with_a_unit", b"photo\tcrop_size\na.png\t200px\n"
    yield "photo_is_folder", b"photo\nb/\n"
    yield "object_twice", b"photo\na/chair.png\nb/chair.png\n"


def manifests():
    stage = {"tool": "pf-neus", "version": "0.1.0", "seed": 6033, "options": {"log": "x"}, "seconds": 14.5}
    done = {"object": "chair", "status": "done", "photo": "none.png", "seconds": 30.25, "psnr": 31.5, "faces": 12000,
            "watertight": True, "sha256": "0" * 64, "stages": [stage, stage], "memory": {"pf-neus": 120, "pf-sample": 300}}
    failed = {"object": "mug \u001b[2J", "status": "failed", "error": "pf-crop: no \u001b[31m object"}
    shown = dict(done, photo="tests/data/images/photo.png")
    broken = dict(done, photo="tests/data/images/truncated.png")
    lines = lambda *all: "".join(json.dumps(line) + "\n" for line in all).encode()
    yield "done_and_failed", lines(done, failed, dict(done, status="failed"))
    yield "photo_there", lines(shown)
    yield "photo_truncated", lines(broken)
    yield "stages_no_list", lines(dict(done, stages=stage, memory=3, seconds="x"))
    yield "tool_with_escape", lines(dict(done, memory={"pf-neus \u001b[2J": 1}))
    yield "object_with_nul", lines({"object": "a\u0000b", "status": "done"})


def scenes():
    """What the importing child hands over: a triangle as it is, and with a texture that is inside, or a file's name."""
    material = lambda texture, glass=0: F(1, 0.5, 0, 1, 0.5, texture, 0, 2, 1, glass)
    def scene(materials, texture=(), **meta):
        parts = [("color", "F32", [3, 4], F(*[1.0] * 12)), ("index", "U32", [1, 3], struct.pack("<3I", 0, 1, 2)),
                 ("material", "F32", [len(materials) // 40, 10], materials), ("material_of", "U32", [1], bytes(4)),
                 ("normal", "F32", [3, 3], F(*[0, 0, 1] * 3)), ("position", "F32", [3, 3], F(0, 0, 0, 1, 0, 0, 0, 1, 0)),
                 ("uv", "F32", [3, 2], F(0, 0, 1, 0, 0, 1))] + list(texture)
        header, data = {"__metadata__": meta}, b""
        for what, dtype, shape, b in parts:
            header[what] = entry(dtype, shape, len(data), len(data) + len(b))
            data += b
        return document(header, data)
    png = open(os.path.join(HERE, "mesh", "box.png"), "rb").read()
    yield "plain", scene(material(-1), up="z")
    yield "texture", scene(material(0), [("texture.0", "U8", [len(png)], png)], colors="linear", up="y")
    yield "texels", scene(material(0), [("texture.0", "U8", [2, 2, 4], bytes(range(16)))], missing="a.png")
    yield "texture_elsewhere", scene(material(0), **{"texture.0": "../box.png"})
    yield "glass", scene(material(-1) + material(-1, 1))
    yield "error", scene(b"", error="it holds no triangle")
    yield "refused", scene(b"", refused="a.bin: it is no file")


def main():
    for folder, part in (("pickle", pickles), ("zip", zips), ("document", documents), ("config", configs),
                         ("transforms", transforms), ("colmap", colmaps), ("list", lists), ("manifest", manifests), ("mesh", scenes)):
        os.makedirs(os.path.join(OUT, folder), exist_ok=True)
        for what, data in part():
            with open(os.path.join(OUT, folder, what), "wb") as f:
                f.write(data)
    os.makedirs(os.path.join(OUT, "field"), exist_ok=True)
    with open(os.path.join(OUT, "field", "tiny"), "wb") as f:
        f.write(tiny_field())


if __name__ == "__main__":
    main()
