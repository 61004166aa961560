#!/usr/bin/python3
"""Train the network of pf-cutout that ships: U^2-Net-p, 1.1 million parameters, on composed photographs.

    train_cutout.py --data DIR --out DIR [--resume DIR] [--seconds S] [--plan S]
    train_cutout.py --data DIR --out DIR --measure WEIGHTS                          table.tsv and worst.png alone

--data holds what cutout_data.py made (sprites*.npz, photos*.npz).  A picture is composed on the device: a background (a
photograph, plain, gradient, noise, checks, wood, perhaps a table with a horizon), other objects that the border cuts or
that are small, shadows, one main object, then a camera (blur, exposure, noise, JPEG's rounding).  The mask is the main
object's coverage.  Learning goes at 224 pixels for the first part of the plan and at 320 for the rest; the rate falls
with the share of the plan's seconds that have been spent, so the plan ends in time on any device.  --out gets

    weights.safetensors           the moving average in F16, with the author's names
    table.tsv, worst.png          IoU of the 200 held-out pictures; the ten worst: picture, truth, mask
    pictures.png                  the same for pictures*.npz in --data, which have no truth
    state-*.pt                    what --resume goes on from: random numbers, optimiser, seconds spent

The picture that the network sees is prepared as the author does: 320 x 320, divided by its largest value, then
(v - mean) / deviation with ImageNet's numbers.  Objects, photographs and textures marked as held out are seen by the
measurement only."""
import argparse
import functools
import glob
import json
import math
import os
import struct
import sys
import time
import zlib
from multiprocessing.pool import ThreadPool

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import networks

START = time.time()
SIDE, SMALL_SIDE, SMALL_UNTIL = 320, 224, 0.4
HELD_OUT, HELD_SEED = 200, 20261129
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# ---- the network ----

class Unit(nn.Module):
    def __init__(self, i, o, dilation=1):
        super().__init__()
        self.conv_s1 = nn.Conv2d(i, o, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(o)

    def forward(self, x):
        return F.relu(self.bn_s1(self.conv_s1(x)), inplace=True)


def resized_like(x, y):
    return x if x.shape[2:] == y.shape[2:] else F.interpolate(x, y.shape[2:], mode='bilinear', align_corners=False)


def pooled(x):
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


class Block(nn.Module):
    """RSU-`depth`, a small U-Net with a residual; flat: RSU-4F, dilations instead of pools."""

    def __init__(self, depth, i, mid, o, flat=False):
        super().__init__()
        self.depth, self.flat = depth, flat
        self.rebnconvin = Unit(i, o)
        for k in range(1, depth + 1):
            dilation = 2 ** (k - 1) if flat else 2 if k == depth else 1
            setattr(self, 'rebnconv%d' % k, Unit(o if k == 1 else mid, mid, dilation))
        for k in range(depth - 1, 0, -1):
            setattr(self, 'rebnconv%dd' % k, Unit(2 * mid, o if k == 1 else mid, 2 ** (k - 1) if flat else 1))

    def forward(self, x):
        r = self.rebnconvin(x)
        skips = [self.rebnconv1(r)]
        for k in range(2, self.depth):
            skips.append(getattr(self, 'rebnconv%d' % k)(skips[-1] if self.flat else pooled(skips[-1])))
        d = getattr(self, 'rebnconv%d' % self.depth)(skips[-1])
        for k in range(self.depth - 1, 0, -1):
            d = getattr(self, 'rebnconv%dd' % k)(torch.cat([resized_like(d, skips[k - 1]), skips[k - 1]], 1))
        return d + r


class Network(nn.Module):
    """U^2-Net-p.  Returns seven maps before the sigmoid: fused, side 1 to 6."""

    def __init__(self):
        super().__init__()
        self.stage1, self.stage2, self.stage3 = Block(7, 3, 16, 64), Block(6, 64, 16, 64), Block(5, 64, 16, 64)
        self.stage4, self.stage5 = Block(4, 64, 16, 64), Block(4, 64, 16, 64, True)
        self.stage6, self.stage5d = Block(4, 64, 16, 64, True), Block(4, 128, 16, 64, True)
        self.stage4d, self.stage3d = Block(4, 128, 16, 64), Block(5, 128, 16, 64)
        self.stage2d, self.stage1d = Block(6, 128, 16, 64), Block(7, 128, 16, 64)
        for k in range(1, 7):
            setattr(self, 'side%d' % k, nn.Conv2d(64, 1, 3, padding=1))
        self.outconv = nn.Conv2d(6, 1, 1)

    def forward(self, x):
        s = [self.stage1(x)]
        for k in range(2, 7):
            s.append(getattr(self, 'stage%d' % k)(pooled(s[-1])))
        d, at = s[5], [s[5]]
        for k in range(5, 0, -1):
            d = getattr(self, 'stage%dd' % k)(torch.cat([resized_like(d, s[k - 1]), s[k - 1]], 1))
            at.insert(0, d)
        sides = [getattr(self, 'side%d' % (k + 1))(at[k]) for k in range(6)]
        sides = [resized_like(m, sides[0]) for m in sides]
        return [self.outconv(torch.cat(sides, 1))] + sides


@functools.lru_cache(None)
def constant(values, device):
    """A few numbers on the device.  Kept, because each copy from the host waits until the device is idle."""
    return torch.tensor(values, device=device)


def prepared(picture):
    """What the network sees of pictures in 0..1, [n, 3, side, side]."""
    v = picture / picture.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
    mean, deviation = (constant(x, v.device).view(1, 3, 1, 1) for x in (MEAN, DEVIATION))
    return ((v - mean) / deviation).contiguous(memory_format=torch.channels_last)


# ---- what was packed ----

def cosines(device):
    k = torch.arange(8, dtype=torch.float32, device=device)
    m = torch.cos((2 * k + 1) * k[:, None] * math.pi / 16) / 2
    m[0] /= math.sqrt(2)
    return m


def steps(device):
    """As in cutout_data.py: what cosine coefficients are multiples of, [3, 64]."""
    k = torch.arange(8, dtype=torch.float32, device=device)
    luma = (9 + 2.5 * (k[:, None] + k)).reshape(64)
    return torch.stack([luma, 2 * luma, 2 * luma])


def to_rgb(ycc):
    """Luma and colour differences (0 is grey) to red, green, blue, [n, 3, ...]."""
    y, b, r = ycc.unbind(1)
    return torch.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], 1)


def to_ycc(rgb):
    r, g, b = rgb.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([y, (b - y) / 1.772, (r - y) / 1.402], 1)


def decoded(colours, device):
    """i1 [n, 3, 64, blocks] -> u1 [n, 3, side, side]."""
    side = 8 * math.isqrt(colours.shape[3])
    out = torch.empty(len(colours), 3, side, side, dtype=torch.uint8, device=device)
    m = cosines(device)
    for k in range(0, len(colours), 256):
        c = torch.from_numpy(colours[k:k + 256]).to(device).float() * steps(device)[:, :, None]
        c = c.view(len(c), 3, 8, 8, side // 8, side // 8)
        v = torch.einsum('nkvuyx,vi,uj->nkyixj', c, m, m).reshape(len(c), 3, side, side)
        out[k:k + 256] = to_rgb(v).add(128).round().clamp(0, 255).to(torch.uint8)
    return out


@functools.lru_cache(None)
def unpacked(path):
    with np.load(path) as f:
        return {k: f[k] for k in f.files}


class Pictures:
    """Sprites (u1 [n, 4, 224, 224], and halves of them for small objects) and photographs (u1 [n, 3, 384, 384])."""

    def __init__(self, folder, held, device):
        sprites, photos = self.load(folder, 'sprites*.npz', held), self.load(folder, 'photos*.npz', held)
        alpha = torch.from_numpy(np.concatenate([f['alpha'] for f in sprites])).to(device)[:, None]
        colours = torch.cat([decoded(f['colours'], device) for f in sprites])
        self.full = torch.cat([colours, alpha], 1)
        self.half = torch.cat([F.avg_pool2d(x.float(), 2).round().to(torch.uint8) for x in self.full.split(256)])
        self.names = [n for f in sprites for n in f['names']]
        self.photos = torch.cat([decoded(f['colours'], device) for f in photos])
        rows = (alpha > 127).any(3)[:, 0].float()               # foot: how far below the middle an object reaches, 0..1
        at = torch.arange(rows.shape[1], device=device).float()
        self.foot = (rows * at).amax(1) / (rows.shape[1] / 2) - 1

    @staticmethod
    def load(folder, pattern, held):
        paths = sorted(glob.glob(os.path.join(folder, pattern)))
        if not paths:
            sys.exit('train_cutout.py: there is no %s in %s' % (pattern, folder))
        with ThreadPool(len(paths)) as pool:
            files = pool.map(unpacked, paths)
        return [{k: a[f['held'] == held] for k, a in f.items()} for f in files]


# ---- composing ----

def blurred(x, sigma):
    """Gaussian blur of [n, c, h, w] with a deviation of its own for each picture, in pixels [n]."""
    pad = 16
    p = F.pad(x, (pad,) * 4, mode='reflect')
    fy = torch.fft.fftfreq(p.shape[2], device=x.device)
    fx = torch.fft.rfftfreq(p.shape[3], device=x.device)
    g = torch.exp(-2 * math.pi ** 2 * sigma.view(-1, 1, 1, 1) ** 2 * (fy[:, None] ** 2 + fx ** 2))
    out = torch.fft.irfft2(torch.fft.rfft2(p) * g, s=p.shape[2:])
    return out[:, :, pad:-pad, pad:-pad]


def jpeg(x, coarse):
    """Rounds the cosine coefficients of [n, 3, h, w] in 0..1 to multiples of `coarse` [n] times the steps."""
    n, _, h, w = x.shape
    m = cosines(x.device)
    v = to_ycc(x * 255 - 128).view(n, 3, h // 8, 8, w // 8, 8)
    c = torch.einsum('vi,nkyixj,uj->nkvuyx', m, v, m)
    q = (steps(x.device).view(1, 3, 8, 8, 1, 1) * coarse.view(-1, 1, 1, 1, 1, 1)).clamp(min=1)
    v = torch.einsum('vi,nkvuyx,uj->nkyixj', m, (c / q).round() * q, m)
    return ((to_rgb(v.reshape(n, 3, h, w)) + 128) / 255).clamp(0, 1)


class Composer:
    """Pictures [n, 3, side, side] and masks [n, 1, side, side], in 0..1, from a random generator."""

    def __init__(self, pictures, generator):
        self.p, self.g, self.device = pictures, generator, pictures.full.device

    def u(self, low, high, *shape):
        return low + (high - low) * torch.rand(*shape, generator=self.g, device=self.device)

    def coin(self, p, n):
        return (torch.rand(n, generator=self.g, device=self.device) < p).float()

    def index(self, count, n):
        return torch.randint(count, (n,), generator=self.g, device=self.device)

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.g, device=self.device)

    # Textures: functions of coordinates xy [n, h, w, 2], about -1..1 over the picture.

    def photo(self, xy):
        n = len(xy)
        zoom, turn = self.u(0.3, 1, n), self.normal(n) * 0.1
        c, s, flip = torch.cos(turn) * zoom, torch.sin(turn) * zoom, 1 - 2 * self.coin(0.5, n)
        a = torch.stack([torch.stack([c * flip, -s * flip], 1), torch.stack([s, c], 1)], 1)
        shift = self.u(-1, 1, n, 1, 1, 2) * (1 - zoom).view(n, 1, 1, 1)
        at = torch.einsum('nij,nhwj->nhwi', a, xy) + shift
        image = self.p.photos[self.index(len(self.p.photos), n)].float() / 255
        return F.grid_sample(image, at, mode='bilinear', padding_mode='reflection', align_corners=False)

    def colour(self, n):
        """A colour, often greyish."""
        grey, rgb, k = self.u(0.03, 1, n, 1), self.u(0, 1, n, 3), self.u(0, 1, n, 1) ** 2
        return (grey * (1 - k) + rgb * k).view(n, 3, 1, 1)

    def field(self, xy, sizes=(3, 6, 12, 24, 48, 96, 192)):
        """Smooth noise around 0: octaves of random strength."""
        n, out = len(xy), 0
        for k in sizes:
            noise = self.normal(n, 1, k, k)
            out = out + F.grid_sample(noise, xy, mode='bilinear', padding_mode='reflection',
                                      align_corners=False) * self.u(0, 1, n, 1, 1, 1) ** 2
        return out * 0.5

    def noise(self, xy):
        n = len(xy)
        tint = 0.6 + 0.4 * self.u(-1, 1, n, 3, 1, 1)
        return self.colour(n) + self.field(xy) * self.normal(n, 1, 1, 1) * 0.25 * tint

    def turned(self, xy, low, high):
        """Coordinates turned by any angle and scaled, u and v [n, 1, h, w]."""
        n = len(xy)
        a, k = self.u(0, 2 * math.pi, n, 1, 1), torch.exp(self.u(math.log(low), math.log(high), n, 1, 1))
        x, y, c, s = *xy.unbind(3), torch.cos(a) * k, torch.sin(a) * k
        return (c * x + s * y)[:, None], (c * y - s * x)[:, None]

    def checks(self, xy):
        """Checks, or stripes."""
        n = len(xy)
        u, v = self.turned(xy, 4, 50)
        stripes = self.coin(0.5, n).view(n, 1, 1, 1)
        across = torch.sin(v * torch.exp(self.normal(n, 1, 1, 1) * 0.3))
        wave = torch.sin(u) * torch.where(stripes > 0, torch.ones_like(v), across)
        k = torch.sigmoid(wave * self.u(1, 30, n, 1, 1, 1))
        a = self.colour(n)
        return a + (self.colour(n) - a) * k * self.u(0.1, 1, n, 1, 1, 1) + 0.03 * self.field(xy)

    def wood(self, xy):
        n = len(xy)
        u, v = self.turned(xy, 2, 12)
        grain = torch.cat([u * 0.05, v * 0.3], 1).permute(0, 2, 3, 1)
        rings = torch.sin(v * 2 + 4 * self.field(grain, (6, 12)) + u * self.u(-0.2, 0.2, n, 1, 1, 1))
        fine = self.field(grain, (64, 128, 256))
        brown = constant((0.55, 0.36, 0.2), self.device).view(1, 3, 1, 1) * self.u(0.4, 1.6, n, 1, 1, 1)
        brown = brown + self.u(-0.12, 0.12, n, 3, 1, 1)
        return brown * (1 + 0.15 * self.u(0, 1, n, 1, 1, 1) * rings + 0.2 * self.u(0, 1, n, 1, 1, 1) * fine)

    def gradient(self, xy):
        n = len(xy)
        u, v = self.turned(xy, 0.3, 1.2)
        round_ = self.coin(0.4, n).view(n, 1, 1, 1)
        k = torch.where(round_ > 0, torch.sqrt((u - 0.3) ** 2 + v ** 2 + 1e-6), u * 0.5 + 0.5).clamp(0, 1)
        a = self.colour(n)
        return a + (self.colour(n) - a) * k * self.u(0, 1, n, 1, 1, 1)

    def texture(self, xy, shares):
        """One of photograph, noise, checks, wood, gradient, by shares."""
        n = len(xy)
        kind = torch.multinomial(constant(shares, self.device).expand(n, -1), 1, generator=self.g)[:, :, None, None]
        out = 0
        for k, f in enumerate((self.photo, self.noise, self.checks, self.wood, self.gradient)):
            out = out + f(xy) * (kind == k)
        return out

    def background(self, n, side):
        """A texture, or for two in five a wall and a table in perspective below a horizon."""
        at = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
        y, x = (a.expand(n, side, side) for a in (at[:, None], at))
        wall = self.texture(torch.stack([x, y], 3), (0.62, 0.1, 0.07, 0.06, 0.15))
        below = y - self.u(-0.7, 0.5, n, 1, 1) - x * self.normal(n, 1, 1) * 0.06
        c = self.u(0.3, 2, n, 1, 1)
        depth = (c + 0.5) / (below.clamp(min=0) + c)
        table = self.texture(torch.stack([x * depth, 2 * depth - 2], 3), (0.4, 0.15, 0.1, 0.25, 0.1))
        table = table * self.u(0.6, 1.3, n, 1, 1, 1)
        k = (below * self.u(20, 200, n, 1, 1)).clamp(0, 1)[:, None] * self.coin(0.4, n).view(n, 1, 1, 1)
        return (wall + (table - wall) * k).clamp(0, 1)

    # Objects: a matrix [n, 3, 3] leads from the picture's coordinates to the sprite's, both -1..1.

    def matrix(self, x, y, size):
        """Centre (x, y), half size, a random turn, stretch and mirror image."""
        n = len(x)
        turn = self.normal(n) * 0.12 + self.coin(0.06, n) * self.u(-math.pi, math.pi, n)
        wide, flip = torch.exp(self.normal(n) * 0.08), 1 - 2 * self.coin(0.5, n)
        c, s, o = torch.cos(turn) / size, torch.sin(turn) / size, torch.zeros_like(x)
        a, b = c * flip / wide, s * flip / wide
        rows = [[a, b, -a * x - b * y], [-s, c, s * x - c * y], [o, o, o + 1]]
        return torch.stack([torch.stack(r, 1) for r in rows], 1)

    def sample(self, index, matrix, side, size, channels):
        """Sprites through a matrix, [n, channels, side, side] in 0..1; a smaller copy where it is drawn small."""
        grid = F.affine_grid(matrix[:, :2], (len(index), 1, side, side), align_corners=False)
        small = (size * side < 90).view(-1, 1, 1, 1)
        full, half = (F.grid_sample(s[index][:, channels].float() / 255, grid, mode='bilinear', align_corners=False)
                      for s in (self.p.full, self.p.half))
        return torch.where(small, half, full)

    def lit(self, rgb, side):
        """The object's colours under another light, or of another material."""
        n = len(rgb)
        order = torch.rand(n, 3, generator=self.g, device=self.device).argsort(1)
        keep = self.coin(0.7, n).view(n, 1).bool()
        order = torch.where(keep, torch.arange(3, device=self.device).expand(n, 3), order)
        rgb = torch.gather(rgb, 1, order.view(n, 3, 1, 1).expand(rgb.shape))
        at = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
        xy = torch.stack([at.expand(side, side), at[:, None].expand(side, side)], 2).expand(n, side, side, 2)
        grey = rgb.mean(1, keepdim=True)
        other = self.texture(xy, (0.6, 0.15, 0.1, 0.05, 0.1)) * (0.25 + 1.1 * grey)
        rgb = torch.where(self.coin(0.2, n).view(n, 1, 1, 1) > 0, other, rgb)
        rgb = grey + (rgb - grey) * self.u(0.3, 1.4, n, 1, 1, 1)
        rgb = rgb.clamp(1e-4, 1) ** torch.exp(self.normal(n, 1, 1, 1) * 0.25)
        a = self.u(0, 2 * math.pi, n, 1, 1)
        ramp = (torch.cos(a) * xy[..., 0] + torch.sin(a) * xy[..., 1])[:, None] * self.u(0, 0.5, n, 1, 1, 1)
        return (rgb * (1 + ramp) * self.u(0.5, 1.3, n, 1, 1, 1) * (1 + self.normal(n, 3, 1, 1) * 0.06)).clamp(0, 1)

    def shadow(self, index, matrix, x, y, size, side):
        """Light left on what is behind an object: its shape, laid on the ground or moved aside, blurred."""
        n = len(x)
        o, one = torch.zeros_like(x), torch.ones_like(x)
        foot, aside = y + size * self.p.foot[index], self.u(-1, 1, n)
        flat = self.u(0.15, 0.7, n) * (1 - 2 * self.coin(0.35, n))
        laid = [[one, aside / flat, -aside * foot / flat], [o, 1 / flat, foot - foot / flat], [o, o, one]]
        moved = [[one, o, -self.normal(n) * 0.12 * size], [o, one, -self.u(-0.02, 0.15, n) * size], [o, o, one]]
        total = 1
        for rows, share, most in ((laid, 0.5, 0.8), (moved, 0.6, 0.6)):
            strength = self.coin(share, n) * self.u(0.1, most, n)
            m = torch.stack([torch.stack(r, 1) for r in rows], 1)
            a = self.sample(index, matrix @ m, side, size, slice(3, 4))
            a = blurred(a, torch.exp(self.u(math.log(0.7), math.log(14), n)) * side / SIDE).clamp(0, 1)
            total = total * (1 - a * strength.view(n, 1, 1, 1))
        return total

    def layer(self, canvas, index, x, y, size, present):
        """Draws an object and its shadow where present [n] is 1: the canvas, the object's coverage."""
        n, side = len(x), canvas.shape[2]
        m = self.matrix(x, y, size)
        sprite = self.sample(index, m, side, size, slice(0, 4))
        present = present.view(n, 1, 1, 1)
        dark = 1 - (1 - self.shadow(index, m, x, y, size, side)) * present
        alpha = sprite[:, 3:] * present
        canvas = canvas * dark
        return canvas + (self.lit(sprite[:, :3], side) - canvas) * alpha, alpha

    def beside(self, n, main_size, small_share):
        """Where an object that is not the main one stands: cut by the border, or small."""
        size = self.u(0.2, 0.9, n)
        out, along = 1 + self.u(-0.45, 0.6, n) * size, self.u(-1, 1, n)
        sign, upright = 1 - 2 * self.coin(0.5, n), self.coin(0.35, n) > 0
        x, y = torch.where(upright, along, sign * out), torch.where(upright, sign * out, along)
        small = self.coin(small_share, n) > 0
        return (torch.where(small, self.u(-0.95, 0.95, n), x), torch.where(small, self.u(-0.95, 0.95, n), y),
                torch.where(small, self.u(0.15, 0.45, n) * main_size, size))

    def camera(self, x):
        n = len(x)
        x = blurred(x, self.coin(0.5, n) * self.u(0.3, 1.4, n) * x.shape[2] / SIDE).clamp(1e-4, 1)
        x = x ** torch.exp(self.normal(n, 1, 1, 1) * 0.2)
        # Cameras choose their exposure by what they see.
        gain = (self.u(0.22, 0.6, n, 1, 1, 1) / x.mean((1, 2, 3), keepdim=True)).clamp(0.6, 3)
        x = x * gain * (1 + self.normal(n, 3, 1, 1) * 0.05)
        at = (torch.arange(x.shape[2], device=self.device) + 0.5) / x.shape[2] * 2 - 1
        x = x * (1 - self.u(0, 0.3, n, 1, 1, 1) * self.coin(0.5, n).view(n, 1, 1, 1) * (at[:, None] ** 2 + at ** 2) / 2)
        grain = self.normal(n, 3, *x.shape[2:]) * (self.coin(0.7, n) * self.u(0, 0.06, n) ** 1.5 * 4).view(n, 1, 1, 1)
        x = (x + grain * (0.3 + 0.7 * x.clamp(0, 1).sqrt())).clamp(0, 1)
        x = torch.where(self.coin(0.5, n).view(n, 1, 1, 1) > 0, jpeg(x, self.u(0.2, 2.5, n)), x)
        return (x * 255).round() / 255

    @torch.no_grad()
    def compose(self, n, side):
        count = len(self.p.full)
        size = self.u(0.28, 0.98, n)
        room = (1 - size).clamp(min=0.02)
        cut = self.coin(0.08, n)                                # the main object itself is cut by the border, and alone
        x, y = ((self.normal(n) * 0.25).clamp(-1, 1) for _ in range(2))
        x, y = torch.minimum(torch.maximum(x, -room), room), torch.minimum(torch.maximum(y, -room), room)
        x = x + cut * (1 - 2 * self.coin(0.5, n)) * (room + self.u(0, 0.3, n) * size)
        shares = constant((0.3, 0.3, 0.25, 0.15), self.device).expand(n, 4)
        others = torch.multinomial(shares, 1, generator=self.g)[:, 0] * (1 - cut)
        canvas = self.background(n, side)
        for k in range(3):
            canvas, _ = self.layer(canvas, self.index(count, n), *self.beside(n, size, 0.3), (others > k).float())
        canvas = blurred(canvas, self.coin(0.45, n) * self.u(0, 4, n) * side / SIDE)
        main = self.index(count, n)
        canvas, mask = self.layer(canvas, main, x, y, size, torch.ones_like(x))
        in_front = (others > 0) * self.coin(0.12, n)
        canvas, front = self.layer(canvas, self.index(count, n), *self.beside(n, size, 0), in_front)
        self.main = main
        return self.camera(canvas), mask * (1 - front)


# ---- measuring ----

class Measurement:
    """The same held-out pictures each time, composed by the same rules from what training never sees."""

    def __init__(self, folder, device, count, side):
        pictures = Pictures(folder, True, device)
        c = Composer(pictures, torch.Generator(device).manual_seed(HELD_SEED))
        self.pictures, self.masks, self.names = [], [], []
        while len(self.names) < count:
            x, mask = c.compose(min(50, count - len(self.names)), side)
            for k in range(len(x)):
                self.pictures.append((x[k] * 255).round().to(torch.uint8).cpu())
                self.masks.append((mask[k] * 255).round().to(torch.uint8).cpu())
                self.names.append(pictures.names[c.main[k]])
        self.device = device

    @torch.no_grad()
    def masks_of(self, net, pictures):
        return torch.cat([torch.sigmoid(net(prepared(p.to(self.device).float() / 255))[0].float()).cpu()
                          for p in torch.stack(pictures).split(25)])

    def iou(self, net):
        made = self.masks_of(net, self.pictures)
        a, b = made > 0.5, torch.stack(self.masks) > 127
        both, any_ = (a & b).sum((1, 2, 3)), (a | b).sum((1, 2, 3))
        return (both / any_.clamp(min=1)).tolist(), made


def write_png(path, rgb):
    """u1 [h, w, 3]."""
    h, w = rgb.shape[:2]
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    rows = np.concatenate([np.zeros((h, 1), np.uint8), rgb.reshape(h, 3 * w)], 1).tobytes()
    with open(path, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0)) +
                chunk(b'IDAT', zlib.compress(rows, 6)) + chunk(b'IEND', b''))


def sheet(rows, columns=2):
    """Rows of pictures u1 [3 or 1, h, w] side by side, `columns` rows beside each other."""
    strips = [torch.cat([p.expand(3, -1, -1) for p in row], 2) for row in rows]
    strips += [torch.zeros_like(strips[0])] * (-len(strips) % columns)
    lines = [torch.cat(strips[k:k + columns], 2) for k in range(0, len(strips), columns)]
    return torch.cat(lines, 1).permute(1, 2, 0).numpy()


# ---- training ----

def loss_of(maps, mask):
    """Cross entropy of all seven maps, as the authors train, and the fused one's soft intersection over union."""
    total = 0
    for k, m in enumerate(maps):
        total = total + F.binary_cross_entropy_with_logits(m.float(), mask)
    p = torch.sigmoid(maps[0].float())
    both = (p * mask).sum((1, 2, 3))
    iou = (both + 1) / (p.sum((1, 2, 3)) + mask.sum((1, 2, 3)) - both + 1)
    return total + (1 - iou).mean()


def numbers(net):
    """Parameters and statistics, the network's own memory."""
    return [v for v in net.state_dict().values() if v.dtype.is_floating_point]


def write_weights(path, net, meta):
    """F16 safetensors, names in order, data from a 64-byte boundary.  Counters of batches stay out."""
    arrays = {k: v.half().cpu().numpy() for k, v in sorted(net.state_dict().items()) if v.dtype.is_floating_point}
    head, at = {'__metadata__': meta}, 0
    for k, a in arrays.items():
        head[k] = {'dtype': 'F16', 'shape': list(a.shape), 'data_offsets': [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(head, separators=(',', ':')).encode()
    text += b' ' * (-(8 + len(text)) % 64)
    with open(path + '.part', 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + b''.join(a.tobytes() for a in arrays.values()))
    os.rename(path + '.part', path)


class Training:
    def __init__(self, o):
        self.o, self.device = o, torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        torch.manual_seed(1)
        self.net = Network().to(self.device, memory_format=torch.channels_last)
        self.kept = Network().to(self.device, memory_format=torch.channels_last).eval()
        self.kept.load_state_dict(self.net.state_dict())
        decay = [p for p in self.net.parameters() if p.dim() > 1]
        rest = [p for p in self.net.parameters() if p.dim() <= 1]
        groups = [{'params': decay, 'weight_decay': 1e-2}, {'params': rest, 'weight_decay': 0}]
        self.optimiser = torch.optim.AdamW(groups, lr=o.rate)
        self.generator = torch.Generator(self.device).manual_seed(7)
        self.step, self.spent = 0, 0.0                          # spent: seconds of training, over all calls
        self.numbers, self.averages = numbers(self.net), numbers(self.kept)
        if o.resume:
            self.load(o.resume)
        self.composer = Composer(Pictures(o.data, False, self.device), self.generator)
        self.measurement = Measurement(o.data, self.device, o.held_out, o.side)
        unpacked.cache_clear()
        p = self.composer.p
        self.log('%d sprites, %d photographs and textures; held out: %d pictures of %d models'
                 % (len(p.full), len(p.photos), o.held_out, len(set(self.measurement.names))))

    def log(self, text):
        print('%4.0f s  %s' % (time.time() - START, text), flush=True)

    def load(self, folder):
        at = lambda name: torch.load(os.path.join(folder, 'state-%s.pt' % name), map_location='cpu', weights_only=False)
        model, optimiser = at('model'), at('optimiser')
        self.net.load_state_dict(model['net'])
        self.kept.load_state_dict(model['kept'])
        self.optimiser.load_state_dict(optimiser['optimiser'])
        self.generator.set_state(model['generator'])
        self.step, self.spent = model['step'], model['spent']

    def save(self):
        """Two files, because each may have 16 MiB; each is complete or not there."""
        model = {'net': self.net.state_dict(), 'kept': self.kept.state_dict(), 'generator': self.generator.get_state(),
                 'step': self.step, 'spent': self.spent}
        for name, part in (('model', model), ('optimiser', {'optimiser': self.optimiser.state_dict()})):
            path = os.path.join(self.o.out, 'state-%s.pt' % name)
            torch.save(part, path + '.part')
            os.rename(path + '.part', path)

    def one_step(self):
        o, share = self.o, min(self.spent / self.o.plan, 1)
        side = o.small_side if share < SMALL_UNTIL else o.side
        batch = o.batch * (2 if side < o.side and o.batch > 8 else 1)
        rate = o.rate * min(1, (self.step + 1) / 300) * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * share)))
        for g in self.optimiser.param_groups:
            g['lr'] = rate
        picture, mask = self.composer.compose(batch, side)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == 'cuda'):
            maps = self.net(prepared(picture))
        loss = loss_of(maps, mask)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        k = 1 - min(0.999, (1 + self.step) / (10 + self.step))  # moving average of parameters and statistics
        torch._foreach_mul_(self.averages, 1 - k)
        torch._foreach_add_(self.averages, self.numbers, alpha=k)
        self.step += 1
        return loss.detach(), side

    def run(self):
        o, begun, before = self.o, time.time(), self.spent
        last, told, losses = time.time(), time.time(), []
        self.net.train()
        while time.time() - START < o.seconds - o.reserve and self.spent < o.plan and self.step < o.steps:
            loss, side = self.one_step()
            losses.append(loss)
            if self.step % 10 == 0 and self.device.type == 'cuda':
                torch.cuda.synchronize()                        # else the clock runs ahead of the device
            self.spent = before + time.time() - begun
            if time.time() - told > 20 or self.step <= 2:
                mean = torch.stack(losses).mean().item()
                self.log('step %d, side %d, %.0f of %.0f s, loss %.4f, %.1f ms a step'
                         % (self.step, side, self.spent, o.plan, mean, 1e3 * (time.time() - told) / len(losses)))
                told, losses = time.time(), []
            if time.time() - last > o.check:
                ious, _ = self.measurement.iou(self.kept)
                self.log('step %d: held-out mean IoU %.4f' % (self.step, sum(ious) / len(ious)))
                self.save()
                last = told = time.time()
                losses = []
        self.save()

    def finish(self):
        """Weights, measured as they ship: rounded to F16."""
        o = self.o
        rounded = Network().to(self.device, memory_format=torch.channels_last).eval()
        rounded.load_state_dict({k: v.half().to(v.dtype) if v.dtype.is_floating_point else v
                                 for k, v in self.kept.state_dict().items()})
        mean = self.tell(rounded)
        write_weights(os.path.join(o.out, 'weights.safetensors'), rounded,
                      {'network': 'u2netp', 'trained_by': 'tests/reference/train_cutout.py', 'steps': str(self.step),
                       'held_out_mean_iou': '%.4f' % mean})

    def measure(self, path):
        """Weights that are there already."""
        net = Network().to(self.device, memory_format=torch.channels_last).eval()
        net.load_state_dict({k: v.to(self.device) for k, v in networks.read_safetensors(path)[0].items()}, strict=False)
        self.tell(net)

    def tell(self, net):
        """table.tsv, worst.png and pictures.png of a network; its mean IoU on the held-out pictures."""
        o = self.o
        ious, made = self.measurement.iou(net)
        mean = sum(ious) / len(ious)
        order = sorted(range(len(ious)), key=lambda k: ious[k])
        with open(os.path.join(o.out, 'table.tsv'), 'w') as f:
            f.write('picture\tobject\tiou\n')
            f.writelines('%d\t%s\t%.4f\n' % (k, self.measurement.names[k], ious[k]) for k in order)
        byte = (made * 255).round().to(torch.uint8)
        write_png(os.path.join(o.out, 'worst.png'),
                  sheet([[self.measurement.pictures[k], self.measurement.masks[k], byte[k]] for k in order[:10]]))
        self.sheet_of_pictures(net)
        q = [ious[order[int(f * (len(ious) - 1))]] for f in (0.05, 0.25, 0.5)]
        self.log('%d steps; F16 weights on %d held-out pictures: mean IoU %.4f; 5 %%, 25 %%, 50 %% are below %s'
                 % (self.step, len(ious), mean, ', '.join('%.3f' % v for v in q)))
        return mean

    def sheet_of_pictures(self, net):
        pictures = [torch.from_numpy(p) for path in sorted(glob.glob(os.path.join(self.o.data, 'pictures*.npz')))
                    for p in np.load(path)['pictures']]
        if pictures:
            made = (self.measurement.masks_of(net, pictures) * 255).round().to(torch.uint8)
            write_png(os.path.join(self.o.out, 'pictures.png'), sheet([[p, m] for p, m in zip(pictures, made)]))


def main():
    p = argparse.ArgumentParser(description='Train the network of pf-cutout that ships.')
    p.add_argument('--data', required=True, metavar='DIR')
    p.add_argument('--out', required=True, metavar='DIR')
    p.add_argument('--resume', metavar='DIR', help="where a call before left state-*.pt")
    p.add_argument('--seconds', type=float, default=540, help='this call ends in time (default %(default)s)')
    p.add_argument('--plan', type=float, default=940, help='seconds of training over all calls (default %(default)s)')
    p.add_argument('--reserve', type=float, default=20, help='kept for the last measurement (default %(default)s)')
    p.add_argument('--check', type=float, default=90, help='seconds between measurements (default %(default)s)')
    p.add_argument('--batch', type=int, default=48, help='of full-size pictures; twice as many small ones')
    p.add_argument('--rate', type=float, default=2e-3, help='the highest learning rate (default %(default)s)')
    p.add_argument('--side', type=int, default=SIDE, help='for tests of this program (default %(default)s)')
    p.add_argument('--small-side', type=int, default=SMALL_SIDE, help='for tests of this program (default %(default)s)')
    p.add_argument('--steps', type=int, default=1 << 30, help='for tests of this program (default: as many as fit)')
    p.add_argument('--held-out', type=int, default=HELD_OUT, help='pictures to measure on (default %(default)s)')
    p.add_argument('--measure', metavar='WEIGHTS', help='only table.tsv and worst.png of a safetensors file')
    p.add_argument('--sample', metavar='FILE', help='only write a sheet of composed pictures and their masks')
    o = p.parse_args()
    os.makedirs(o.out, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    t = Training(o)
    if o.sample:
        x, mask = t.composer.compose(24, o.side)
        write_png(o.sample, sheet([[(a.cpu() * 255).to(torch.uint8) for a in pair] for pair in zip(x, mask)], 4))
        return
    if o.measure:
        t.measure(o.measure)
        return
    t.run()
    t.finish()


if __name__ == '__main__':
    sys.exit(main())
