#!/usr/bin/env python3
"""make_box.py - tests/data/mesh: a box of 1 x 0.6 x 0.4 with a colour on each side, one of them a
texture, in every format that pf-render-mesh reads.  box.dae is what Debian's assimp makes of box.obj:

    tests/data/make_box.py && cd tests/data/mesh && assimp export box.obj box.dae -f collada

Its binary FBX it cannot read itself (5.2.5), so box.fbx is written here, as text."""
import base64
import json
import os
import struct
import zlib

SIZE = (1.0, 0.6, 0.4)
# Outward axis, sign and sRGB colour; +z, the front, has the texture.
SIDES = [(0, 1, (255, 0, 0)), (0, -1, (0, 255, 0)), (1, 1, (0, 0, 255)), (1, -1, (255, 255, 0)),
         (2, 1, None), (2, -1, (0, 255, 255))]
TEXELS = [(255, 255, 255), (0, 0, 0), (128, 128, 128), (255, 0, 255)]      # 2 x 2, from the top left


def png(width, height, rgb):
    rows = b"".join(b"\0" + bytes(sum(rgb[y * width:(y + 1) * width], ())) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def corners(axis, sign):
    """Of a side, counter-clockwise from outside, the first at u = v = 0; v is upwards."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    out = []
    for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        p = [0.0] * 3
        p[axis], p[u], p[v] = sign * SIZE[axis] / 2, sign * s * SIZE[u] / 2, t * SIZE[v] / 2
        out.append(p)
    return out


UV = ((0, 0), (1, 0), (1, 1), (0, 1))


def linear(byte):
    v = byte / 255
    return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4


def obj():
    text, mtl = ["mtllib box.mtl"], []
    for i, (axis, sign, color) in enumerate(SIDES):
        text += ["v %g %g %g" % tuple(p) for p in corners(axis, sign)]
        text += ["vt %d %d" % t for t in UV]
        text += [f"usemtl side{i}", "f " + " ".join(f"{4 * i + k}/{4 * i + k}" for k in range(1, 5))]
        mtl += [f"newmtl side{i}", "Kd %g %g %g" % tuple(c / 255 for c in color or (255,) * 3)]
        mtl += [] if color else ["map_Kd box.png"]
    open("box.obj", "w").write("\n".join(text) + "\n")
    open("box.mtl", "w").write("\n".join(mtl) + "\n")


def ply():
    """Without the texture: that side is white."""
    text = ["ply", "format ascii 1.0", "element vertex 24"]
    text += [f"property float {k}" for k in "xyz"] + [f"property uchar {k}" for k in ("red", "green", "blue")]
    text += ["element face 6", "property list uchar int vertex_indices", "end_header"]
    for axis, sign, color in SIDES:
        text += ["%g %g %g %d %d %d" % (*p, *(color or (255,) * 3)) for p in corners(axis, sign)]
    text += ["4 %d %d %d %d" % tuple(range(4 * i, 4 * i + 4)) for i in range(6)]
    open("box.ply", "w").write("\n".join(text) + "\n")


def stl():
    out = b"box".ljust(80) + struct.pack("<I", 12)
    for axis, sign, _ in SIDES:
        p, n = corners(axis, sign), [0.0] * 3
        n[axis] = sign
        for t in ((0, 1, 2), (0, 2, 3)):
            out += struct.pack("<12fH", *n, *(x for k in t for x in p[k]), 0)
    open("box.stl", "wb").write(out)


def gltf():
    position = b"".join(struct.pack("<3f", *p) for a, s, _ in SIDES for p in corners(a, s))
    uv = b"".join(struct.pack("<2f", u, 1 - v) for _ in SIDES for u, v in UV)       # v downwards
    index = b"".join(struct.pack("<6H", *(4 * i + k for k in (0, 1, 2, 0, 2, 3))) for i in range(6))
    picture = png(2, 2, TEXELS)
    data = position + uv + index + picture
    ends = [0, 288, 480, 552, 552 + len(picture)]
    material = [{"pbrMetallicRoughness": {"baseColorFactor": [linear(c) for c in color] + [1]} if color
                 else {"baseColorTexture": {"index": 0}}} for _, _, color in SIDES]
    scene = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2 + i,
                                    "material": i} for i in range(6)]}],
        "materials": material, "textures": [{"source": 0, "sampler": 0}], "samplers": [{}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "bufferViews": [{"buffer": 0, "byteOffset": a, "byteLength": b - a} for a, b in zip(ends, ends[1:])],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 24, "type": "VEC3",
                       "min": [-s / 2 for s in SIZE], "max": [s / 2 for s in SIZE]},
                      {"bufferView": 1, "componentType": 5126, "count": 24, "type": "VEC2"}] +
                     [{"bufferView": 2, "byteOffset": 12 * i, "componentType": 5123, "count": 6,
                       "type": "SCALAR"} for i in range(6)]}
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    whole = dict(scene, buffers=[{"byteLength": len(data), "uri": uri}])
    open("box.gltf", "w").write(json.dumps(whole) + "\n")
    text = json.dumps(dict(scene, buffers=[{"byteLength": len(data)}])).encode()
    text += b" " * (-len(text) % 4)
    data += b"\0" * (-len(data) % 4)
    open("box.glb", "wb").write(struct.pack("<III", 0x46546C67, 2, 28 + len(text) + len(data)) +
                                struct.pack("<II", len(text), 0x4E4F534A) + text +
                                struct.pack("<II", len(data), 0x004E4942) + data)


def fbx():
    """z upwards, as GlobalSettings says: x, y, z of the others are y, z, x here."""
    out = ["; FBX 7.3.0 project file", "FBXHeaderExtension:  {", "  FBXHeaderVersion: 1003", "  FBXVersion: 7300", "}",
           "GlobalSettings:  {", "  Version: 1000", "  Properties70:  {"]
    out += [f'    P: "{n}", "int", "Integer", "",{v}' for n, v in
            (("UpAxis", 2), ("UpAxisSign", 1), ("FrontAxis", 1), ("FrontAxisSign", -1), ("CoordAxis", 0), ("CoordAxisSign", 1))]
    out += ['    P: "UnitScaleFactor", "double", "Number", "",1', "  }", "}", "Objects:  {"]
    links = []
    for i, (axis, sign, color) in enumerate(SIDES):
        points = ",".join("%g,%g,%g" % (p[2], p[0], p[1]) for p in corners(axis, sign))
        uv = ",".join("%d,%d" % t for t in UV)
        out += [f'  Geometry: {100 + i}, "Geometry::side{i}", "Mesh" {{', f"    Vertices: *12 {{ a: {points} }}",
                "    PolygonVertexIndex: *4 { a: 0,1,2,-4 }",
                "    LayerElementUV: 0 {", '      Name: "map"', '      MappingInformationType: "ByPolygonVertex"',
                '      ReferenceInformationType: "Direct"', f"      UV: *8 {{ a: {uv} }}", "    }",
                "    LayerElementMaterial: 0 {", '      MappingInformationType: "AllSame"',
                '      ReferenceInformationType: "IndexToDirect"', "      Materials: *1 { a: 0 }", "    }",
                "    Layer: 0 {", '      LayerElement:  { Type: "LayerElementUV" TypedIndex: 0 }',
                '      LayerElement:  { Type: "LayerElementMaterial" TypedIndex: 0 }', "    }", "  }",
                f'  Model: {200 + i}, "Model::side{i}", "Mesh" {{', "    Version: 232", "  }",
                f'  Material: {300 + i}, "Material::side{i}", "" {{', '    ShadingModel: "lambert"', "    Properties70:  {",
                '      P: "DiffuseColor", "Color", "", "A",%g,%g,%g' % tuple(c / 255 for c in color or (255,) * 3),
                "    }", "  }"]
        links += [(200 + i, 0), (100 + i, 200 + i), (300 + i, 200 + i)]
    out += ['  Texture: 400, "Texture::box", "" {', '    FileName: "box.png"', '    RelativeFilename: "box.png"', "  }", "}",
            "Connections:  {"]
    out += [f'  C: "OO",{a},{b}' for a, b in links] + ['  C: "OP",400,304, "DiffuseColor"', "}"]
    open("box.fbx", "w").write("\n".join(out) + "\n")


os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mesh"))
open("box.png", "wb").write(png(2, 2, TEXELS))
obj()
ply()
stl()
gltf()
fbx()
