#!/usr/bin/python3
"""Large photographs of known truth for pf-cutout, and how well it cuts them out.

    cutout_photos.py compose --root DIR --out DIR [--count N] [--training]   photo-NN.jpg, truth-NN.png
    cutout_photos.py measure --data DIR --out DIR [--options OPTIONS]        a table, and worst.png: the ten worst
    cutout_photos.py table --seed N --out DIR [--elevation DEG]               an object of objects.py on a table
    cutout_photos.py masks --views STRIP... [--truth STRIP...] --out DIR      pf-mask's methods on strips of views

--root is cutout_data.py's: a folder of unpacked Debian packages.  A photo has 1500 to 2500 pixels on its longer side: a
wallpaper, up to two objects that the border cuts, shadows, one object that is complete, then a lens (Gaussian blur), noise
and JPEG.  Objects and wallpapers are those that train_cutout.py's training never sees; with --training they are the
others, to tune by.  truth-NN.png is RGBA, what the lens made of the object: coverage, and the object's own colours.

Each photo goes through pf-cutout with OPTIONS.  Measured are

    IoU        of alpha above one half with coverage above one half
    alpha      mean |alpha - coverage| in the band: pixels within 1 % of the longer side of the coverage's edge
    halo       mean |C - T| over white and over green (0, 255, 0), in steps of 255: C is the cut-out on that ground, T the
               truth on it; over pixels of the band whose alpha is above 0.05 and whose coverage is above 0.05
    seconds    of processor that pf-cutout took, and the most memory that it held, in MB"""
import argparse
import glob
import os
import subprocess
import sys

import numpy as np
from PIL import Image, ImageFilter

import cutout_data as data
import objects

SEED = 20261129
GROUNDS = np.array([[255, 255, 255], [0, 255, 0]], np.float32)


# ---- composing ----

def blurred(a, sigma):
    """Gaussian blur of [h, w, n] floats, by three boxes at large deviations (Pillow's), exactly at small ones."""
    if sigma <= 0:
        return a
    r = int(np.ceil(3 * sigma))
    k = np.exp(-0.5 * (np.arange(-r, r + 1) / sigma) ** 2)
    k /= k.sum()
    for axis in (0, 1):
        pad = [(r, r) if i == axis else (0, 0) for i in range(a.ndim)]
        p = np.pad(a, pad, mode='edge')
        a = sum(w * np.take(p, np.arange(i, i + a.shape[axis]), axis) for i, w in enumerate(k)).astype(np.float32)
    return a


def layer(canvas, sprite, x, y, rng):
    """Lay a sprite u1 [s, s, 4] and its shadow on canvas [h, w, 3]; its coverage and premultiplied colours [h, w, 4]."""
    h, w = canvas.shape[:2]
    picture = Image.new('RGBA', (w, h))
    picture.paste(Image.fromarray(sprite), (x, y))
    rgba = np.asarray(picture).astype(np.float32) / 255
    alpha = rgba[..., 3:]
    soft, away = rng.uniform(0.01, 0.08) * len(sprite), rng.uniform(-0.1, 0.1, 2) * len(sprite)
    dark = Image.fromarray((alpha[..., 0] * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(soft))
    dark = np.roll(np.asarray(dark), away.astype(int), (1, 0))[..., None] / np.float32(255)
    canvas *= 1 - dark * rng.uniform(0, 0.7)
    over = np.concatenate([rgba[..., :3] * alpha, alpha], 2)
    canvas *= 1 - alpha
    canvas += over[..., :3]
    return over


def model_sprite(models, rng, side):
    """A random view of a random model that is more than wires: it covers a tenth of its frame."""
    while True:
        try:
            sprite = data.Model(models[rng.integers(len(models))]).render(rng, side)
        except (ValueError, KeyError, OSError):
            continue
        if (sprite[..., 3] > 127).mean() > 0.1:
            return sprite


def background(papers, rng):
    image = Image.open(papers[rng.integers(len(papers))]).convert('RGB')
    w, h = (rng.integers(1500, 2501), rng.integers(1000, 1501))
    w, h = (w, h) if rng.random() < 0.7 else (h, w)
    k = max(w / image.size[0], h / image.size[1]) * rng.uniform(1, 1.3)
    image = image.resize([max(a, round(s * k)) for a, s in zip((w, h), image.size)], Image.BICUBIC)
    x, y = (rng.integers(0, a - b + 1) for a, b in zip(image.size, (w, h)))
    image = image.crop((x, y, x + w, y + h)).filter(ImageFilter.GaussianBlur(rng.choice([0, rng.uniform(0, 12)])))
    return np.asarray(image).astype(np.float32) / 255


def compose(models, papers, rng):
    """A photo u1 [h, w, 3] and its truth u1 [h, w, 4]."""
    canvas = background(papers, rng)
    h, w = canvas.shape[:2]
    side = int(min(h, w) * rng.uniform(0.35, 0.95))
    for _ in range(rng.choice([0, 0, 1, 2])):
        s = int(side * rng.uniform(0.4, 1))
        x = rng.choice([-s + s * rng.uniform(0.2, 0.5), w - s * rng.uniform(0.2, 0.5)])
        layer(canvas, model_sprite(models, rng, s), int(x), int(rng.uniform(0, h - s)), rng)
    x, y = (int((a - side) * rng.uniform(0.15, 0.85)) for a in (w, h))
    over = layer(canvas, model_sprite(models, rng, side), x, y, rng)
    lens = rng.choice([rng.uniform(0.4, 1), rng.uniform(1, 2)])
    both = blurred(np.concatenate([canvas, over], 2), lens)
    canvas, over = both[..., :3], both[..., 3:]
    noise = rng.normal(0, rng.uniform(0.002, 0.02), canvas.shape).astype(np.float32)
    photo = np.clip((canvas + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
    truth = np.concatenate([over[..., :3] / np.maximum(over[..., 3:], 1e-4), over[..., 3:]], 2)
    return photo, np.clip(truth * 255 + 0.5, 0, 255).astype(np.uint8)


def make(o):
    os.makedirs(o.out, exist_ok=True)
    models = [e for e in data.allowed(o.root) if e['held'] != o.training]
    papers = [p for p in data.wallpapers(o.root) if data.held_out(p) != o.training]
    for k in range(o.count):
        rng = np.random.default_rng([SEED, o.training, k])
        photo, truth = compose(models, papers, rng)
        Image.fromarray(photo).save(os.path.join(o.out, 'photo-%03d.jpg' % k), quality=int(rng.integers(80, 96)))
        Image.fromarray(truth).save(os.path.join(o.out, 'truth-%03d.png' % k), compress_level=1)


# ---- one object on a table ----

def noise(shape, cells, rng):
    """Smooth noise of so many cells a side, -1..1."""
    picture = Image.fromarray(rng.uniform(-1, 1, cells).astype(np.float32)).resize(shape[::-1], Image.BICUBIC)
    return np.asarray(picture)


def wood(u, v, rng):
    """Boards: u across them, v along them; colours in linear light [h, w, 3]."""
    board = np.floor(u * 4)
    shade = np.modf(np.abs(np.sin(board * 12.9898 + rng.uniform(0, 9)) * 437.585))[0]
    grain = np.sin(40 * u + 6 * np.sin(1.3 * v + 5 * shade) + 9 * shade) + 0.5 * np.sin(170 * u + 2.1 * v)
    seam = np.clip(np.abs(u * 4 - np.rint(u * 4)) * 60, 0.35, 1)
    light = (0.55 + 0.25 * shade + 0.06 * grain) * seam
    return light[..., None] * np.array([0.62, 0.36, 0.19], np.float32)


def table_truth(o, w, h, size, at):
    """The object of objects.py as the table's photo shows it, RGBA in 0..1 [h, w, 4]."""
    picture = objects.render(o.seed, np.deg2rad(o.elevation), [0.0], size, 4)[0]
    out = np.zeros((h, w, 4), np.float32)
    out[at[1]:at[1] + size, at[0]:at[0] + size] = picture
    return out


def ground(o, w, h, size, at, foot):
    """Where each pixel's ray meets the plane z = foot, [h, w, 2]; not a number above the horizon."""
    f, e = 280 * size / 256, np.deg2rad(o.elevation)
    x = (np.arange(w) - at[0] - size / 2) / f
    y = (np.arange(h) - at[1] - size / 2) / f
    pose = objects.poses([e], [0.0])[0]
    rays = np.stack([*np.meshgrid(x, y), np.ones((h, w))], 2) @ pose[:, :3]
    eye = -pose[:, :3].T @ pose[:, 3]
    t = (foot - eye[2]) / np.minimum(rays[..., 2], -1e-6)
    return np.where(rays[..., 2:] < -1e-3, eye[:2] + t[..., None] * rays[..., :2], np.nan)


def shadow(o, plane, foot):
    """Light that the object leaves of a large lamp above it, at each point of the plane."""
    points = np.nan_to_num(plane.reshape(-1, 2), nan=9.0).astype(np.float32)
    dark = np.zeros(len(points), np.float32)
    lamps = np.array([[0.5, -0.35, 1], [0.35, -0.5, 1], [0.6, -0.6, 1], [0.2, -0.3, 1], [0.45, -0.15, 1]])
    near = np.abs(points).max(1) < 1.5
    for lamp in lamps / np.linalg.norm(lamps, axis=1)[:, None]:
        at = np.concatenate([points[near], np.full((near.sum(), 1), foot + 0.004, np.float32)], 1)
        hit = np.zeros(len(at), bool)
        for _ in range(40):                                     # sphere tracing; a distance is no less than 0.01
            d = objects.sdf(o.seed, at)
            hit |= d < 0.003
            at = at + np.maximum(d, 0.01)[:, None] * lamp.astype(np.float32)
        dark[near] += hit / len(lamps)
    return (1 - 0.75 * dark).reshape(plane.shape[:2])


def table(o):
    """OUT/table.jpg, OUT/truth.png and OUT/mesh.ply: the object on boards before a wall."""
    w, h, size = 720, 540, 384
    at, rng = (170, 60), np.random.default_rng([SEED, o.seed])
    foot = objects.mesh(o.seed, 64)[0][:, 2].min()
    plane = ground(o, w, h, size, at, foot)
    boards = wood(plane[..., 1] * 1.3 + 0.2 * plane[..., 0], plane[..., 0] * 3, rng) * shadow(o, plane, foot)[..., None]
    wall = np.array([0.42, 0.47, 0.45]) * (1 + 0.12 * noise((h, w), (5, 6), rng))[..., None]
    canvas = np.where(np.isnan(plane[..., :1]), wall, np.nan_to_num(boards))
    canvas = np.clip(canvas * (1 + 0.05 * noise((h, w), (60, 80), rng))[..., None], 0, 1) ** (1 / 2.2)
    canvas = blurred(canvas.astype(np.float32), 1.2)
    truth = table_truth(o, w, h, size, at)
    over = np.concatenate([truth[..., :3] * truth[..., 3:], truth[..., 3:]], 2)
    canvas = blurred(canvas * (1 - over[..., 3:]) + over[..., :3], 0.7)
    falloff = 1 - 0.15 * (((np.arange(w) / w - 0.5) ** 2)[None] + ((np.arange(h) / h - 0.5) ** 2)[:, None])
    canvas = canvas * falloff[..., None] + rng.normal(0, 0.012, canvas.shape)
    os.makedirs(o.out, exist_ok=True)
    Image.fromarray(np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)).save(os.path.join(o.out, 'table.jpg'), quality=85)
    Image.fromarray(np.clip(truth * 255 + 0.5, 0, 255).astype(np.uint8)).save(os.path.join(o.out, 'truth.png'))
    objects.write_ply(os.path.join(o.out, 'mesh.ply'), *objects.mesh(o.seed))


# ---- measuring ----

def extreme(mask, r):
    """The largest value within r pixels in x and y."""
    for axis in (0, 1):
        p = np.pad(mask, [(r, r) if i == axis else (0, 0) for i in (0, 1)])
        c = np.cumsum(p, axis, dtype=np.int32)
        n = mask.shape[axis]
        high = np.take(c, np.arange(2 * r, 2 * r + n), axis)
        low = np.take(np.pad(c, [(1, 0) if i == axis else (0, 0) for i in (0, 1)]), np.arange(n), axis)
        mask = high > low
    return mask


def edge_band(coverage):
    r = max(1, round(0.01 * max(coverage.shape)))
    inside = coverage > 127
    return extreme(inside, r) & extreme(~inside, r) | (coverage > 0) & (coverage < 255) & extreme(inside, r)


def errors(made, truth):
    """IoU, alpha error in the band, colour error in it."""
    a, c = (x[..., 3].astype(np.float32) / 255 for x in (made, truth))
    both, either = ((a > 0.5) & (c > 0.5)).sum(), ((a > 0.5) | (c > 0.5)).sum()
    band = edge_band(truth[..., 3])
    seen = band & ((a > 0.05) & (c > 0.05))
    halo = [np.abs(on(made[seen], g) - on(truth[seen], g)).mean() for g in GROUNDS] if seen.any() else np.nan
    return both / max(either, 1), np.abs(a - c)[band].mean(), np.mean(halo)


def on(rgba, ground):
    a = rgba[..., 3:].astype(np.float32) / 255
    return rgba[..., :3] * a + ground * (1 - a)


def cut(photo, out, o):
    program = os.path.join(o.bin, 'pf-cutout')
    p = subprocess.Popen([program, '-q', '--method', 'net', '-o', out, *o.options.split(), photo])
    _, status, usage = os.wait4(p.pid, 0)
    if status:
        print('%s: no cut-out' % photo, file=sys.stderr)
        Image.new('RGBA', Image.open(photo).size).save(out)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def tile(paths, side=240):
    """Photo, truth and cut-out on green, side by side."""
    out = Image.new('RGB', (3 * side, side))
    for k, path in enumerate(paths):
        image = Image.open(path)
        image.thumbnail((side, side))
        out.paste(image if k == 0 else (0, 160, 0), (k * side, 0, k * side + image.size[0], image.size[1]))
        if k:
            out.paste(image, (k * side, 0), image)
    return out


def measure(o):
    os.makedirs(o.out, exist_ok=True)
    rows = []
    for photo in sorted(glob.glob(os.path.join(o.data, 'photo-*.jpg'))):
        number = photo[-7:-4]
        made, truth = os.path.join(o.out, 'cut-%s.png' % number), os.path.join(o.data, 'truth-%s.png' % number)
        spent = cut(photo, made, o)
        rows.append((*errors(*(np.asarray(Image.open(p)) for p in (made, truth))), *spent, (photo, truth, made)))
    print('photo\tIoU\talpha\thalo\tseconds\tMB')
    for r in rows:
        print('%s\t%.4f\t%.4f\t%.2f\t%.2f\t%.0f' % (r[-1][0][-7:-4], *r[:5]))
    for name, f in (('mean', np.nanmean), ('median', np.nanmedian)):
        print('%s\t%.4f\t%.4f\t%.2f\t%.2f\t%.0f' % (name, *f([r[:5] for r in rows], 0)))
    worst = [tile(r[-1]) for r in sorted(rows, key=lambda r: r[0])[:10]]
    sheet = Image.new('RGB', (2 * worst[0].size[0], (len(worst) + 1) // 2 * worst[0].size[1]))
    for k, t in enumerate(worst):
        sheet.paste(t, (k % 2 * t.size[0], k // 2 * t.size[1]))
    sheet.save(os.path.join(o.out, 'worst.png'))


# ---- masks of views ----

def masks(o):
    """Mean IoU over the views of each strip: white, and before a network, of the strip on white with the truth's alpha."""
    os.makedirs(o.out, exist_ok=True)
    print('strip\twhite\tnet')
    rows = []
    for views, truth in zip(o.views, o.truth or o.views):
        rgba, want = (np.asarray(Image.open(p).convert('RGBA')) for p in (views, truth))
        strip = os.path.join(o.out, 'strip.png')
        Image.fromarray(np.rint(on(rgba, GROUNDS[0])).astype(np.uint8)).save(strip)
        rows.append([strip_iou(strip, method, want[..., 3] > 127, o) for method in ('white', 'net')])
        print('%s\t%.4f\t%.4f' % (views, *rows[-1]), flush=True)
    print('mean\t%.4f\t%.4f' % tuple(np.mean(rows, 0)))


def strip_iou(strip, method, want, o):
    folder = os.path.join(o.out, method)
    subprocess.run([os.path.join(o.bin, 'pf-mask'), '-q', '--method', method, '--elevation', '30', '--png', folder,
                    '-o', os.devnull, strip], check=True)
    side = want.shape[0]
    made = [np.asarray(Image.open(os.path.join(folder, 'masked-%d.png' % k)))[..., 3] > 127
            for k in range(want.shape[1] // side)]
    pairs = list(zip(made, np.split(want, len(made), 1)))
    return np.mean([(m & w).sum() / max((m | w).sum(), 1) for m, w in pairs])


def main():
    p = argparse.ArgumentParser(description='Large photographs of known truth for pf-cutout.')
    p.add_argument('what', choices=['compose', 'measure', 'masks', 'table'])
    p.add_argument('--root', metavar='DIR', help='where the packages were unpacked')
    p.add_argument('--data', metavar='DIR', help='what compose made')
    p.add_argument('--out', required=True, metavar='DIR')
    p.add_argument('--bin', default=os.path.join(data.HERE, '..', '..', 'build', 'bin'), metavar='DIR')
    p.add_argument('--views', nargs='+', metavar='STRIP', help='views side by side')
    p.add_argument('--truth', nargs='+', metavar='STRIP', help='the same with true alpha (default: the views)')
    p.add_argument('--seed', type=int, default=0, help='of the object on a table, held-out ones from 2^20 on')
    p.add_argument('--elevation', type=float, default=20, help="of the table's photo, degrees (default %(default)s)")
    p.add_argument('--count', type=int, default=40, help='photos (default %(default)s)')
    p.add_argument('--training', action='store_true', help='of what training sees')
    p.add_argument('--options', default='', help='of pf-cutout, as one word: "--refine off"')
    o = p.parse_args()
    {'compose': make, 'measure': measure, 'masks': masks, 'table': table}[o.what](o)


if __name__ == '__main__':
    sys.exit(main())
