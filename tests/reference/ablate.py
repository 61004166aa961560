#!/usr/bin/python3
"""Measure settings of pf-neus on the real set (evaluation.md): field, mesh, distance from the truth.

    ablate.py pack DIR OUT          what the other command needs of the set's folder open/, smaller
    ablate.py run OUT -v FILE       a row of means for each variant, elevations and degradation

A line of FILE is a variant: a name, then settings of the section neus that differ from --config:
    blind view_start=1000000 lambda_rgb=1
A word +NAME stands for the settings of that variant, which an earlier line has.  The word config=FILE starts from another file instead.  Needs the built tools and numpy; pack also PIL."""
import argparse
import concurrent.futures
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
STRIPS = {30: 'e30', 0: 'e0', 60: 'e60', -20: 'em20'}
MEASURES = ['chamfer', 'f0.01', 'normals', 'iou', 'iou128', 'seconds']


# ---- pack ----

def pack(o):
    from PIL import Image
    for folder in sorted(glob.glob(os.path.join(o.folder, '*', ''))):
        to = os.path.join(o.out, os.path.basename(folder[:-1]))
        os.makedirs(to)
        for e in o.elevations:
            strip = Image.open(os.path.join(folder, STRIPS[e] + '.png'))
            strip.save(os.path.join(to, STRIPS[e] + '.webp'), lossless=True, quality=100, method=6)
        with np.load(os.path.join(folder, 'gt.npz')) as truth:
            np.savez_compressed(os.path.join(to, 'gt.npz'), **{k: truth[k] for k in truth if k != 'pts_all'})


# ---- streams (pf-stream(5)) ----

TYPES = {'F32': '<f4', 'U8': 'u1'}


def read_stream(data):
    n, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + n])
    header.pop('__metadata__')
    views = {}
    for name, t in header.items():
        begin, end = (8 + n + x for x in t['data_offsets'])
        views[name] = np.frombuffer(data[begin:end], TYPES[t['dtype']]).reshape(t['shape'])
    return views


def write_stream(file, views, **meta):
    header, data = {'__metadata__': {'pf.format': '1', 'pf.kind': 'views', **meta}}, b''
    for name, x in sorted(views.items()):
        kind = 'U8' if x.dtype == np.uint8 else 'F32'
        raw = np.ascontiguousarray(x, TYPES[kind]).tobytes()
        header[name] = {'dtype': kind, 'shape': x.shape, 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b' ' * (-(8 + len(text)) % 64)
    file.write(struct.pack('<Q', len(text)) + text + data)


# ---- views, as they are and worse; colours are on white, [N, H, W, 3], masks [N, H, W], both 0..1 ----

def filtered(x, kernel):
    """The views [N, H, W, ...] filtered along both axes; beyond the border is the border."""
    for axis in (1, 2):
        r = len(kernel) // 2
        wide = np.pad(x, [(r, r) if a == axis else (0, 0) for a in range(x.ndim)], 'edge')
        x = sum(k * np.take(wide, range(i, i + x.shape[axis]), axis) for i, k in enumerate(kernel))
    return x


def blur(rgb, alpha, unit, rng):
    sigma = 1.5 * unit
    at = np.arange(-int(3 * sigma + 1), int(3 * sigma + 1) + 1)
    kernel = np.exp(-at**2 / (2 * sigma**2))
    kernel /= kernel.sum()
    return filtered(rgb, kernel), filtered(alpha, kernel)


def color(rgb, alpha, unit, rng):
    """Each view has a gain and an offset of each channel."""
    gain, offset = np.exp(rng.normal(0, 0.1, (len(rgb), 1, 1, 3))), rng.normal(0, 0.03, (len(rgb), 1, 1, 3))
    a = alpha[..., None]
    return (rgb - (1 - a)) * gain + offset * a + 1 - a, alpha


def shift(rgb, alpha, unit, rng):
    """Each view is moved by one to two pixels of 256."""
    def moved(view, fill, x, y):
        left, top = int(np.floor(x)), int(np.floor(y))
        wide = np.pad(view, [(4, 4), (4, 4)] + [(0, 0)] * (view.ndim - 2), constant_values=fill)
        h, w = view.shape[:2]
        part = [wide[4 + top + i:4 + top + i + h, 4 + left + j:4 + left + j + w] for i in (0, 1) for j in (0, 1)]
        u, v = x - left, y - top
        return (1 - v) * ((1 - u) * part[0] + u * part[1]) + v * ((1 - u) * part[2] + u * part[3])
    out = []
    for c, a in zip(rgb, alpha):
        turn, far = rng.uniform(0, 2 * np.pi), unit * rng.uniform(1, 2)
        out.append([moved(v, fill, far * np.cos(turn), far * np.sin(turn)) for v, fill in ((c, 1), (a, 0))])
    return np.stack([x[0] for x in out]), np.stack([x[1] for x in out])


def masks(rgb, alpha, unit, rng):
    """Half of the views lack a disc of the object, or have one of the background, of a grey."""
    rgb, alpha = rgb.copy(), alpha.copy()
    h, w = alpha.shape[1:]
    y, x = np.mgrid[:h, :w]
    for c, a in zip(rgb, alpha):
        inside = np.argwhere(a > 0.5)
        if rng.random() < 0.5 or not len(inside):
            continue
        at = inside[rng.integers(len(inside))]
        disc = (y - at[0])**2 + (x - at[1])**2 < (rng.uniform(8, 16) * unit)**2
        if rng.random() < 0.5:
            c[disc], a[disc] = 1, 0
        else:
            c[disc & (a < 0.5)], a[disc] = rng.uniform(0.3, 0.9), 1
    return rgb, alpha


WORSE = {'none': None, 'blur': blur, 'color': color, 'shift': shift, 'masks': masks}


def halved(views):
    """Views of half the size: pixel j is where pixel 2 j was (measures.md, 1)."""
    kernel, half = [0.25, 0.5, 0.25], {}
    half['views.image'] = np.rint(filtered(views['views.image'].astype('f4'), kernel)[:, ::2, ::2]).astype('u1')
    half['views.alpha'] = filtered(views['views.alpha'], kernel)[:, ::2, ::2]
    half['views.intrinsics'] = views['views.intrinsics'] * np.float32([[0.5], [0.5], [1]])
    return {**views, **half}


def degraded(views, kind, seed):
    if not WORSE[kind]:
        return views
    unit = views['views.image'].shape[1] / 256
    rgb, alpha = WORSE[kind](views['views.image'].astype('f4') / 255, views['views.alpha'], unit,
                             np.random.default_rng(seed))
    return {**views, 'views.image': np.rint(rgb.clip(0, 1) * 255).astype('u1'), 'views.alpha': alpha.clip(0, 1)}


# ---- run ----

class Ablation:
    def __init__(self, o, work):
        self.o, self.work = o, work
        names = sorted(os.path.basename(d[:-1]) for d in glob.glob(os.path.join(o.folder, '*', '')))
        if not names:
            sys.exit('ablate.py: no objects in ' + o.folder)
        self.names = [n for n in names if n in o.only] if o.only else names[::-(-len(names) // o.objects)]
        self.end = time.time() + o.limit
        self.views = {}

    def tool(self, *words, gpu=None):
        """What a tool writes; its complaint is a RuntimeError."""
        env = dict(os.environ, OMP_NUM_THREADS=str(self.o.threads))
        if gpu is not None:
            env['CUDA_VISIBLE_DEVICES'] = gpu
        p = subprocess.run([os.path.join(self.o.bin, words[0]), *map(str, words[1:])], env=env, capture_output=True)
        if p.returncode:
            raise RuntimeError(p.stderr.decode().strip())
        return p.stdout

    def read(self, name, elevation):
        strip = glob.glob(os.path.join(self.o.folder, name, STRIPS[elevation] + '.*'))[0]
        views = read_stream(self.tool('pf-mask', '-q', '--method', 'alpha', '--elevation=%g' % elevation, strip))
        self.views[name, elevation] = halved(views) if self.o.size == 128 else views

    def stream(self, name, kind, elevations):
        return os.path.join(self.work, '%s-%s-%s.pf' % (name, kind, elevations))

    def write(self, name, kind, elevations):
        """The object's views at all elevations, one document each, so degraded."""
        each = elevations.split('+')
        with open(self.stream(name, kind, elevations), 'wb') as f:
            for i, e in enumerate(map(int, each)):
                views = degraded(self.views[name, e], kind, [self.names.index(name), e + 90])
                write_stream(f, views, **{'pf.object': name, 'pf.index': str(i), 'pf.count': str(len(each))})

    def config(self, variant, settings):
        """A config file of a variant; its settings replace those of the file that it starts from."""
        settings = dict(settings)
        with open(settings.pop('config', self.o.config)) as f:
            lines = f.read().splitlines()
        at = lines.index('neus:')
        kept = [x for x in lines[at + 1:] if x.split(':')[0].strip() not in settings]
        path = os.path.join(self.work, variant + '.yaml')
        with open(path, 'w') as f:
            print('\n'.join(['neus:'] + kept + ['  %s: %s' % s for s in settings.items()]), file=f)
        return path

    def measure(self, number, row, config, names):
        """Fields and meshes of some objects, all by one process of each tool: {name: figures}."""
        if time.time() > self.end:
            return {}
        gpu = self.o.gpus[number % len(self.o.gpus)] if self.o.gpus else None
        with tempfile.TemporaryDirectory(dir=self.work) as to:
            field, pairs, begin = os.path.join(to, 'fields.pf'), os.path.join(to, 'pairs'), time.time()
            self.tool('pf-neus', '-q', '-d', self.o.device, '-c', config, '-o', field,
                      *(self.stream(name, row[2], row[1]) for name in names), gpu=gpu)
            seconds = (time.time() - begin) / len(names)
            meshes = self.o.keep or to
            made = os.path.join(meshes, '-'.join(row) + '-%s.ply')
            self.tool('pf-extract-mesh', '-q', '-d', self.o.device, '--resolution', self.o.resolution, '-o',
                      made % '%o', field, gpu=gpu)
            with open(pairs, 'w') as f:
                f.writelines('%s\t%s\t%s\n' % (os.path.join(self.o.folder, n, 'gt.npz'), made % n, n) for n in names)
            got = json.loads(self.tool('pf-eval', 'mesh', '-q', '--json', '--list', pairs))['pairs']
        return {p['pair']: [p.get(m, seconds) for m in MEASURES] for p in got}

    def run(self, variants):
        o, begin = self.o, time.time()
        elevations = sorted({int(e) for x in o.elevations for e in x.split('+')})
        rows = [(v, e, kind) for e in o.elevations for kind in o.degrade for v in variants]
        chunks = [self.names[i::o.chunks] for i in range(min(o.chunks, len(self.names)))]
        with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
            list(pool.map(lambda x: self.read(*x), [(n, e) for n in self.names for e in elevations]))
            list(pool.map(lambda x: self.write(*x), [(n, k, e) for n in self.names for k in o.degrade for e in o.elevations]))
            print('# %d objects ready after %.0f s' % (len(self.names), time.time() - begin), file=sys.stderr)
            config = {v: self.config(v, settings) for v, settings in variants.items()}
            jobs = [(row, names) for row in rows for names in chunks]
            futures = [pool.submit(self.measure, i, row, config[row[0]], names) for i, (row, names) in enumerate(jobs)]
            print('\t'.join(['variant', 'elevations', 'views', 'objects'] + MEASURES), flush=True)
            for row in rows:
                got = {}
                for (r, _), future in zip(jobs, futures):
                    if r == row:
                        try:
                            got.update(future.result())
                        except RuntimeError as e:
                            print('# %s: %s' % ('\t'.join(row), e), file=sys.stderr)
                for name, figures in sorted(got.items()):
                    print('\t'.join([*row, name] + ['%.5g' % x for x in figures]), file=o.each, flush=True)
                means = np.mean([*got.values()], 0) if got else []
                print('\t'.join([*row, str(len(got))] + ['%.4g' % x for x in means]), flush=True)
        print('# %.0f s' % (time.time() - begin), file=sys.stderr)


def read_variants(path, names):
    variants = {}
    with open(path) as f:
        for name, *words in filter(None, (x.split('#')[0].split() for x in f)):
            variants[name] = {}
            for word in words:
                variants[name].update(variants[word[1:]] if word[0] == '+' else [word.split('=', 1)])
    return {n: variants[n] for n in names or variants}


def main():
    p = argparse.ArgumentParser(description='Measure settings of pf-neus on the real set.')
    what = p.add_subparsers(dest='what', required=True)
    q = what.add_parser('pack', help='write what run needs of the set, smaller')
    q.add_argument('folder', help="the set's folder open/")
    q.add_argument('out')
    q.add_argument('--elevations', nargs='*', type=int, default=list(STRIPS), choices=list(STRIPS))
    q = what.add_parser('run', help='measure variants')
    q.add_argument('folder', help="what pack wrote, or the set's folder open/")
    q.add_argument('-v', '--variants', required=True, help='file with a variant a line')
    q.add_argument('--pick', nargs='*', help='these variants of it')
    q.add_argument('--config', default=os.path.join(ROOT, 'configs', 'neus.yaml'))
    q.add_argument('--bin', default=os.path.join(ROOT, 'build', 'bin'), help='where the tools are')
    q.add_argument('--elevations', nargs='*', default=['30'], help='of the views, as 30 or 30+-20; several: rows for each')
    q.add_argument('--degrade', nargs='*', default=['none'], choices=list(WORSE))
    q.add_argument('--objects', type=int, default=30, help='so many at most, spread over the set')
    q.add_argument('--only', nargs='*', help='these objects')
    q.add_argument('--size', type=int, default=256, choices=[128, 256], help='side of the views')
    q.add_argument('-d', '--device', default='cpu', help='cpu or cuda')
    q.add_argument('--gpus', nargs='*', help='numbers for CUDA_VISIBLE_DEVICES, in turn')
    q.add_argument('--resolution', type=int, help='of the meshes (256, or 128 on a CPU)')
    q.add_argument('--jobs', type=int, default=1, help='processes at a time')
    q.add_argument('--threads', type=int, default=2, help='CPU threads of a process')
    q.add_argument('--chunks', type=int, default=1, help="processes that share a row's objects")
    q.add_argument('--limit', type=float, default=1e9, help='after so many seconds nothing new is begun')
    q.add_argument('--keep', help='folder for the meshes')
    q.add_argument('--each', type=argparse.FileType('w'), default=os.devnull, help='file for the rows of each object')
    o = p.parse_args()
    if o.what == 'pack':
        return pack(o)
    o.resolution = o.resolution or (128 if o.device == 'cpu' else 256)
    with tempfile.TemporaryDirectory(prefix='pf-ablate-') as work:
        Ablation(o, work).run(read_variants(o.variants, o.pick))


if __name__ == '__main__':
    sys.exit(main())
