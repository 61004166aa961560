"""Check a GLB or OBJ with a texture, or a PLY or GLB without: python3 meshes.py MESH [normals], one
sentence and status 1 if anything is wrong.  Reads the formats by their specifications, with nothing of pf-extract-mesh."""
import json
import math
import os
import struct
import sys
import zlib


def need(true, what):
    if not true:
        sys.exit(f"{sys.argv[1]}: {what}")


def png(data):
    """Width, height and rows of an RGB picture."""
    need(data[:8] == b"\x89PNG\r\n\x1a\n", "a picture is no PNG")
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        need(struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body), "a PNG's CRC")
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", body[:10])
            need((depth, color) == (8, 2), "a picture is not RGB of 8 bits")
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    raw, rows, before = zlib.decompress(packed), [], bytearray(3 * width)
    for y in range(height):
        kind, row = raw[y * (3 * width + 1)], bytearray(raw[y * (3 * width + 1) + 1:(y + 1) * (3 * width + 1)])
        for x in range(3 * width):
            a, b, c = (row[x - 3] if x > 2 else 0), before[x], (before[x - 3] if x > 2 else 0)
            paeth = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[x] = (row[x] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
        rows.append(row)
        before = row
    return width, height, rows


def read_glb(path):
    data = open(path, "rb").read()
    magic, version, total, size, kind = struct.unpack("<4sIIII", data[:20])
    need(magic == b"glTF" and version == 2 and total == len(data) and kind == 0x4E4F534A, "the GLB's header")
    root, rest = json.loads(data[20:20 + size]), data[20 + size:]
    size, kind = struct.unpack("<II", rest[:8])
    need(kind == 0x004E4942 and size == len(rest) - 8 and size % 4 == 0, "the binary chunk")
    need(root["buffers"] == [{"byteLength": size}], "the buffer")
    end = 0
    for view in root["bufferViews"]:
        need(view["byteOffset"] % 4 == 0 and end <= view["byteOffset"], "a view overlaps or is not aligned")
        end = view["byteOffset"] + view["byteLength"]
    need(end <= size, "a view goes beyond the buffer")

    def part(n):
        view = root["bufferViews"][n]
        return rest[8 + view["byteOffset"]:8 + view["byteOffset"] + view["byteLength"]]

    def values(n):
        accessor = root["accessors"][n]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        flat = struct.unpack("<%d%s" % (accessor["count"] * width, {5126: "f", 5125: "I", 5123: "H"}[accessor["componentType"]]),
                             part(accessor["bufferView"]))
        return [flat[i:i + width] for i in range(0, len(flat), width)]

    one = root["meshes"][0]["primitives"][0]
    has = {k: values(n) for k, n in one["attributes"].items()}
    index = [i for (i,) in values(one["indices"])]
    low, high = (tuple(f(p[k] for p in has["POSITION"]) for k in range(3)) for f in (min, max))
    accessor = root["accessors"][one["attributes"]["POSITION"]]
    need(max(abs(a - b) for a, b in zip(low + high, accessor["min"] + accessor["max"])) < 1e-6, "the bounds")
    material = root["materials"][one["material"]]
    plain = material["pbrMetallicRoughness"]
    pictures = [plain["baseColorTexture"]] if "baseColorTexture" in plain else []
    pictures += [material["normalTexture"]] if "normalTexture" in material else []
    images = [root["images"][root["textures"][p["index"]]["source"]] for p in pictures]
    need(all(i["mimeType"] == "image/png" for i in images), "a picture's type")
    return has, index, [png(part(i["bufferView"])) for i in images]


def read_ply(path):
    head, body = open(path, "rb").read().split(b"end_header\n", 1)
    n = {line.split()[1]: int(line.split()[2]) for line in head.split(b"\n") if line.startswith(b"element")}
    at = [struct.unpack_from("<6f4B", body, 28 * i) for i in range(n[b"vertex"])]
    face = [struct.unpack_from("<B3i", body, 28 * n[b"vertex"] + 13 * i) for i in range(n[b"face"])]
    need(len(body) == 28 * n[b"vertex"] + 13 * n[b"face"] and all(f[0] == 3 for f in face), "the PLY's size")
    return {"POSITION": [p[:3] for p in at], "NORMAL": [p[3:6] for p in at]}, [i for f in face for i in f[1:]], []


def read_obj(path):
    """As a GLB's, a vertex for each corner of a face."""
    lists, faces, material = {"v": [], "vt": [], "vn": []}, [], {}
    folder = os.path.dirname(path)
    for line in open(path):
        word, *rest = line.split()
        if word in lists:
            lists[word].append(tuple(map(float, rest)))
        elif word == "f":
            faces += [tuple(int(i) - 1 for i in corner.split("/")) for corner in rest]
        elif word == "mtllib":
            for row in open(os.path.join(folder, rest[0])):
                material.update([row.split()] if len(row.split()) == 2 else [])
    has = {"POSITION": [lists["v"][a] for a, b, c in faces], "NORMAL": [lists["vn"][c] for a, b, c in faces],
           "TEXCOORD_0": [(lists["vt"][b][0], 1 - lists["vt"][b][1]) for a, b, c in faces]}
    names = [material[k] for k in ("map_Kd", "norm") if k in material]
    return has, list(range(len(faces))), [png(open(os.path.join(folder, n), "rb").read()) for n in names]


def main():
    path, normals = sys.argv[1], "normals" in sys.argv[2:]
    has, index, pictures = {".glb": read_glb, ".obj": read_obj, ".ply": read_ply}[path[-4:]](path)
    position, normal, uv = has["POSITION"], has["NORMAL"], has.get("TEXCOORD_0", [])
    need(len({len(v) for v in has.values()}) == 1 and max(index) < len(position), "the vertices")
    need(len(pictures) == bool(uv) + normals, "the number of pictures")
    need(all(abs(math.hypot(*n) - 1) < 1e-4 for n in normal), "a normal is not unit")
    need(all(0 <= u <= 1 and 0 <= v <= 1 for u, v in uv), "a texture coordinate")
    edges = {}
    for i in range(0, len(index), 3):
        corner = [position[k] for k in index[i:i + 3]]
        for k in range(3):
            edge = (corner[k], corner[(k + 1) % 3])
            edges[edge] = edges.get(edge, 0) + 1
    need(all(n == 1 and edges.get((b, a)) == 1 for (a, b), n in edges.items()), "the surface is not closed")
    if "TANGENT" in has:
        for n, t in zip(normal, has["TANGENT"]):
            need(abs(math.hypot(*t[:3]) - 1) < 1e-4 and abs(sum(map(lambda a, b: a * b, n, t))) < 1e-4, "a tangent")
            need(t[3] == 1, "a chart is mirrored")
    need(("TANGENT" in has) == normals or path.endswith(".obj"), "the tangents")
    # A face goes to the right along the tangent: the picture's red and green are x and y of normals.
    for i in range(0, len(index), 3) if "TANGENT" in has else []:
        a, b, c = index[i:i + 3]
        for to in (b, c):
            du = uv[to][0] - uv[a][0]
            along = sum((position[to][k] - position[a][k]) * has["TANGENT"][a][k] for k in range(3))
            need(abs(du) < 0.02 or du * along > 0, "a tangent does not go to the right")
    for width, height, rows in pictures[1:]:
        for k in index:
            x, y = (min(int(t * s), s - 1) for t, s in zip(uv[k], (width, height)))
            v = [2 * c / 255 - 1 for c in rows[y][3 * x:3 * x + 3]]
            need(abs(math.hypot(*v) - 1) < 0.05 and v[2] > 0, "a texel's normal")
    # What the colours are where the script's camera looks, at the least y, and behind.
    for name, pick in (("front", min), ("back", max)) if pictures else []:
        width, height, rows = pictures[0]
        k = pick(index, key=lambda k: position[k][1])
        x, y = int(uv[k][0] * width), int(uv[k][1] * height)
        print(name, *rows[y][3 * x:3 * x + 3])


main()
