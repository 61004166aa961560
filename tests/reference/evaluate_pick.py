#!/usr/bin/python3
"""Measure pf-pick (tools/pf-pick/scores.md) with the built tools on procedural objects.

    evaluate_pick.py elevation 60               the photo's elevation: error, and time beside a plain run
    evaluate_pick.py samples 30                 best of four samples: Chamfer distance of the picked one and of all
    evaluate_pick.py fit 28 --first 200         the weights of elevation.c anew; --first 200 on are the tuning objects

Objects are those of evaluate.py: seeds from 2^20 + 1000 on, --first skips some of them.  --work DIR keeps the
streams, and takes those that are there."""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image
from scipy.stats import spearmanr

import evaluate
import objects
from evaluate import ROOT, run

CANDIDATES = '-10,35'
SCORES = ['silhouette', 'color', 'coherence', 'consistency', 'agreement']


def photo_of(o, seed, elevation):
    """The photo as a PNG, for pf-crop."""
    path = os.path.join(o.work, '%d.png' % seed)
    if not os.path.exists(path):
        Image.fromarray(objects.to_bytes(objects.render(seed, np.deg2rad(elevation), [0.0], 256, 4)[0])).save(path)
    return path


def crop(o, photo, *more):
    """pf-crop and pf-clip-embed: the beginning of every run."""
    return (['pf-crop', '-q', '-c', o.config, '--crop-size', o.crop_size, *more, photo],
            ['pf-clip-embed', '-q', '-c', o.config, '-w', o.weights])


def sample(o, *words):
    return ['pf-sample', '-q', '-c', o.config, '-w', o.weights, *words]


def pick(o, stream, *more):
    """The table that pf-pick prints, as a structured array."""
    text = subprocess.run([os.path.join(o.bin, 'pf-pick'), '-q', '--print', *(['-c', o.config] if o.embedding else []), *more, stream], check=True, capture_output=True,
                          text=True).stdout
    return np.atleast_1d(np.genfromtxt(text.splitlines(), names=True, delimiter='\t'))


def candidates(o, seed, e_in):
    """Views for each candidate: the stream, and the seconds of making it (NaN: it was there)."""
    stream = os.path.join(o.work, 'candidates-%d.pf' % seed)
    if os.path.exists(stream):
        return stream, np.nan
    return stream, run(o.bin, *crop(o, photo_of(o, seed, e_in)),
                       sample(o, '--target-elevation=30', '--input-elevation=' + CANDIDATES, '--steps', 8, '--cfg-scale', 1, '-o', stream))


# ---- elevation ----

def elevation_row(o, seed, e_in):
    """Estimated elevation; seconds of candidates, pick and full run, and of a plain run."""
    refined, views = (os.path.join(o.work, name) for name in ('refined.pf', 'views.pf'))
    if o.embedding:                                             # needs no candidates
        stream = os.path.join(o.work, 'input.pf')
        made = run(o.bin, *crop(o, photo_of(o, seed, e_in)), ['pf-stream', 'cat', '-o', stream])
    else:
        stream, made = candidates(o, seed, e_in)
    picked = run(o.bin, ['pf-pick', '-q', *(['-c', o.config] if o.embedding else []), '--refine', '-o', refined, stream])
    found = pick(o, stream, '--refine')['elevation'][0]
    if not o.full:
        return found, made + picked, np.nan
    full = run(o.bin, sample(o, '-o', views, refined))
    plain = run(o.bin, *crop(o, photo_of(o, seed, e_in), '--input-elevation=%g' % e_in), sample(o, '-o', views))
    return found, made + picked + full, plain


def elevation(o):
    print('object\ttrue\tfound\terror\tauto_s\tplain_s')
    rows = []
    for seed, e_in, _ in evaluate.held_out(o.n, o.first):
        found, auto, plain = elevation_row(o, seed, e_in)
        rows.append((abs(found - e_in), auto, plain))
        print('%d\t%g\t%.1f\t%.1f\t%.2f\t%.2f' % (seed, e_in, found, *rows[-1]), flush=True)
    error, auto, plain = np.array(rows).T
    print('median error %.1f degrees, %.0f %% within 12' % (np.median(error), 100 * np.mean(error <= 12)))
    if o.full:
        print('time %.2f of a plain run' % (np.nansum(auto) / np.sum(plain[~np.isnan(auto)])))


# ---- samples ----

def chamfers(o, seed, stream, count):
    """Chamfer distance of the mesh of each document."""
    field, ply, true, out = *(os.path.join(o.work, f) for f in ('field.pf', 'mesh.ply', 'true.ply')), []
    evaluate.save_true_mesh(true, seed)
    for k in range(count):
        run(o.bin, ['pf-stream', 'cat', '--index', k, stream], ['pf-mask', '-q', '-c', o.config],
            ['pf-neus', '-q', '-c', o.neus, *o.neus_option, '-o', field])
        run(o.bin, ['pf-extract-mesh', '-q', '--resolution', 128, '-o', ply, field])
        out.append(evaluate.measure(o.bin, 'mesh', true, ply, '--original')['chamfer'])
    return np.array(out)


def samples(o):
    """One row an object; then how the scores go with the distance, over all samples less their object's mean."""
    print('object\ttrue\tpicked\tbest\tmean\tworst')
    rows, scores, distances = [], [], []
    for seed, e_in, _ in evaluate.held_out(o.n, o.first):
        stream = os.path.join(o.work, 'samples-%d.pf' % seed)
        if not os.path.exists(stream):
            run(o.bin, *crop(o, photo_of(o, seed, e_in), '--input-elevation=%g' % e_in),
                sample(o, '--sample-num', 4, *o.sample_option, '-o', stream))
        table = pick(o, stream)
        d = chamfers(o, seed, stream, len(table))
        rows.append((d[table['chosen'] == 1][0], d.min(), d.mean(), d.max()))
        scores.append(np.array([table[name] - table[name].mean() for name in SCORES]))
        distances.append(d / d.mean() - 1)
        print('%d\t%g\t' % (seed, e_in) + '\t'.join('%.5f' % x for x in rows[-1]), flush=True)
    picked, best, mean, _ = np.mean(rows, 0)
    print('picked %.5f, mean of four %.5f (%.1f %% below), best %.5f' % (picked, mean, 100 * (1 - picked / mean), best))
    for name, s in zip(SCORES, np.concatenate(scores, 1)):
        print('rank correlation of %s and Chamfer: %.2f' % (name, spearmanr(s, np.concatenate(distances))[0]))


# ---- the weights of the estimate ----

def features(t):
    """bend, fits_shape and fits_color of elevation.c."""
    x = t['input'] - t['input'].mean()
    slope = -(x * np.log(np.maximum(1 - t['coherence'], 1e-4))).sum() / (x * x).sum()
    w = abs(t['input'] - t['target'])
    return (slope / (abs(slope) + 0.01), (t['input'] + t['shape_pull']).mean(),
            (w * (t['input'] + t['color_pull'])).sum() / w.sum())


def ridge(x, y):
    """Constant and weights, least squares with a penalty of 1 on standardised features."""
    middle, width = x.mean(0), x.std(0)
    z = (x - middle) / width
    w = np.linalg.solve(z.T @ z + np.eye(z.shape[1]), z.T @ (y - y.mean())) / width
    return y.mean() - w @ middle, w


def fit(o):
    held = list(evaluate.held_out(o.n, o.first))
    x = np.array([features(pick(o, candidates(o, seed, e)[0])) for seed, e, _ in held])
    y = np.array([e for _, e, _ in held])
    constant, w = ridge(x, y)
    print('constant %.1f, bend %.1f, shape %.2f, color %.2f' % (constant, *w))
    error = []
    for k in range(len(y)):
        others = np.arange(len(y)) != k
        constant, w = ridge(x[others], y[others])
        error.append(abs(np.clip(constant + w @ x[k], -15, 40) - y[k]))
    print('each by the others: median error %.1f degrees, %.0f %% within 12' % (np.median(error), 100 * np.mean(np.array(error) <= 12)))


def main():
    demo = os.path.join(ROOT, 'configs', 'demo')
    p = argparse.ArgumentParser(description='Measure pf-pick.')
    p.add_argument('what', choices=['elevation', 'samples', 'fit'])
    p.add_argument('n', type=int, help='number of objects')
    p.add_argument('--first', type=int, default=0, help='skip that many objects')
    p.add_argument('--bin', default=os.path.join(ROOT, 'build', 'bin'), help='where the tools are')
    p.add_argument('--config', default=os.path.join(demo, 'config.yaml'))
    p.add_argument('--weights', default=os.path.join(demo, 'weights.safetensors'))
    p.add_argument('--neus', default=os.path.join(ROOT, 'configs', 'neus.yaml'))
    p.add_argument('--neus-option', action='append', default=[], metavar='WORD', help='one more word for pf-neus: =--steps=300')
    p.add_argument('--sample-option', action='append', default=[], metavar='WORD', help='samples: one more word for pf-sample')
    p.add_argument('--crop-size', default='-1', help="pf-crop's (default %(default)s)")
    p.add_argument('--full', action='store_true', help='elevation: also make the full and a plain run, for their time')
    p.add_argument('--embedding', action='store_true', help="let pf-pick read the elevation in the embedding (clip.elevation)")
    p.add_argument('--work', metavar='DIR', help='keep streams there')
    o = p.parse_args()
    with tempfile.TemporaryDirectory(prefix='pf-evaluate-pick-') as scratch:
        o.work = o.work or scratch
        os.makedirs(o.work, exist_ok=True)
        {'elevation': elevation, 'samples': samples, 'fit': fit}[o.what](o)


if __name__ == '__main__':
    sys.exit(main())
