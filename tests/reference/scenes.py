#!/usr/bin/python3
"""What the demo model learns from: a photo and 16 views of a thing, drawn while training runs.

    scenes.py --models models.bin --sheet FILE.png [--first N]      some of them, to look at

Scene number n is always the same: a model of models.py seven times in eight, stretched, recoloured, sometimes combined with
another, under a light of its own; else an object of objects.py.  Processes draw scenes in order into a ring of memory
(Ring), from which the trainer takes them."""
import argparse
import colorsys
import ctypes
import mmap
import multiprocessing
import os
import re
import sys
import time

import numpy as np

import models
import objects

VIEWS, PROCEDURAL, DISTANCE = 16, 0.12, 1.5
# Elevations in degrees come from these, so that masks and rays of all pairs can be made once.
ELEVATIONS_IN, ELEVATIONS = np.arange(-10, 40.1, 2.5), np.arange(-20, 70.1, 2.5)
GCC = ('gcc', '-D_GNU_SOURCE', '-std=c11', '-O3', '-march=native', '-ffast-math', '-fno-finite-math-only', '-shared', '-fPIC')


class Material(ctypes.Structure):
    _fields_ = [('colour', ctypes.c_float * 3), ('w', ctypes.c_int), ('h', ctypes.c_int), ('holes', ctypes.c_int),
                ('rgba', ctypes.c_void_p)]


class Scene(ctypes.Structure):
    _fields_ = [('triangles', ctypes.c_int)] + [(k, ctypes.c_void_p) for k in ('p', 'n', 'uv', 'faces', 'material', 'materials')] + [
        ('light', ctypes.c_float * 8)]


# ---- the models, ready to draw ----

def normals(p, faces):
    """Normals at corners [m, 3, 3]: those of vertices where the surface is smooth, else those of faces."""
    cell = np.rint(p * 4096).astype(np.int64) + 8192
    at = np.unique((cell[:, 0] * 16384 + cell[:, 1]) * 16384 + cell[:, 2], return_inverse=True)[1][faces]
    t = p[faces]
    face = np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0])
    unit = face / (np.linalg.norm(face, axis=1, keepdims=True) + 1e-12)
    # Two-sided meshes: faces are summed with the side of the vertex's first one.
    first = np.zeros((at.max() + 1, 3), np.float32)
    first[at.reshape(-1)[::-1]] = unit.repeat(3, 0)[::-1]
    side = np.where((first[at] * unit[:, None]).sum(2, keepdims=True) < 0, -1, 1)
    weighted = (face[:, None] * side).reshape(-1, 3)
    mean = np.stack([np.bincount(at.reshape(-1), weighted[:, k], len(first)) for k in range(3)], 1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True) + 1e-12
    out = mean[at] * side
    smooth = (out * unit[:, None]).sum(2, keepdims=True) > 0.75
    return np.where(smooth, out, unit[:, None]).astype(np.float32)


def directions(n):
    """n directions all around [n, 3]."""
    k = np.arange(n) + 0.5
    z, a = 1 - 2 * k / n, np.pi * (1 + 5 ** 0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(a), r * np.sin(a), z], 1).astype(np.float32)


def load(path):
    """Training models and held-out ones, with normals, the outermost points, and how often each is drawn."""
    out, around = models.read(path), directions(200)
    for m in out:
        m['n'] = normals(m['p'], m['faces'])
        m['outer'] = m['p'][np.unique((m['p'] @ around.T).argmax(0))]
        flat = np.ptp(m['p'], 0).min() < 0.06                   # doors, windows, pictures: there are many
        m['weight'] *= 0.3 if flat or re.search('window|door', m['name'], re.I) else 1.0
    return [m for m in out if not m['held']], [m for m in out if m['held']]


# ---- a scene ----

def rotation(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    r = np.eye(3)
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    r[a, a], r[a, b], r[b, a], r[b, b] = c, -s, s, c
    return r


def moved(m, matrix, offset):
    """A model's arrays under a linear map."""
    n = m['n'].reshape(-1, 3) @ np.linalg.inv(matrix).astype(np.float32)
    return dict(m, p=m['p'] @ matrix.T.astype(np.float32) + offset.astype(np.float32), n=n.reshape(m['n'].shape),
                outer=m['outer'] @ matrix.T + offset)


def together(a, b):
    return dict(p=np.concatenate([a['p'], b['p']]), uv=np.concatenate([a['uv'], b['uv']]), n=np.concatenate([a['n'], b['n']]),
                outer=np.concatenate([a['outer'], b['outer']]), faces=np.concatenate([a['faces'], b['faces'] + len(a['p'])]),
                material=np.concatenate([a['material'], b['material'] + len(a['materials'])]), materials=a['materials'] + b['materials'])


def stretched(m, rng):
    matrix = np.eye(3)
    if rng.random() < 0.5:
        matrix[1] *= -1                                         # mirrored
    if rng.random() < 0.6:
        matrix = np.diag(np.exp(np.clip(rng.normal(0, 0.16, 3), -0.4, 0.4))) @ matrix
    if rng.random() < 0.15:
        matrix[0, 2], matrix[1, 2] = rng.normal(0, 0.12, 2)
    if rng.random() < 0.08:                                     # something lies on its side
        matrix = rotation(rng.integers(0, 2), rng.choice([-1, 1]) * np.pi / 2) @ matrix
    elif rng.random() < 0.1:
        matrix = rotation(rng.integers(0, 2), rng.normal(0, 0.2)) @ matrix
    return moved(m, matrix, np.zeros(3))


def combined(a, b, rng):
    """b, smaller, on a or beside it."""
    size = rng.uniform(0.35, 0.8)
    b = moved(b, size * np.eye(3), np.zeros(3))
    (al, ah), (bl, bh) = ((x['outer'].min(0), x['outer'].max(0)) for x in (a, b))
    offset = (al + ah - bl - bh) / 2
    if rng.random() < 0.6:
        offset[2] = ah[2] - bl[2] - 0.01
    else:
        side = rng.integers(0, 2)
        offset[side] = ah[side] - bl[side] if rng.random() < 0.5 else al[side] - bh[side]
        offset[2] = al[2] - bl[2]
    return together(a, moved(b, np.eye(3), offset))


def fitted(m):
    """Longest edge 1, the box's middle at the origin."""
    low, high = m['outer'].min(0), m['outer'].max(0)
    s = 1 / (high - low).max()
    return moved(m, s * np.eye(3), -(low + high) / 2 * s)


def scale_to_show(outer):
    """The largest scale <= 1 that keeps the points 4 of 256 pixels inside all views of the rig at -20, 0, 30 and 60 degrees."""
    poses = objects.poses(np.repeat(np.deg2rad([-20, 0, 30, 60]), VIEWS), np.tile(objects.AZIMUTHS, 4))[:, :, :3]
    x = np.einsum('vij,nj->vni', poses, outer)
    need = 280 * np.abs(x[..., :2]).max(-1) - 124 * x[..., 2]
    return min(1.0, 124 * DISTANCE / need.max())


def random_colour(rng):
    """Linear light; one in three is grey, the others are bright more often than pale."""
    if rng.random() < 0.33:
        colour = np.full(3, rng.uniform(0.05, 0.95)) + rng.normal(0, 0.03, 3)
    else:
        colour = np.array(colorsys.hsv_to_rgb(rng.random(), rng.beta(2.5, 1.2), rng.uniform(0.15, 1)))
    return np.clip(colour, 0.02, 1) ** 2.2


def as_it_is(m):
    """Materials as (linear colour, texture)."""
    return [(np.ones(3) if t is not None else c.astype(np.float64) ** 2.2, t) for c, t in m['materials']]


def coloured(m, rng, textures):
    """The same as they are, or others."""
    own, how = as_it_is(m), rng.random()
    if how < 0.45:
        return own
    if how < 0.6:                                               # one tint for all
        tint = np.clip(random_colour(rng) * 1.6, 0, 1.3)
        return [(np.minimum(c * tint, 1), t) for c, t in own]
    out = []
    for c, t in own:
        kind = rng.random()
        if kind < 0.3:
            out.append((c, t))
        elif kind < 0.75 or t is not None and kind < 0.6:
            out.append((random_colour(rng), None))
        elif t is not None:
            out.append((np.ones(3), textures[rng.integers(len(textures))]))
        else:
            out.append((np.clip(c * rng.uniform(0.5, 1.5), 0, 1), None))
    return out


def random_light(rng):
    """To the lamp, its strength, light from all around, more from above, gloss and exponent."""
    lamp = np.array([0.6, -0.4, 0.7]) + rng.normal(0, 0.45, 3)
    lamp[2] = abs(lamp[2])
    return np.array([*lamp / np.linalg.norm(lamp), rng.uniform(0.1, 0.45), rng.uniform(0.5, 0.72), rng.uniform(0.1, 0.3),
                     rng.choice([0, rng.uniform(0.05, 0.35)], p=[0.7, 0.3]), rng.uniform(6, 50)], np.float32)


def cameras(elevation, azimuths, size):
    """Poses and lens of the rig as scenes.c takes them [n, 15]."""
    poses = objects.poses(elevation, azimuths)
    out = np.empty((len(poses), 15), np.float32)
    out[:, :9], out[:, 9:12] = poses[:, :, :3].reshape(-1, 9), poses[:, :, 3]
    out[:, 12:] = 280 * size / 256, size / 2, size / 2
    return out


def cut_to(camera, outer, size, rng):
    """A photo as pf-crop makes it of somebody's picture: from some distance, the thing as large as 200 of 256 pixels."""
    camera = camera.copy()
    camera[11] = DISTANCE * np.exp(rng.uniform(0, 0.8))
    x = outer @ camera[:9].reshape(3, 3).T + camera[9:12]
    at = x[:, :2] / x[:, 2:]
    low, high = at.min(0), at.max(0)
    camera[12] = 200 / 256 * size / (high - low).max()
    camera[13:] = size / 2 - camera[12] * (low + high) / 2
    return camera


def draw(m, materials, light, cams, size, samples):
    c = objects.library_once('scenes.c', GCC)
    keep, array = [], (Material * len(materials))()
    for k, (colour, texture) in enumerate(materials):
        array[k].colour = (ctypes.c_float * 3)(*colour)
        if texture is not None:
            array[k].h, array[k].w = texture.shape[:2]
            array[k].rgba, array[k].holes = texture.ctypes.data, int(texture[..., 3].min() < 128)
    fields = {}
    for name, kind in (('p', np.float32), ('n', np.float32), ('uv', np.float32), ('faces', np.int32), ('material', np.int32)):
        keep.append(np.ascontiguousarray(m[name], kind))
        fields[name] = keep[-1].ctypes.data
    scene = Scene(triangles=len(m['faces']), materials=ctypes.cast(array, ctypes.c_void_p), light=(ctypes.c_float * 8)(*light), **fields)
    cams = np.ascontiguousarray(cams, np.float32)
    out = np.empty((len(cams), size, size, 3), np.uint8)
    if c.scenes_draw(ctypes.byref(scene), len(m['p']), ctypes.c_void_p(cams.ctypes.data), len(cams), size, samples, ctypes.c_void_p(out.ctypes.data)):
        raise MemoryError
    return out


def elevations(rng):
    """Numbers of the photo's and the views' elevation; half of the views are from where most are asked for."""
    target = rng.integers(len(ELEVATIONS)) if rng.random() < 0.5 else np.searchsorted(ELEVATIONS, 20) + rng.integers(9)
    return rng.integers(len(ELEVATIONS_IN)), target


def procedural(seed, e_in, e_target, size):
    parts = objects.solids(seed)
    out = np.empty((1 + VIEWS, size, size, 3), np.uint8)
    for views, e, azimuths in ((out[:1], e_in, [0.0]), (out[1:], e_target, objects.AZIMUTHS)):
        poses = np.ascontiguousarray(objects.poses(e, azimuths), np.float32)
        objects.call('objects_white', views, parts, np.array([len(parts)], np.int32), 1, len(parts), poses, len(views),
                     objects.c_float(280 * size / 256), size, 2)
    return out


class Scenes:
    """Scene n of what load() gave: of the training models (held: of those that measure).  share: of so many processes this is
    which; each has scenes of its own."""

    def __init__(self, loaded, size=128, held=False, share=(0, 1)):
        self.size, self.held, self.models, self.share = size, held, loaded[held], share
        weights = np.array([m['weight'] for m in self.models])
        self.chance = weights / weights.sum()
        self.textures = [t for m in self.models for _, t in m['materials'] if t is not None and t[..., 3].min() == 255]

    def pick(self, rng):
        return self.models[rng.choice(len(self.models), p=self.chance)]

    def __call__(self, n):
        """Views u1 [17, size, size, 3], the photo first; numbers of its elevation and of the others'."""
        rng = np.random.default_rng([6033, 7, n * self.share[1] + self.share[0]])
        e_in, e_target = elevations(rng)
        angles = np.deg2rad(ELEVATIONS_IN[e_in]), np.deg2rad(ELEVATIONS[e_target])
        if rng.random() < PROCEDURAL and not self.held:
            return procedural(int(rng.integers(objects.PHOTO_SEED)), *angles, self.size), e_in, e_target
        m = self.pick(rng)
        materials = as_it_is(m)
        if not self.held:
            m = stretched(m, rng)
            if rng.random() < 0.12:
                m = combined(fitted(m), fitted(stretched(self.pick(rng), rng)), rng)
            materials = coloured(m, rng, self.textures)
        yaw = rng.uniform(-1, 1) * np.deg2rad(60 if self.held or rng.random() < 0.7 else 180)
        m = moved(fitted(m), rotation(2, yaw), np.zeros(3))
        m = moved(m, scale_to_show(m['outer']) * np.eye(3), np.zeros(3))
        photo = cameras(angles[0], [0.0], self.size)
        if not self.held and rng.random() < 0.25:
            photo[0] = cut_to(photo[0], m['outer'], self.size, rng)
        light = random_light(rng)
        if not self.held and rng.random() < 0.3:                # dim
            light[3:6] *= rng.uniform(0.4, 1)
        return draw(m, materials, light, np.concatenate([photo, cameras(angles[1], objects.AZIMUTHS, self.size)]), self.size, 2), e_in, e_target


# ---- the ring ----

def fill(ring, scenes, first, every):
    """Draws scenes head + first, head + first + every, ... as far as the ring has room, until its owner is gone."""
    n, parent = None, os.getppid()
    while os.getppid() == parent:
        if n is None and ring.head[0] >= 0:
            n = ring.head[0] + first
        if n is None or n >= ring.head[0] + ring.size:
            time.sleep(0.02)
            continue
        k = n % ring.size
        ring.rgb[k], ring.angles[k, 0], ring.angles[k, 1] = scenes(n)
        ring.done[k] = n + 1
        n += every


class Ring:
    """Scenes that processes draw in order into memory they share: scene n lies at n % size until `head` has passed it.  They
    wait for begin(), and are made before the GPU is touched: it does not survive a fork."""

    def __init__(self, size, scenes, workers):
        self.size = size
        new = lambda kind, shape: np.frombuffer(mmap.mmap(-1, int(np.prod(shape)) * np.dtype(kind).itemsize), kind).reshape(shape)
        self.rgb = new(np.uint8, (size, 1 + VIEWS, scenes.size, scenes.size, 3))
        self.angles, self.done, self.head = new(np.int32, (size, 2)), new(np.int64, (size,)), new(np.int64, (1,))
        self.head[0] = -1
        context = multiprocessing.get_context('fork')
        self.workers = [context.Process(target=fill, args=(self, scenes, k, workers), daemon=True) for k in range(workers)]
        for w in self.workers:
            w.start()

    def begin(self, first):
        self.head[0] = first

    def ready(self, n, count):
        k = np.arange(n, n + count) % self.size
        return bool((self.done[k] == np.arange(n + 1, n + count + 1)).all())

    def take(self, n, count):
        """Scenes n ... n + count - 1: views, numbers of the elevations [count, 2].  Waits for them."""
        while not self.ready(n, count):
            if not all(w.is_alive() for w in self.workers):
                raise RuntimeError('a process that draws scenes has ended')
            time.sleep(0.01)
        k = np.arange(n, n + count) % self.size
        return self.rgb[k], self.angles[k].copy()


def main():
    from PIL import Image
    p = argparse.ArgumentParser(description='Scenes of the trainer, to look at.')
    p.add_argument('--models', required=True, metavar='FILE')
    p.add_argument('--sheet', required=True, metavar='FILE.png')
    p.add_argument('--first', type=int, default=0)
    p.add_argument('--rows', type=int, default=16)
    p.add_argument('--held', action='store_true')
    o = p.parse_args()
    start = time.time()
    scenes = Scenes(load(o.models), held=o.held)
    loaded, used = time.time(), time.process_time()
    rows = [np.concatenate(list(scenes(o.first + k)[0][[0, 1, 3, 6, 9, 12, 15]]), 1) for k in range(o.rows)]
    print('%.1f s to load, %.0f ms a scene (%.0f of one core)' % (loaded - start, 1e3 * (time.time() - loaded) / o.rows,
                                                                1e3 * (time.process_time() - used) / o.rows))
    Image.fromarray(np.concatenate(rows)).save(o.sheet)


if __name__ == '__main__':
    sys.exit(main())
