#!/usr/bin/python3
"""Measure the tools on held-out objects (evaluation.md) with pf-eval.

    evaluate.py demo N [--bin build/bin]    photo -> views -> mesh with the built tools on N held-out objects
    evaluate.py true-views N                pf-neus on the true views of N held-out objects
    evaluate.py real DIR N                  as demo, on the first N real things of DIR (evaluation.md, 3)

Each prints one row an object and the means.  Two files are compared by pf-eval itself."""
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

import objects

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')


def measure(bin_, what, true, made, *options):
    """The figures of pf-eval by their names; what is not measured is NaN."""
    words = [os.path.join(bin_, 'pf-eval'), what, '--json', *map(str, options), true, made]
    pair = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)['pairs'][0]
    return {k: np.nan if v is None else v for k, v in pair.items()}


def save_strip(path, views):
    """Views [N, H, W, C] in 0..1 side by side."""
    Image.fromarray(np.concatenate(list(objects.to_bytes(views)), 1)).save(path)


def save_true_mesh(path, seed):
    objects.write_ply(path, *objects.mesh(seed, 160))


# ---- the pipeline ----

def run(bin_, *stages):
    """Stages of a shell pipeline; each a list of words."""
    line = ' | '.join(' '.join([os.path.join(bin_, s[0])] + ["'%s'" % w for w in map(str, s[1:])]) for s in stages)
    start = time.time()
    subprocess.run(['bash', '-euo', 'pipefail', '-c', line], check=True)
    return time.time() - start


def reconstruct(o, work, source, *first):
    """pf-mask, pf-neus, pf-extract-mesh -> the mesh's file and the seconds of both."""
    field, ply = os.path.join(work, 'field.pf'), os.path.join(work, 'mesh.ply')
    neus = run(o.bin, [*first, source], ['pf-neus', '-q', '-c', o.neus, '-o', field])
    mesh = run(o.bin, ['pf-extract-mesh', '-q', '--resolution', o.resolution, '-o', ply, field])
    return ply, neus, mesh


def held_out(n, first):
    """Seed, input elevation and target elevation (degrees) of the objects that measure."""
    for k in range(n):
        rng = np.random.default_rng([6033, 5, first + k])
        yield objects.PHOTO_SEED + 1000 + first + k, round(rng.uniform(-10, 40), 1), round(rng.uniform(-20, 70), 1)


def demo_row(o, work, seed, e_in, e_target):
    photo, stream, strip, true = (os.path.join(work, f) for f in ('photo.png', 'views.pf', 'strip.png', 'true.ply'))
    save_strip(photo, objects.render(seed, np.deg2rad(e_in), [0.0], 256, 4))
    seconds = run(o.bin, ['pf-crop', '-q', '--crop-size', '-1', '--size', o.size, '--input-elevation=%g' % e_in, photo],
                  ['pf-clip-embed', '-q', '-c', o.config, '-w', o.weights],
                  ['pf-sample', '-q', '-c', o.config, '-w', o.weights, '--target-elevation=%g' % e_target, *o.sample, '-o', stream])
    save_strip(strip, objects.on_white(objects.render(seed, np.deg2rad(e_target), objects.AZIMUTHS, o.size, 4)))
    views = measure(o.bin, 'views', strip, stream)
    if o.no_mesh:
        return views['psnr'], views['ssim'], np.nan, np.nan, seconds, 0
    ply, neus, _ = reconstruct(o, work, stream, 'pf-mask', '-q', '-c', o.config, *o.mask)
    save_true_mesh(true, seed)
    mesh = measure(o.bin, 'mesh', true, ply, '--original')
    return views['psnr'], views['ssim'], mesh['chamfer'], mesh['iou'], seconds, neus


def part(o, stream, numbers, out):
    """Documents of a stream by their numbers, as a stream."""
    files = ['%s.%d' % (out, k) for k in numbers]
    for k, f in zip(numbers, files):
        run(o.bin, ['pf-stream', 'cat', '--index', k, '-o', f, stream])
    run(o.bin, ['pf-stream', 'cat', '-o', out, *files])
    return out


def real_row(o, work, folder):
    with open(os.path.join(folder, 'meta.json')) as f:
        e_in = json.load(f)['photo_elevation_deg']
    stream, masked, white = (os.path.join(work, f) for f in ('views.pf', 'masked.pf', 'white.png'))
    strip, ply = os.path.join(folder, 'e30.png'), os.path.join(work, 'mesh.ply')
    # Views at all elevations that any field is fused from, those at 30 degrees first: they are measured.
    targets = list(dict.fromkeys(['30'] + ','.join(o.fuse).split(',')))
    seconds = run(o.bin, ['pf-crop', '-q', '--crop-size', '-1', '--size', o.size, '--input-elevation=%g' % e_in, os.path.join(folder, 'photo.png')],
                  ['pf-clip-embed', '-q', '-c', o.config, '-w', o.weights],
                  ['pf-sample', '-q', '-c', o.config, '-w', o.weights, '--target-elevation=' + ','.join(targets), *o.sample, '-o', stream])
    run(o.bin, ['pf-mask', '-q', '-c', o.config, *o.mask, '-o', masked, stream])
    first, first_masked = (part(o, x, [0], os.path.join(work, name)) for x, name in ((stream, 'first.pf'), (masked, 'first-masked.pf')))
    save_strip(white, np.ones((16, o.size, o.size, 3)))
    views, mask, empty = (measure(o.bin, 'views', strip, made, '--halve') for made in (first, first_masked, white))
    row = (views['psnr'], views['ssim'], mask['iou'], empty['psnr'])
    for fuse in o.fuse:
        mesh = dict(chamfer=np.nan, iou=np.nan)
        if not o.no_mesh:
            reconstruct(o, work, part(o, masked, [targets.index(e) for e in fuse.split(',')], os.path.join(work, 'fused.pf')), 'pf-stream', 'cat')
            mesh = measure(o.bin, 'mesh', os.path.join(folder, 'gt.npz'), ply)
        row += mesh['chamfer'], mesh['iou']
    return (*row, seconds)


def real_table(o, work):
    heads = ['PSNR dB', 'SSIM', 'mask IoU', 'white dB', *(x + ' of ' + f for f in o.fuse for x in ('Chamfer', 'IoU')), 'views s']
    print('| thing | ' + ' | '.join(heads) + ' |\n' + '| ---' * (len(heads) + 1) + ' |')
    folders = sorted(glob.glob(os.path.join(o.args[0], '*', '')))[o.first:o.first + int(o.args[1])]
    rows = []
    for folder in folders:
        rows.append(real_row(o, work, folder))
        print('| %s | ' % os.path.basename(folder[:-1]) + ' | '.join('%.4g' % x for x in rows[-1]) + ' |', flush=True)
    print('| mean | ' + ' | '.join('%.4g' % x for x in np.mean(rows, 0)) + ' |')


def true_row(o, work, seed, e_target):
    strip, true = os.path.join(work, 'strip.png'), os.path.join(work, 'true.ply')
    save_strip(strip, objects.on_white(objects.render(seed, np.deg2rad(e_target), objects.AZIMUTHS, o.size, 4)))
    ply, neus, seconds = reconstruct(o, work, strip, 'pf-mask', '-q', '--elevation=%g' % e_target)
    save_true_mesh(true, seed)
    mesh = measure(o.bin, 'mesh', true, ply, '--original')
    # The rig of the measure stands at 30 degrees, whatever the views' elevation, and may see what no view did.
    seen = measure(o.bin, 'mesh', true, ply, '--original', '--elevation=%g' % e_target)
    return mesh['chamfer'], mesh['iou'], seen['chamfer'], neus, seconds


def table(heads, rows):
    print('| object | in | out | ' + ' | '.join(heads) + ' |')
    print('| ---' * (len(heads) + 3) + ' |')
    done = []
    for (seed, e_in, e_target), row in rows:
        done.append(row)
        print('| %d | %g | %g | ' % (seed, e_in, e_target) + ' | '.join('%.4g' % x for x in row) + ' |', flush=True)
    print('| mean | | | ' + ' | '.join('%.4g' % x for x in np.mean(done, 0)) + ' |')


def main():
    p = argparse.ArgumentParser(description='Measure the tools on held-out objects (evaluation.md).')
    p.add_argument('what', choices=['demo', 'true-views', 'real'])
    p.add_argument('args', nargs='+', metavar='DIR or N')
    p.add_argument('--first', type=int, default=0, help='skip that many held-out objects')
    p.add_argument('--bin', default=os.path.join(ROOT, 'build', 'bin'), help='where the tools are')
    p.add_argument('--config', default=os.path.join(ROOT, 'configs', 'demo', 'config.yaml'))
    p.add_argument('--weights', default=os.path.join(ROOT, 'configs', 'demo', 'weights.safetensors'))
    p.add_argument('--neus', default=os.path.join(ROOT, 'configs', 'neus.yaml'))
    p.add_argument('--size', type=int, help="side of the views (default the model's, or 128)")
    p.add_argument('--resolution', type=int, default=256)
    p.add_argument('--sample', nargs='*', default=[], help='further options for pf-sample')
    p.add_argument('--mask', nargs='*', default=[], help='further options for pf-mask, of made views')
    p.add_argument('--fuse', nargs='+', default=['30'], metavar='E,...', help='real: the meshes of these elevations fused (default %(default)s)')
    p.add_argument('--no-mesh', action='store_true', help='views only')
    o = p.parse_args()
    with tempfile.TemporaryDirectory(prefix='pf-evaluate-') as work:
        if o.what in ('demo', 'real'):
            import yaml
            with open(o.config) as f:
                o.size = o.size or yaml.safe_load(f)['model']['image_size']
        if o.what == 'real':
            real_table(o, work)
        elif o.what == 'demo':
            table(['PSNR dB', 'SSIM', 'Chamfer', 'IoU', 'views s', 'field s'],
                  ((x, demo_row(o, work, *x)) for x in held_out(int(o.args[0]), o.first)))
        elif o.what == 'true-views':
            o.size = o.size or 128
            table(['Chamfer', 'IoU', 'Chamfer from the views', 'field s', 'mesh s'], ((x, true_row(o, work, x[0], x[2])) for x in held_out(int(o.args[0]), o.first)))


if __name__ == '__main__':
    sys.exit(main())
