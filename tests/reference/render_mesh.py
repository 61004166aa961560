#!/usr/bin/python3
"""render_mesh.py - pf-render-mesh against the pictures and depth maps of the set realset.

    apt-get download sweethome3d-furniture && dpkg -x sweethome3d-furniture_*.deb DIR
    tests/reference/render_mesh.py REALSET DIR [NAME...]

REALSET holds open/NAME/meta.json, e30.png ... and tools/objview.c, whose depth maps are the truth.
A line for each object: the intersection over union of the alphas of 64 views (soft: sums of minima
over sums of maxima; hard: both at least 0.5), the PSNR of the pictures over white, and of the depth
maps, where both see something, the mean difference, the share of pixels off by more than 0.002, and
the IoU of their pixels.  Polygons of the files that are not flat may be cut into triangles along
another diagonal than the set's renderer does it; so the same three figures stand there once more for
the set's own triangles, as a PLY.  Exits with 1 unless every IoU of alphas is at least 0.99, every
mean at most 0.002, and of the set's own triangles no more than one pixel of 10^5 off by more than
0.002."""
import ctypes as C
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
from PIL import Image

BIN = os.environ.get("BIN", os.path.join(os.path.dirname(__file__), "../../build/bin"))
STRIPS = {30: "e30.png", 0: "e0.png", 60: "e60.png", -20: "em20.png"}


def tensor(stream, name, index):
    out = subprocess.run([f"{BIN}/pf-stream", "get", "--index", str(index), name, stream],
                         check=True, stdout=subprocess.PIPE).stdout
    with tempfile.TemporaryFile() as f:
        f.write(out)
        f.seek(0)
        return np.load(f)


def objview(realset, work):
    """The set's own renderer; its folder is read-only, so it is compiled in a copy."""
    for name in ("objview.c", "objview.py"):
        shutil.copy(f"{realset}/tools/{name}", work)
    subprocess.run(["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", f"{work}/libobjview.so",
                    f"{work}/objview.c", "-lm"], check=True, stderr=subprocess.DEVNULL)
    sys.path.insert(0, work)
    import objview as module
    return module


def strip(path):
    a = np.asarray(Image.open(path).convert("RGBA")).astype(float)
    views = np.stack(np.split(a, 16, axis=1))
    alpha = views[..., 3:] / 255
    return views[..., :3] * alpha + 255 * (1 - alpha), alpha[..., 0]


def write_ply(path, points):
    """points [triangles, 9]"""
    v = np.ascontiguousarray(points, "<f4").reshape(-1, 3)
    f = np.zeros(len(points), [("corners", "u1"), ("index", "<u4", 3)])
    f["corners"], f["index"] = 3, np.arange(len(v)).reshape(-1, 3)
    with open(path, "wb") as out:
        out.write(("ply\nformat binary_little_endian 1.0\n" + f"element vertex {len(v)}\n" +
                   "".join(f"property float {axis}\n" for axis in "xyz") +
                   f"element face {len(f)}\nproperty list uchar int vertex_indices\nend_header\n").encode())
        out.write(v.tobytes() + f.tobytes())


class Depths:
    """How far depth maps are off where both see something."""
    def __init__(self):
        self.off, self.both, self.either = [], 0, 0

    def add(self, true, made):
        both = (true > 0) & (made > 0)
        self.off.append(np.abs(true - made)[both])
        self.both += both.sum()
        self.either += ((true > 0) | (made > 0)).sum()

    def figures(self):
        off = np.concatenate(self.off)
        return off.mean(), (off > .002).mean(), self.both / self.either


def render(stream, *args):
    subprocess.run([f"{BIN}/pf-render-mesh", "-q", "-d", "cpu", "-o", stream, "--elevation",
                    ",".join(map(str, STRIPS)), *args], check=True)


def check(realset, src, work, ov, name):
    meta = json.load(open(f"{realset}/open/{name}/meta.json"))
    lib, model = meta["source"].split("/", 1)
    stream, same, ply = f"{work}/views.pf", f"{work}/same.pf", f"{work}/same.ply"
    render(stream, "--yaw", str(meta["yaw_deg"]), "--scale", str(meta["fit_scale"]), f"{src}/{meta['source']}")
    truth = ov.Object({"lib": lib, "model": "/" + model}, np.deg2rad(meta["yaw_deg"]))
    write_ply(ply, truth.p)
    render(same, "--keep-frame", ply)
    hard, soft, square, of_file, of_same = np.zeros(2), np.zeros(2), [], Depths(), Depths()
    for k, (elevation, file) in enumerate(STRIPS.items()):
        rgb, alpha = strip(f"{realset}/open/{name}/{file}")
        got = tensor(stream, "views.alpha", k)
        depth, same_depth = tensor(stream, "views.depth", k), tensor(same, "views.depth", k)
        square.append(np.mean((tensor(stream, "views.image", k).astype(float) - rgb) ** 2))
        hard += ((got >= .5) & (alpha >= .5)).sum(), ((got >= .5) | (alpha >= .5)).sum()
        soft += np.minimum(got, alpha).sum(), np.maximum(got, alpha).sum()
        for n in range(16):
            z, _ = ov.depth(truth, *ov.pose(elevation, 2 * np.pi * n / 16), 280, 128, 0, 256)
            of_file.add(z, depth[n])
            of_same.add(z, same_depth[n])
    row = (hard[0] / hard[1], soft[0] / soft[1], 10 * np.log10(255 ** 2 / np.mean(square)),
           *of_file.figures(), *of_same.figures())
    print("\t".join([name] + [f"{v:.5f}" for v in row]), flush=True)
    return min(row[0], row[1]) >= .99 and row[3] <= .002 and row[7] <= 1e-5


def main():
    realset, package, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work:
        os.environ["SH3D_SRC"] = src = f"{work}/src"
        for lib in glob.glob(f"{package}/**/*.sh3f", recursive=True):
            zipfile.ZipFile(lib).extractall(f"{src}/{os.path.basename(lib)[:-5]}")
        ov = objview(realset, work)
        print("object\tIoU\tsoft_IoU\tPSNR\tdepth\tover_0.002\tdepth_IoU\tsame_depth\tsame_over_0.002\tsame_IoU")
        good = [check(realset, src, work, ov, n) for n in names or sorted(os.listdir(f"{realset}/open"))]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
