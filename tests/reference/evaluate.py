#!/usr/bin/python3
"""Measure views and meshes (evaluation.md), alone or through the whole pipeline.

    evaluate.py views TRUE MADE             PSNR and SSIM of two strips (N square views side by side) or images
    evaluate.py mesh TRUE.ply MADE.ply      Chamfer distance of the visible surfaces, volume IoU
    evaluate.py demo N [--bin build/bin]    photo -> views -> mesh with the built tools on N held-out objects
    evaluate.py true-views N                pf-neus on the true views of N held-out objects
    evaluate.py real DIR N                  as demo, on the first N real things of DIR (evaluation.md, 3)

demo, true-views and real print one row an object and the means."""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image
from scipy.ndimage import convolve1d
from scipy.spatial import cKDTree

import objects

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')


# ---- images (evaluation.md, 1) ----

def read_image(path):
    """RGB in 0..1 on white, [H, W, 3]."""
    a = np.asarray(Image.open(path)).astype(np.float64) / 255
    return a[..., :3] * a[..., 3:] + 1 - a[..., 3:] if a.shape[-1] == 4 else a


def psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


def ssim(made, true, frame=0):
    """torchmetrics' SSIM over the whole map, or without a frame of that many pixels."""
    span = max(np.ptp(made), np.ptp(true))
    g = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    blur = lambda x: convolve1d(convolve1d(x, g / g.sum(), axis=0, mode='mirror'), g / g.sum(), axis=1, mode='mirror')
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    ma, mb = blur(made), blur(true)
    va, vb = (np.maximum(blur(x * x) - m * m, 0) for x, m in ((made, ma), (true, mb)))
    s = (2 * ma * mb + c1) * (2 * (blur(made * true) - ma * mb) + c2) / ((ma ** 2 + mb ** 2 + c1) * (va + vb + c2))
    return s[frame:s.shape[0] - frame, frame:s.shape[1] - frame].mean()


def views_of(strip):
    """[H, N H, 3] -> [N, H, H, 3]."""
    h, w = strip.shape[:2]
    return np.stack(np.split(strip, w // h, 1)) if w > h else strip[None]


def compare_views(true, made):
    """Mean PSNR and SSIM over views [N, H, H, 3]."""
    return tuple(np.mean([f(m, t) for t, m in zip(true, made)]) for f in (psnr, ssim))


# ---- meshes (evaluation.md, 2) ----

TYPES = {'char': 'i1', 'uchar': 'u1', 'int8': 'i1', 'uint8': 'u1', 'short': '<i2', 'ushort': '<u2', 'int': '<i4', 'uint': '<u4',
         'int32': '<i4', 'uint32': '<u4', 'float': '<f4', 'float32': '<f4', 'double': '<f8', 'float64': '<f8'}


def read_ply(path):
    """Vertices [n, 3] and triangles [m, 3] of a binary little-endian PLY."""
    with open(path, 'rb') as f:
        data = f.read()
    head, body = data.split(b'end_header\n', 1)
    elements = []
    for line in head.decode().splitlines():
        w = line.split()
        if w[0] == 'element':
            elements.append((w[1], int(w[2]), []))
        elif w[0] == 'property':
            elements[-1][2].append(w[1:])
    at, vertices, faces = 0, None, None
    for name, count, properties in elements:
        if name == 'face':
            _, n, i, _ = properties[0]
            dtype = np.dtype([('n', TYPES[n]), ('i', TYPES[i], 3)])
            faces = np.frombuffer(body, dtype, count, at)['i'].astype(np.int32)
        else:
            dtype = np.dtype([(p[1], TYPES[p[0]]) for p in properties])
            if name == 'vertex':
                v = np.frombuffer(body, dtype, count, at)
                vertices = np.stack([v['x'], v['y'], v['z']], 1).astype(np.float32)
        at += count * dtype.itemsize
    return np.ascontiguousarray(vertices), np.ascontiguousarray(faces)


def visible_points(vertices, faces, elevation=30, size=256):
    """The surface as the 16 views of a rig see it, one point for each 0.01 voxel."""
    focal, points = 280 * size / 256, []
    for pose in objects.poses(np.deg2rad(elevation), objects.AZIMUTHS):
        depth, camera = np.empty((size, size), np.float32), np.ascontiguousarray(pose, np.float32)
        objects.call('mesh_depth', depth, vertices, faces, objects.int64(len(faces)), camera, objects.c_float(focal), size, file='evaluate.c')
        i, j = np.nonzero(depth)
        z = depth[i, j].astype(np.float64)
        # mesh_depth samples pixel (j, i) at (j + 0.5, i + 0.5) and takes it back without: both meshes alike (evaluation.md, 2).
        at = np.stack([(j - size / 2) * z / focal, (i - size / 2) * z / focal, z], 1)
        points.append((at - pose[:, 3]) @ pose[:, :3])
    points = np.concatenate(points)
    if not len(points):
        return points
    cell = np.floor((points - points.min(0)) / 0.01 + 0.5).astype(np.int64)
    _, index, count = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    return np.stack([np.bincount(index.reshape(-1), points[:, k]) / count for k in range(3)], 1)


def chamfer(a, b):
    return (cKDTree(b).query(a)[0].mean() + cKDTree(a).query(b)[0].mean()) / 2 if len(a) and len(b) else np.inf


def inside(vertices, faces, n=64):
    out = np.empty((n, n, n), np.uint8)
    objects.call('mesh_inside', out, vertices, faces, objects.int64(len(faces)), n, file='evaluate.c')
    return out.astype(bool)


def compare_meshes(true, made):
    """Chamfer distance and volume IoU of (vertices, faces)."""
    a, b = inside(*true), inside(*made)
    return chamfer(visible_points(*made), visible_points(*true)), (a & b).sum() / max(1, (a | b).sum())


# ---- the pipeline ----

def run(bin_, *stages):
    """Stages of a shell pipeline; each a list of words."""
    line = ' | '.join(' '.join([os.path.join(bin_, s[0])] + ["'%s'" % w for w in map(str, s[1:])]) for s in stages)
    start = time.time()
    subprocess.run(['bash', '-euo', 'pipefail', '-c', line], check=True)
    return time.time() - start


def true_mesh(seed):
    vertices, faces, _ = objects.mesh(seed, 160)
    return np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32)


def reconstruct(o, work, source, *first):
    """pf-mask, pf-neus, pf-extract-mesh -> mesh and the seconds of both."""
    field, ply = os.path.join(work, 'field.pf'), os.path.join(work, 'mesh.ply')
    neus = run(o.bin, [*first, source], ['pf-neus', '-q', '-c', o.neus, '-o', field])
    mesh = run(o.bin, ['pf-extract-mesh', '-q', '--resolution', o.resolution, '-o', ply, field])
    return read_ply(ply), neus, mesh


def held_out(n, first):
    """Seed, input elevation and target elevation (degrees) of the objects that measure."""
    for k in range(n):
        rng = np.random.default_rng([6033, 5, first + k])
        yield objects.PHOTO_SEED + 1000 + first + k, round(rng.uniform(-10, 40), 1), round(rng.uniform(-20, 70), 1)


def demo_row(o, work, seed, e_in, e_target, networks):
    photo, stream = os.path.join(work, 'photo.png'), os.path.join(work, 'views.pf')
    Image.fromarray(objects.to_bytes(objects.render(seed, np.deg2rad(e_in), [0.0], 256, 4)[0])).save(photo)
    seconds = run(o.bin, ['pf-crop', '-q', '--crop-size', '-1', '--size', o.size, '--input-elevation=%g' % e_in, photo],
                  ['pf-clip-embed', '-q', '-c', o.config, '-w', o.weights],
                  ['pf-sample', '-q', '-c', o.config, '-w', o.weights, '--target-elevation=%g' % e_target, *o.sample, '-o', stream])
    made = networks.read_safetensors(stream)[0]['views.image'].numpy() / 255
    true = objects.on_white(objects.render(seed, np.deg2rad(e_target), objects.AZIMUTHS, made.shape[1], 4))
    row = compare_views(true.astype(np.float64), made)
    if o.no_mesh:
        return (*row, np.nan, np.nan, seconds, 0)
    mesh, neus, _ = reconstruct(o, work, stream, 'pf-mask', '-q')
    return (*row, *compare_meshes(true_mesh(seed), mesh), seconds, neus)


def strip_at(path, size):
    """A strip of views at 256 pixels (a point at u = j is in the middle of pixel j) at half the side: colours on white
    [16, size, size, 3] and coverage [16, size, size]."""
    a = np.asarray(Image.open(path).convert('RGBA')).astype(np.float64) / 255
    views = views_of(np.concatenate([a[..., :3] * a[..., 3:] + 1 - a[..., 3:], a[..., 3:]], 2))
    assert views.shape[1] == 2 * size, path
    for axis in (1, 2):                                         # pixel j covers u = 2 j - 1 ... 2 j + 1 of the larger
        before = np.roll(views, 1, axis)
        views = (before / 4 + views / 2 + np.roll(views, -1, axis) / 4).take(range(0, 2 * size, 2), axis)
    return views[..., :3], views[..., 3]


def real_row(o, work, folder, networks):
    with open(os.path.join(folder, 'meta.json')) as f:
        e_in = json.load(f)['photo_elevation_deg']
    stream, masked = os.path.join(work, 'views.pf'), os.path.join(work, 'masked.pf')
    seconds = run(o.bin, ['pf-crop', '-q', '--crop-size', '-1', '--size', o.size, '--input-elevation=%g' % e_in, os.path.join(folder, 'photo.png')],
                  ['pf-clip-embed', '-q', '-c', o.config, '-w', o.weights],
                  ['pf-sample', '-q', '-c', o.config, '-w', o.weights, '--target-elevation=30', *o.sample, '-o', stream])
    run(o.bin, ['pf-mask', '-q', '-o', masked, stream])
    made = networks.read_safetensors(masked)[0]
    alpha, made = made['views.alpha'].numpy() > 0.5, networks.read_safetensors(stream)[0]['views.image'].numpy() / 255
    true, cover = strip_at(os.path.join(folder, 'e30.png'), o.size)
    iou = np.mean([(a & b).sum() / max(1, (a | b).sum()) for a, b in zip(alpha, cover > 0.5)])
    row = (*compare_views(true, made), iou, psnr(true, np.ones_like(true)))
    if o.no_mesh:
        return (*row, np.nan, np.nan, seconds)
    field, ply = os.path.join(work, 'field.pf'), os.path.join(work, 'mesh.ply')
    run(o.bin, ['pf-neus', '-q', '-c', o.neus, '-o', field, masked])
    run(o.bin, ['pf-extract-mesh', '-q', '--resolution', o.resolution, '-o', ply, field])
    measured = subprocess.run([sys.executable, os.path.join(folder, '..', '..', 'tools', 'eval_mesh.py'), os.path.join(folder, 'gt.npz'), ply],
                              check=True, capture_output=True, text=True).stdout.split()
    return (*row, float(measured[0]), float(measured[1]), seconds)


def real_table(o, work, networks):
    print('| thing | ' + ' | '.join(['PSNR dB', 'SSIM', 'mask IoU', 'white dB', 'Chamfer', 'IoU', 'views s']) + ' |\n' + '| ---' * 8 + ' |')
    folders = sorted(glob.glob(os.path.join(o.args[0], '*', '')))[o.first:o.first + int(o.args[1])]
    rows = []
    for folder in folders:
        rows.append(real_row(o, work, folder, networks))
        print('| %s | ' % os.path.basename(folder[:-1]) + ' | '.join('%.4g' % x for x in rows[-1]) + ' |', flush=True)
    print('| mean | ' + ' | '.join('%.4g' % x for x in np.mean(rows, 0)) + ' |')


def true_row(o, work, seed, e_target):
    strip = os.path.join(work, 'strip.png')
    views = objects.on_white(objects.render(seed, np.deg2rad(e_target), objects.AZIMUTHS, o.size, 4))
    Image.fromarray(np.concatenate(list(objects.to_bytes(views)), 1)).save(strip)
    mesh, neus, seconds = reconstruct(o, work, strip, 'pf-mask', '-q', '--elevation=%g' % e_target)
    true = true_mesh(seed)
    # The rig of evaluation.md stands at 30 degrees, whatever the views' elevation, and may see what no view did.
    seen = chamfer(visible_points(*mesh, elevation=e_target), visible_points(*true, elevation=e_target))
    return (*compare_meshes(true, mesh), seen, neus, seconds)


def table(heads, rows):
    print('| object | in | out | ' + ' | '.join(heads) + ' |')
    print('| ---' * (len(heads) + 3) + ' |')
    done = []
    for (seed, e_in, e_target), row in rows:
        done.append(row)
        print('| %d | %g | %g | ' % (seed, e_in, e_target) + ' | '.join('%.4g' % x for x in row) + ' |', flush=True)
    print('| mean | | | ' + ' | '.join('%.4g' % x for x in np.mean(done, 0)) + ' |')


def main():
    p = argparse.ArgumentParser(description='Measure views and meshes (evaluation.md).')
    p.add_argument('what', choices=['views', 'mesh', 'demo', 'true-views', 'real'])
    p.add_argument('args', nargs='+', metavar='FILE, DIR or N')
    p.add_argument('--first', type=int, default=0, help='skip that many held-out objects')
    p.add_argument('--bin', default=os.path.join(ROOT, 'build', 'bin'), help='where the tools are')
    p.add_argument('--config', default=os.path.join(ROOT, 'configs', 'demo', 'config.yaml'))
    p.add_argument('--weights', default=os.path.join(ROOT, 'configs', 'demo', 'weights.safetensors'))
    p.add_argument('--neus', default=os.path.join(ROOT, 'configs', 'neus.yaml'))
    p.add_argument('--size', type=int, help="side of the views (default the model's, or 128)")
    p.add_argument('--resolution', type=int, default=256)
    p.add_argument('--sample', nargs='*', default=[], help='further options for pf-sample')
    p.add_argument('--no-mesh', action='store_true', help='views only')
    o = p.parse_args()
    if o.what == 'views':
        print('PSNR %.4f dB, SSIM %.5f' % compare_views(*(views_of(read_image(f)) for f in o.args)))
    elif o.what == 'mesh':
        print('Chamfer %.5f, IoU %.5f' % compare_meshes(*(read_ply(f) for f in o.args)))
    with tempfile.TemporaryDirectory(prefix='pf-evaluate-') as work:
        if o.what in ('demo', 'real'):
            import networks
            import yaml
            with open(o.config) as f:
                o.size = o.size or yaml.safe_load(f)['model']['image_size']
        if o.what == 'real':
            real_table(o, work, networks)
        elif o.what == 'demo':
            table(['PSNR dB', 'SSIM', 'Chamfer', 'IoU', 'views s', 'field s'],
                  ((x, demo_row(o, work, *x, networks)) for x in held_out(int(o.args[0]), o.first)))
        elif o.what == 'true-views':
            o.size = o.size or 128
            table(['Chamfer', 'IoU', 'Chamfer from the views', 'field s', 'mesh s'], ((x, true_row(o, work, x[0], x[2])) for x in held_out(int(o.args[0]), o.first)))


if __name__ == '__main__':
    sys.exit(main())
