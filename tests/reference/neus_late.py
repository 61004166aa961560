#!/usr/bin/python3
"""The original's field late in training, written out in float64 with autograd, for tests/kernels/field/test_neus_golden.c:

    pf-mask -q --elevation 30 configs/demo/made/views.png -o views.pf
    pf-neus -q -d cpu -c tests/data/neus/late.yaml --stop-at 150 --checkpoint late.ck -o late.pf views.pf
    tests/reference/neus_late.py views.pf late.ck tests/data/neus/late.safetensors

A small field of the original's shape, trained for 150 steps, whose sharpness is then set to inv_s 250, as it is at the
end of a run: what its depths, colours, losses and gradients of all parameters are for 16 rays, at that step's ratio of
the anneal (150 / 200) and, as eval.*, at 1.  Formulas: kernels/field/field.md, 2 to 6; names: golden/README.md, neus."""
import json
import math
import struct
import sys

import numpy as np
import torch

INV_S, STEPS, ANNEAL, BOUND, RAYS = 250, 150, 200, 0.6, 16
SDF_LAYERS, COLOR_LAYERS, FREQUENCIES, COLOR_FREQUENCIES = 8, 4, 6, 4
TYPES = {'F64': np.float64, 'F32': np.float32, 'F16': np.float16, 'U8': np.uint8, 'I64': np.int64}


def read(path):
    """The tensors of a document, which has safetensors' format."""
    with open(path, 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
        data = f.read()
    header.pop('__metadata__', None)
    return {name: np.frombuffer(data[h['data_offsets'][0]:h['data_offsets'][1]], TYPES[h['dtype']]).reshape(h['shape'])
            for name, h in header.items() if h['dtype'] in TYPES}


def write(path, tensors):
    names = {np.dtype(t): n for n, t in TYPES.items()}
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {'dtype': names[t.dtype], 'shape': list(t.shape), 'data_offsets': [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        for t in tensors.values():
            f.write(np.ascontiguousarray(t).tobytes())


# ---- networks ----

def encode(x, frequencies):
    parts = [x]
    for k in range(frequencies):
        parts += [torch.sin(2**k * x), torch.cos(2**k * x)]
    return torch.cat(parts, 1)


def linear(p, name, x):
    v = p[name + '.weight_v']
    return x @ (p[name + '.weight_g'] * v / v.norm(dim=1, keepdim=True)).T + p[name + '.bias']


def distance(p, x):
    """[n, 1 + features]"""
    inputs = h = encode(x, FREQUENCIES)
    for layer in range(SDF_LAYERS + 1):
        if layer == SDF_LAYERS // 2:
            h = torch.cat([h, inputs], 1) / math.sqrt(2)
        h = linear(p, 'sdf_network.lin%d' % layer, h)
        if layer < SDF_LAYERS:
            h = torch.nn.functional.softplus(h, beta=100)
    return h


def normalize(v):
    return v / v.norm(dim=1, keepdim=True).clamp_min(1e-12)


def shade(p, x, gradient, towards, features):
    n, v = normalize(gradient), normalize(towards)
    r = 2 * (v * n).sum(1, keepdim=True) * n - v
    h = torch.cat([x, encode(r, COLOR_FREQUENCIES), n, features], 1)
    for layer in range(COLOR_LAYERS + 1):
        h = linear(p, 'color_network.lin%d' % layer, h)
        h = torch.relu(h) if layer < COLOR_LAYERS else torch.sigmoid(h)
    return h


# ---- rays ----

def light_before(alpha):
    """The light that is left before each interval, [rays, intervals]."""
    left = torch.cumprod(1 - alpha + 1e-7, 1)
    return torch.cat([torch.ones_like(left[:, :1]), left[:, :-1]], 1)


def inside(x):
    return (x.abs() <= BOUND).all(-1)


def more_depths(o, d, z, f, s):
    """16 new depths in each of the rays at quantiles of the weights of sharpness s."""
    points = o[:, None] + d[:, None] * z[..., None]
    near = inside(points)
    length = z[:, 1:] - z[:, :-1]
    slope = (f[:, 1:] - f[:, :-1]) / (length + 1e-5)
    before = torch.cat([torch.zeros_like(slope[:, :1]), slope[:, :-1]], 1)
    slope = torch.minimum(slope, before).clamp(-1e3, 0) * (near[:, 1:] | near[:, :-1])
    middle = (f[:, 1:] + f[:, :-1]) / 2
    P = torch.sigmoid((middle - slope * length / 2) * s)
    N = torch.sigmoid((middle + slope * length / 2) * s)
    alpha = (P - N + 1e-5) / (P + 1e-5)
    weight = alpha * light_before(alpha) + 1e-5
    share = torch.cumsum(weight / weight.sum(1, keepdim=True), 1)
    share = torch.cat([torch.zeros_like(share[:, :1]), share], 1)
    u = ((torch.arange(16, dtype=z.dtype) + 0.5) / 16).repeat(len(z), 1)
    above = torch.searchsorted(share, u, right=True).clamp(1, share.shape[1] - 1)
    low, high = share.gather(1, above - 1), share.gather(1, above)
    a, b = z.gather(1, above - 1), z.gather(1, above)
    step = high - low
    t = ((u - low) / torch.where(step < 1e-5, torch.ones_like(step), step)).clamp(0, 1)
    return a + t * (b - a)


def depths(p, o, d, offset):
    """[rays, 128]"""
    middle = -(o * d).sum(1) / (d * d).sum(1)
    near = middle - 0.8660254
    z = near[:, None] + 2 * 0.8660254 * torch.arange(64, dtype=o.dtype) / 63 + offset[:, None]

    def at(z):
        with torch.no_grad():
            return distance(p, (o[:, None] + d[:, None] * z[..., None]).reshape(-1, 3))[:, 0].reshape(z.shape)
    f = at(z)
    for i in range(4):
        new = more_depths(o, d, z, f, 64 * 2**i)
        f = torch.cat([f, at(new) if i < 3 else torch.zeros_like(new)], 1)
        z, order = torch.sort(torch.cat([z, new], 1), stable=True)
        f = f.gather(1, order)
    return z


def render(p, o, d, z, ratio):
    """rgb, mask, normal of the rays; what the losses and tests need of the points that are inside, [rays, 128, ...]."""
    length = z[:, 1:] - z[:, :-1]
    length = torch.cat([length, length[:, -1:]], 1)
    points = o[:, None] + d[:, None] * (z + length / 2)[..., None]
    inner = inside(points)
    x = points[inner].detach().requires_grad_(True)
    towards = -d[:, None].expand_as(points)[inner]
    out = distance(p, x)
    gradient, = torch.autograd.grad(out[:, 0].sum(), x, create_graph=True)
    color = shade(p, x, gradient, towards, out[:, 1:])
    s = torch.exp(10 * p['deviation_network.variance']).clamp(1e-6, 1e6)
    cosine = (-towards * gradient).sum(1)
    cosine = -(torch.relu(0.5 - cosine / 2) * (1 - ratio) + torch.relu(-cosine) * ratio)
    P = torch.sigmoid((out[:, 0] - cosine * length[inner] / 2) * s)
    N = torch.sigmoid((out[:, 0] + cosine * length[inner] / 2) * s)

    def spread(v):
        return torch.zeros(inner.shape + v.shape[1:], dtype=v.dtype).masked_scatter(
            inner.reshape(inner.shape + (1,) * (v.dim() - 1)), v)
    alpha = spread(((P - N + 1e-5) / (P + 1e-5)).clamp(0, 1))
    weight = alpha * light_before(alpha)
    mask = weight.sum(1)
    rgb = (weight[..., None] * spread(color)).sum(1) + (1 - mask)[:, None]
    normal = (weight[..., None] * spread(normalize(gradient))).sum(1)
    samples = {'inner_mask': inner, 'dists': length, 'points': points, 'sdf': spread(out[:, 0]),
               'gradients': spread(gradient), 'sample_color': spread(color), 'alpha': alpha, 'weights': weight}
    return rgb, mask, normal, gradient, samples


def losses(rgb, mask, gradient, true_rgb, true_mask):
    rendering = (((true_rgb - rgb)**2).sum(1) + 0.001).sqrt().mean()
    of_mask = ((mask - true_mask)**2).mean()
    eikonal = ((gradient.norm(dim=1) - 1)**2).sum() / (len(gradient) + 1e-5 * 128 * len(rgb))
    return {'rendering': rendering, 'mask': of_mask, 'eikonal': eikonal,
            'total': 0.5 * rendering + of_mask + 0.1 * eikonal}


def compute(params, rays, perturb):
    """All that the test compares, of parameters, rays_o, rays_d, rgb, mask, and a uniform number for each ray."""
    p = {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in params.items()}
    o, d, true_rgb, true_mask = (torch.tensor(rays[n], dtype=torch.float64) for n in ('rays_o', 'rays_d', 'rgb', 'mask'))
    result = {}
    for mode, ratio, offset in (('train', STEPS / ANNEAL, (torch.tensor(perturb, dtype=torch.float64) - 0.5) * 2 / 64),
                                ('eval', 1, torch.zeros(len(o), dtype=torch.float64))):
        z = depths(p, o, d, offset).float()             # what both sides go on from
        rgb, mask, normal, gradient, samples = render(p, o, d, z.double(), ratio)
        for name, t in (('z_vals', z), ('out.rgb', rgb), ('out.mask', mask), ('out.normal', normal)):
            result['%s.%s' % (mode, name)] = t
        if mode == 'train':
            loss = losses(rgb, mask, gradient, true_rgb, true_mask)
            loss['total'].backward()
            result.update(('train.' + n, t) for n, t in samples.items())
            result.update(('loss.' + n, t) for n, t in loss.items())
            result.update(('grad.' + n, t.grad) for n, t in p.items())
    return {n: t.detach().numpy().astype(np.uint8 if t.dtype == torch.bool else np.float32) for n, t in result.items()}


# ---- the file ----

def choose_rays(views):
    """Rays of pixels of all views, three quarters of them at the object, none at its middle twice."""
    random = np.random.RandomState(STEPS)
    rays = {n: [] for n in ('rays_o', 'rays_d', 'rgb', 'mask')}
    for k in range(RAYS):
        view = k % len(views['views.image'])
        alpha = views['views.alpha'][view]
        where = np.argwhere(alpha > 0.5) if k % 4 else np.argwhere(alpha >= 0)
        i, j = where[random.randint(len(where))]
        pose, K = (views[n][view].astype(np.float64) for n in ('views.pose', 'views.intrinsics'))
        d = pose[:, :3].T @ np.linalg.solve(K, [j, i, 1])
        rays['rays_o'].append(-pose[:, :3].T @ pose[:, 3])
        rays['rays_d'].append(d / np.linalg.norm(d))
        rays['rgb'].append(views['views.image'][view][i, j] / 255)
        rays['mask'].append(alpha[i, j])
    return {n: np.array(v, np.float32) for n, v in rays.items()}


def main():
    views, checkpoint = read(sys.argv[1]), read(sys.argv[2])
    params = {'deviation_network.variance': np.array(math.log(INV_S) / 10, np.float32)}
    for name, t in checkpoint.items():
        if name.startswith(('field.sdf.', 'field.color.')):
            kind, rest = name[len('field.'):].split('.', 1)
            params['%s_network.%s' % (kind, rest)] = t.astype(np.float16)
    rays = choose_rays(views)
    perturb = np.random.RandomState(1).rand(RAYS).astype(np.float32)
    out = {'param.' + n: t for n, t in params.items()}
    out.update(('ray.' + n, t) for n, t in rays.items())
    out.update({'perturb_u': perturb, 'ratio': np.array(STEPS / ANNEAL, np.float32)})
    out.update(compute(params, rays, perturb))
    write(sys.argv[3], out)


if __name__ == '__main__':
    main()
