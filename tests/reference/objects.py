#!/usr/bin/python3
"""The demo's procedural objects: a seed gives a shape, its views, its mesh.

The family is turned and stacked things: one to three solids on the z axis (rounded box, cylinder, frustum,
sphere, torus), each in one colour of a palette and perhaps with a band of another; sometimes a ring-shaped
handle on one side or two ears, always in the plane that faces the photo's camera.  So one view mostly determines
the object.  The longest edge of its bounding box is 1 (a rounded frustum's rim may stay a little
inside) and its centre is the origin.

    objects.py --seed N --out DIR [--size 128] [--elevation-in 20] [--elevation 30]

writes photo.png (RGBA), 000.png ... 015.png (true views, RGBA), strip.png (16 views side by side on white) and
mesh.ply.  objects.c does the arithmetic and is compiled at the first use."""
import argparse
import ctypes
import hashlib
import os
import subprocess
import sys
import tempfile

import numpy as np

KINDS = BOX, CYLINDER, CONE, SPHERE, TORUS, RING, CAPSULE = range(7)
PARAMS, MOST = 20, 5         # numbers of a solid; solids of an object, at most
PALETTE = np.array([[0.85, 0.16, 0.14], [0.95, 0.55, 0.12], [0.96, 0.83, 0.20], [0.25, 0.62, 0.24], [0.12, 0.60, 0.62],
                    [0.16, 0.32, 0.75], [0.50, 0.22, 0.62], [0.93, 0.52, 0.66], [0.45, 0.28, 0.16], [0.30, 0.30, 0.33],
                    [0.78, 0.74, 0.66]], np.float32)
PHOTO_SEED = 1 << 20        # photos and evaluation use seeds from here on, training those below


c_float, int64 = ctypes.c_float, ctypes.c_int64


def library(source, compiler):
    """A C file of this folder as a shared library, compiled once for each version of it."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), source)
    with open(here, 'rb') as f:
        name = 'pf-%s-%s.so' % (source[:-2], hashlib.sha256(f.read() + ' '.join(compiler).encode()).hexdigest()[:16])
    cache = os.path.join(os.environ.get('XDG_CACHE_HOME', os.path.expanduser('~/.cache')), 'posefusion')
    try:
        os.makedirs(cache, exist_ok=True)
    except OSError:
        cache = tempfile.mkdtemp(prefix='posefusion-')
    path = os.path.join(cache, name)
    if not os.path.exists(path):
        part = '%s.%d' % (path, os.getpid())
        subprocess.run([*compiler, '-o', part, here, '-lm'], check=True)
        os.rename(part, path)
    return ctypes.CDLL(path)


CPU = ('gcc', '-O3', '-march=native', '-ffast-math', '-fopenmp', '-shared', '-fPIC')
GPU = ('nvcc', '-x', 'cu', '-O3', '-arch=native', '--use_fast_math', '-shared', '-Xcompiler', '-fPIC')
_libraries = {}


def library_once(file, compiler):
    if (file, compiler) not in _libraries:
        _libraries[file, compiler] = library(file, compiler)
    return _libraries[file, compiler]


def call(name, *args, file='objects.c', compiler=CPU):
    """A C function; arrays go as pointers."""
    f = getattr(library_once(file, compiler), name)
    return f(*[a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in args])


def solid(kind, centre, size, rng, colour, round_=0.0, yaw=0.0, band=None):
    s = np.zeros(PARAMS, np.float32)
    s[:9] = [kind, *centre, *size, round_, yaw]
    s[9:12] = s[12:15] = np.clip(PALETTE[colour] + rng.uniform(-0.04, 0.04, 3), 0, 1)
    s[16] = -1
    if band:
        s[12:15], s[15], s[16] = PALETTE[band[0]], band[1], band[2]
    return s


def half_sizes(s):
    """Half extents of a solid's bounding box."""
    a, b, c, yaw = s[4], s[5], s[6], s[8]
    turned = abs(np.cos(yaw)) + abs(np.sin(yaw))
    return {BOX: (a * turned, a * turned, c), CYLINDER: (a, a, c), CONE: (max(a, b), max(a, b), c), SPHERE: (a, a, a),
            TORUS: (a + b, a + b, b), RING: (b, a + b, a + b), CAPSULE: (b, a + b, c + b)}[int(s[0])]


def stacked(rng, z, width, colour, band_colour):
    """One solid standing at height z: the solid, the height where the next one may stand, its top's half width."""
    kind = rng.choice([BOX, CYLINDER, CONE, SPHERE, TORUS], p=[0.24, 0.22, 0.26, 0.18, 0.10])
    h = rng.uniform(0.12, 0.40)
    banded = rng.random() < 0.3
    if kind == SPHERE:
        r = max(0.7 * width, 0.12)
        low = 0.12 * r                                          # sunk a little, so that it stands firmly
        return solid(kind, (0, 0, z + r - low), (r, 0, 0), rng, colour, 0, 0,
                     (band_colour, 0.0, 0.22 * r) if banded else None), z + 1.8 * r - low, 0.45 * r
    if kind == TORUS:
        tube = min(rng.uniform(0.08, 0.14), 0.5 * width)
        return solid(kind, (0, 0, z + 0.85 * tube), (width - tube, tube, 0), rng, colour), z + 1.4 * tube, width - tube
    band = (band_colour, rng.uniform(-0.4, 0.4) * h, rng.uniform(0.15, 0.3) * h) if banded else None
    if kind == CONE:
        top = width * rng.uniform(0.3, 0.7)
        a, b = (width, top) if rng.random() < 0.7 else (top, width)
        return solid(kind, (0, 0, z + h), (a, b, h), rng, colour, 0.02, 0, band), z + 2 * h, b
    yaw = rng.choice([0, np.pi / 4]) if kind == BOX else 0
    a = 0.85 * width if kind == BOX else width
    return solid(kind, (0, 0, z + h), (a, a, h), rng, colour, rng.uniform(0.01, 0.06), yaw, band), z + 2 * h, a


def solids(seed):
    """The object of a seed: [count, PARAMS] float32, normalised."""
    rng = np.random.default_rng([6033, seed])
    colours = rng.permutation(len(PALETTE))
    parts, z, width = [], 0.0, rng.uniform(0.25, 0.5)
    for k in range(rng.choice([1, 2, 3], p=[0.2, 0.45, 0.35])):
        s, z, top = stacked(rng, z, width, colours[k], colours[k + 3])
        parts.append(s)
        width = np.clip(top * rng.uniform(0.55, 1.25), 0.1, 0.5)
    body = max(parts, key=lambda s: half_sizes(s)[2])
    side, h = half_sizes(body)[1], half_sizes(body)[2]
    extra = rng.random()
    if extra < 0.18 and h > 0.1:                                # a handle, left or right
        ring = min(0.6 * h, 0.2)
        parts.append(solid(RING, (0, rng.choice([-1, 1]) * 0.95 * side, body[3]), (ring, 0.26 * ring, 0), rng, colours[6]))
    elif extra < 0.36 and h > 0.1:                              # two ears or arms
        r = rng.uniform(0.25, 0.4) * h
        for sign in (-1, 1):
            parts.append(solid(SPHERE, (0, sign * (side + 0.3 * r), body[3] + 0.4 * h), (r, 0, 0), np.random.default_rng(seed),
                               colours[6]))
    parts = np.stack(parts)
    half = np.array([half_sizes(s) for s in parts])
    low, high = (parts[:, 1:4] - half).min(0), (parts[:, 1:4] + half).max(0)
    scale = 1 / (high - low).max()
    parts[:, 1:4] = (parts[:, 1:4] - (low + high) / 2) * scale
    parts[:, [4, 5, 6, 7, 15]] *= scale
    parts[:, 16] *= np.where(parts[:, 16] > 0, scale, 1)
    return np.ascontiguousarray(parts, np.float32)


def poses(elevations, azimuths):
    """World to camera [n, 3, 4] for angles in radians (cameras.md, 1)."""
    e, a = np.broadcast_arrays(np.asarray(elevations, np.float64), np.asarray(azimuths, np.float64))
    se, ce, sa, ca, o = np.sin(e), np.cos(e), np.sin(a), np.cos(a), np.zeros_like(e)
    rows = [[-sa, ca, o, o], [se * ca, se * sa, -ce, o], [-ce * ca, -ce * sa, -se, o + 1.5]]
    return np.moveaxis(np.array(rows), -1, 0)


AZIMUTHS = np.arange(16) * 2 * np.pi / 16


def render(seed, elevation, azimuths=AZIMUTHS, size=128, samples=3):
    """Views of an object: RGBA in 0..1, [n, size, size, 4], straight alpha.  seed may also be solids; radians."""
    parts = solids(seed) if np.ndim(seed) == 0 else seed
    cameras = np.ascontiguousarray(poses(elevation, azimuths), np.float32)
    out = np.empty((len(cameras), size, size, 4), np.float32)
    call('objects_render', out, parts, len(parts), cameras, len(cameras), c_float(280 * size / 256), size, samples)
    return out


def on_white(rgba):
    return rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]


def sdf(seed, points, colours=False):
    """Signed distance of points [n, 3] and, if wanted, the colours of the nearest solid."""
    parts = solids(seed) if np.ndim(seed) == 0 else seed
    points = np.ascontiguousarray(points, np.float32)
    dist, rgb = np.empty(len(points), np.float32), np.empty((len(points), 3), np.float32)
    call('objects_query', dist, rgb, parts, len(parts), points, int64(len(points)))
    return (dist, rgb) if colours else dist


# The six tetrahedra of a cube around its diagonal 0-7 (corner = x + 2 y + 4 z).
TETRAHEDRA = np.array([[0, 1, 3, 7], [0, 3, 2, 7], [0, 2, 6, 7], [0, 6, 4, 7], [0, 4, 5, 7], [0, 5, 1, 7]])


def isosurface(values, low, high):
    """Zero level of values [n, n, n] on a grid over [low, high]^3 (axes x, y, z) as a closed welded mesh of outward
    triangles, by marching tetrahedra."""
    n = values.shape[0]
    v = values.reshape(-1).astype(np.float64)
    i = np.arange(n - 1)
    base = ((i[:, None, None] * n + i[:, None]) * n + i).reshape(-1)
    corner = np.array([((c & 1) * n + (c >> 1 & 1)) * n + (c >> 2 & 1) for c in range(8)])
    inside = np.stack([v[base + c] < 0 for c in corner], 1)
    base = base[inside.any(1) & ~inside.all(1)]
    tets = (base[:, None, None] + corner[TETRAHEDRA]).reshape(-1, 4)
    edges = []                                                  # triangles as pairs of grid nodes [t, 3, 2]
    order = np.argsort(v[tets] >= 0, axis=1, kind='stable')     # inside corners first
    tets, count = np.take_along_axis(tets, order, 1), (v[tets] < 0).sum(1)
    for k, triangles in {1: [[(0, 1), (0, 2), (0, 3)]], 3: [[(3, 0), (3, 1), (3, 2)]],
                         2: [[(0, 2), (0, 3), (1, 3)], [(0, 2), (1, 3), (1, 2)]]}.items():
        t = tets[count == k]
        edges += [np.stack([t[:, list(e)] for e in triangle], 1) for triangle in triangles]
    edges = np.sort(np.concatenate(edges), axis=2)
    keys, faces = np.unique(edges[..., 0] * n ** 3 + edges[..., 1], return_inverse=True)
    faces = faces.reshape(-1, 3)
    a, b = keys // n ** 3, keys % n ** 3
    f = (v[a] / (v[a] - v[b]))[:, None]
    at = [np.stack([x // (n * n), x // n % n, x % n], 1) for x in (a, b)]
    points = low + (at[0] * (1 - f) + at[1] * f) * (high - low) / (n - 1)
    corners = points[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # An outward normal points from each crossed edge's inside node to its outside node.
    out = np.where((v[a] < 0)[:, None], at[1] - at[0], at[0] - at[1])[faces].sum(1)
    flip = (normal * out).sum(1) < 0
    faces[flip] = faces[flip][:, ::-1]
    return points, faces[(np.abs(normal).sum(1) > 0)]


def mesh(seed, resolution=128):
    """The object's surface: vertices [n, 3], faces [m, 3], colours [n, 3] in 0..1."""
    parts = solids(seed)
    axis = np.linspace(-0.56, 0.56, resolution)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing='ij'), -1).reshape(-1, 3)
    values = sdf(parts, grid).reshape(resolution, resolution, resolution)
    vertices, faces = isosurface(values, -0.56, 0.56)
    return vertices, faces, sdf(parts, vertices, colours=True)[1]


def write_ply(path, vertices, faces, colours):
    head = 'ply\nformat binary_little_endian 1.0\nelement vertex %d\nproperty float x\nproperty float y\nproperty float z\n' \
           'property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\nelement face %d\n' \
           'property list uchar int vertex_indices\nend_header\n' % (len(vertices), len(faces))
    v = np.empty(len(vertices), [('p', '<f4', 3), ('c', 'u1', 4)])
    v['p'], v['c'] = vertices, 255
    v['c'][:, :3] = np.clip(colours * 255, 0, 255)
    f = np.empty(len(faces), [('n', 'u1'), ('i', '<i4', 3)])
    f['n'], f['i'] = 3, faces
    with open(path, 'wb') as out:
        out.write(head.encode() + v.tobytes() + f.tobytes())


def to_bytes(image):
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def main():
    from PIL import Image
    p = argparse.ArgumentParser(description='Write a procedural object: photo, true views, mesh.')
    p.add_argument('--seed', type=int, required=True)
    p.add_argument('--out', required=True, metavar='DIR')
    p.add_argument('--size', type=int, default=128, help='side of the true views (default %(default)s)')
    p.add_argument('--photo-size', type=int, default=256, help='side of the photo (default %(default)s)')
    p.add_argument('--elevation-in', type=float, default=20, help='of the photo, degrees (default %(default)s)')
    p.add_argument('--elevation', type=float, default=30, help='of the views, degrees (default %(default)s)')
    p.add_argument('--resolution', type=int, default=128, help="the mesh's grid (default %(default)s)")
    o = p.parse_args()
    os.makedirs(o.out, exist_ok=True)
    photo = render(o.seed, np.deg2rad(o.elevation_in), [0.0], o.photo_size, 4)[0]
    Image.fromarray(to_bytes(photo)).save(os.path.join(o.out, 'photo.png'))
    views = render(o.seed, np.deg2rad(o.elevation), AZIMUTHS, o.size, 4)
    for k, view in enumerate(views):
        Image.fromarray(to_bytes(view)).save(os.path.join(o.out, '%03d.png' % k))
    Image.fromarray(np.concatenate(list(to_bytes(on_white(views))), 1)).save(os.path.join(o.out, 'strip.png'))
    write_ply(os.path.join(o.out, 'mesh.ply'), *mesh(o.seed, o.resolution))


if __name__ == '__main__':
    sys.exit(main())
