"""A PyTorch twin of every network, written from the specification (cameras.md, crop.md, networks.md), with the original's parameter names.

All sizes come from the configuration file, as in the tools (pf-config(5)).  Tensors are channels first, as the
streams and the golden data are.  The dead computations of networks.md, 9 are skipped where that is exact and simple."""
import json
import math
import struct
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

DTYPES = {'F16': np.float16, 'F32': np.float32, 'F64': np.float64, 'U8': np.uint8, 'I32': np.int32, 'I64': np.int64, 'BOOL': np.bool_}


def read_safetensors(path):
    """Tensors by name, and the metadata."""
    with open(path, 'rb') as f:
        data = f.read()
    n = struct.unpack('<Q', data[:8])[0]
    head = json.loads(data[8:8 + n])
    meta = head.pop('__metadata__', {})
    at = lambda t: np.frombuffer(data, np.uint8)[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]]
    return {k: torch.from_numpy(at(t).view(DTYPES[t['dtype']]).reshape(t['shape']).copy()) for k, t in head.items()}, meta


def write_safetensors(path, tensors, meta):
    """Tensors in name order, their checksums, data from a 64-byte boundary, as pf-stream(5) has it."""
    names = {v: k for k, v in DTYPES.items()}
    arrays = {k: np.ascontiguousarray(v.detach().cpu().numpy()) for k, v in sorted(tensors.items())}
    crc = {k: '%08x' % zlib.crc32(a.tobytes()) for k, a in arrays.items()}
    head, at = {'__metadata__': {**meta, 'pf.crc32': json.dumps(crc, separators=(',', ':'))}}, 0
    for k, a in arrays.items():
        head[k] = {'dtype': names[a.dtype.type], 'shape': list(a.shape), 'data_offsets': [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(head, separators=(',', ':')).encode()
    text += b' ' * (-(8 + len(text)) % 64)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        for a in arrays.values():
            f.write(a.tobytes())


class GroupNorm(nn.GroupNorm):
    """GroupNorm and what follows it ('silu', 'relu'), in the input's precision, statistics in f32: autocast would store f32,
    torch 1.13 wants parameters of one type.  On a GPU gpu.py, which leaves channels last."""

    def __init__(self, groups, c, eps=1e-5, then=None):
        super().__init__(groups, c, eps)
        self.then = then

    def forward(self, x):
        with torch.autocast(x.device.type, enabled=False):
            if x.is_cuda:
                import gpu
                return gpu.GroupNorm.apply(x, self.num_groups, self.weight, self.bias, self.eps, [None, 'silu', 'relu'].index(self.then))
            y = F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)
            return {None: lambda z: z, 'silu': F.silu, 'relu': F.relu}[self.then](y)


# ---- VAE (networks.md, 4) ----

def conv3(i, o, stride=1):
    return nn.Conv2d(i, o, 3, stride, 1)


class ResnetBlock(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.norm1, self.conv1 = GroupNorm(32, i, 1e-6, 'silu'), conv3(i, o)
        self.norm2, self.conv2 = GroupNorm(32, o, 1e-6, 'silu'), conv3(o, o)
        if i != o:
            self.nin_shortcut = nn.Conv2d(i, o, 1)

    def forward(self, x):
        h = self.conv2(self.norm2(self.conv1(self.norm1(x))))
        return (self.nin_shortcut(x) if hasattr(self, 'nin_shortcut') else x) + h


class AttnBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = GroupNorm(32, c, 1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2) for f in (self.q, self.k, self.v))               # [B, C, T]
        w = torch.softmax(q.transpose(1, 2) @ k * q.shape[1] ** -0.5, -1)           # [B, T, T]
        return x + self.proj_out((v @ w.transpose(1, 2)).reshape(x.shape))


class Holder(nn.Module):
    """A node of the name tree."""


def mid(c):
    m = Holder()
    m.block_1, m.attn_1, m.block_2 = ResnetBlock(c, c), AttnBlock(c), ResnetBlock(c, c)
    return m


def through_mid(m, x):
    return m.block_2(m.attn_1(m.block_1(x)))


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c['ch']
        self.conv_in, self.down = conv3(3, width), nn.ModuleList()
        for level, mult in enumerate(c['ch_mult']):
            d = Holder()
            d.block = nn.ModuleList(ResnetBlock(width if k == 0 else c['ch'] * mult, c['ch'] * mult)
                                    for k in range(c['num_res_blocks']))
            width = c['ch'] * mult
            if level + 1 < len(c['ch_mult']):
                d.downsample = Holder()
                d.downsample.conv = nn.Conv2d(width, width, 3, 2, 0)
            self.down.append(d)
        self.mid, self.norm_out = mid(width), GroupNorm(32, width, 1e-6, 'silu')
        self.conv_out = conv3(width, 2 * c['z_channels'])

    def forward(self, x):
        x = self.conv_in(x)
        for d in self.down:
            for b in d.block:
                x = b(x)
            if hasattr(d, 'downsample'):
                x = d.downsample.conv(F.pad(x, (0, 1, 0, 1)))                       # right and bottom only
        return self.conv_out(self.norm_out(through_mid(self.mid, x)))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c['ch'] * c['ch_mult'][-1]
        self.conv_in, self.mid = conv3(c['z_channels'], width), mid(width)
        up = []
        for level in reversed(range(len(c['ch_mult']))):
            u, out = Holder(), c['ch'] * c['ch_mult'][level]
            u.block = nn.ModuleList(ResnetBlock(width if k == 0 else out, out) for k in range(c['num_res_blocks'] + 1))
            width = out
            if level:
                u.upsample = Holder()
                u.upsample.conv = conv3(width, width)
            up.append(u)
        self.up = nn.ModuleList(reversed(up))                                       # index = level
        self.norm_out, self.conv_out = GroupNorm(32, width, 1e-6, 'silu'), conv3(width, 3)

    def forward(self, z):
        x = through_mid(self.mid, self.conv_in(z))
        for u in reversed(self.up):
            for b in u.block:
                x = b(x)
            if hasattr(u, 'upsample'):
                x = u.upsample.conv(F.interpolate(x, scale_factor=2, mode='nearest'))
        return self.conv_out(self.norm_out(x))


class VAE(nn.Module):
    def __init__(self, c):
        super().__init__()
        z = c['z_channels']
        self.encoder, self.decoder = Encoder(c), Decoder(c)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(2 * z, 2 * z, 1), nn.Conv2d(z, z, 1)

    def moments(self, image):
        """image [B, 3, S, S] in -1..1 -> mean and log variance [B, 4, h, w]."""
        mean, logvar = self.quant_conv(self.encoder(image)).chunk(2, 1)
        return mean, logvar.clamp(-30, 20)

    def decode(self, z):
        """Unscaled latents -> images in about -1..1."""
        return self.decoder(self.post_quant_conv(z))


# ---- the image encoder (crop.md, 3 and 4) ----

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x):
        q, k, v = (F.linear(x, self.in_proj_weight, self.in_proj_bias).reshape(*x.shape[:2], 3, self.heads, -1)
                   .permute(2, 0, 3, 1, 4))                                         # 3 [B, heads, T, d]
        w = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1)
        return self.out_proj((w @ v).transpose(1, 2).reshape(x.shape))


class VitBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(width), Attention(width, heads), nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module('c_fc', nn.Linear(width, 4 * width))
        self.mlp.add_module('c_proj', nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        h = self.mlp.c_fc(self.ln_2(x))
        return x + self.mlp.c_proj(h * torch.sigmoid(1.702 * h))


class ViT(nn.Module):
    def __init__(self, c):
        super().__init__()
        w, p = c['width'], c['patch_size']
        self.size = c['image_size']
        self.conv1 = nn.Conv2d(3, w, p, p, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(w) * w ** -0.5)
        self.positional_embedding = nn.Parameter(torch.randn((c['image_size'] // p) ** 2 + 1, w) * w ** -0.5)
        self.proj = nn.Parameter(torch.randn(w, c['output_dim']) * w ** -0.5)
        self.ln_pre, self.ln_post = nn.LayerNorm(w), nn.LayerNorm(w)
        self.register_buffer('mean', torch.tensor(CLIP_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(CLIP_STD).reshape(3, 1, 1), persistent=False)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(VitBlock(w, c['heads']) for _ in range(c['layers']))

    def forward(self, image):
        """image [B, 3, S, S] in -1..1 -> [B, E], not normalised."""
        return self.features(image) @ self.proj

    def features(self, image):
        """What the embedding is a projection of, [B, width]."""
        x = image
        if x.shape[-1] != self.size:
            x = F.interpolate(x, (self.size, self.size), mode='bicubic', align_corners=True)
        x = self.conv1(((x + 1) / 2 - self.mean) / self.std).flatten(2).transpose(1, 2)       # [B, T, C]
        x = torch.cat([self.class_embedding.to(x.dtype).expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for b in self.transformer.resblocks:
            x = b(x)
        return self.ln_post(x[:, 0])


# ---- cameras (cameras.md) ----

def poses(elevation, n, device=None):
    """World to camera [B, n, 3, 4] of the rig at elevation [B]."""
    e = elevation[:, None].expand(-1, n)
    a = (torch.arange(n, device=elevation.device) * (2 * math.pi / n)).expand(e.shape)
    se, ce, sa, ca, o = e.sin(), e.cos(), a.sin(), a.cos(), torch.zeros_like(e)
    rows = [-sa, ca, o, o, se * ca, se * sa, -ce, o, -ce * ca, -ce * sa, -se, o + 1.5]
    return torch.stack(rows, -1).reshape(len(e), n, 3, 4)


def viewpoint(e_in, e_target, n):
    """v [B, n, 4] (cameras.md, 3)."""
    a = torch.arange(n, device=e_in.device) * (2 * math.pi / n)
    d = (e_in - e_target)[:, None].expand(-1, n)
    return torch.stack([d, a.sin().expand(d.shape), a.cos().expand(d.shape), torch.zeros_like(d)], -1)


def spad_cameras(theta, phi):
    """Centre, right, up and forward [..., 3] of SPAD's camera: the elevation is used as polar angle (cameras.md, 4)."""
    theta = np.where(np.abs(np.sin(theta)) < 1e-6, 1e-4, theta)
    phi = np.broadcast_to(phi, theta.shape)
    f = -np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    s = np.sign(np.sin(theta))[..., None] * np.stack([-np.sin(phi), np.cos(phi), np.zeros_like(phi)], -1)
    return -1.5 * f, s, np.cross(s, f), f


def spad_rays(camera, n):
    """Directions of unit depth through the pixel centres [..., n * n, 3]."""
    _, s, u, f = (v[..., None, :] for v in camera)
    k = (((2 * np.arange(n) + 1) / n - 1) / (35 / 16))
    x, y = np.tile(k, n)[:, None], np.repeat(k, n)[:, None]
    return x * s - y * u + f


def pluecker(camera, n):
    """Maps [..., 6, n, n] (cameras.md, 5)."""
    d = spad_rays(camera, n)
    d = d / np.linalg.norm(d, axis=-1, keepdims=True)
    m = np.cross(np.broadcast_to(camera[0][..., None, :], d.shape), d)
    out = np.moveaxis(np.concatenate([d, m], -1), -1, -2)
    return out.reshape(*out.shape[:-1], n, n).astype(np.float32)


def bresenham(p, q, n):
    """Segments from p to q, integers [M, 2] of (row, column), drawn into booleans [M, n, n] (cameras.md, 6)."""
    out = np.zeros((len(p), n, n), bool)
    delta, sign = np.abs(q - p), np.where(q > p, 1, -1)
    steep = delta[:, 0] > delta[:, 1]
    swap = lambda a: np.where(steep[:, None], a[:, ::-1], a)
    (r, c), (dr, dc), (sr, sc) = (swap(a).T.copy() for a in (p, delta, sign))
    d, each = 2 * dr - dc, np.arange(len(p))
    for k in range(n):
        m = k < dc
        at = np.where(steep, c, r), np.where(steep, r, c)
        out[each[m], at[0][m], at[1][m]] = True
        while (up := m & (d >= 0)).any():
            r, d = r + np.where(up, sr, 0), d - np.where(up, 2 * dc, 0)
            if not (up & (dc > 0)).any():
                break
        c, d = c + np.where(m, sc, 0), d + np.where(m, 2 * dr, 0)
    out[each, q[:, 0], q[:, 1]] = True
    return out


def cross_mask(src, tgt, n, rows):
    """M(src, tgt) of one-to-one camera pairs [P]: booleans [P, len(rows), n * n] (cameras.md, 6)."""
    project = lambda w: [n / 2 + 35 * n / 32 * (s * (w * a).sum(-1)) / (w * tgt[3][:, None]).sum(-1)
                         for s, a in ((1, tgt[1][:, None]), (-1, tgt[2][:, None]))]
    with np.errstate(all='ignore'):
        x, y = project(src[0][:, None] + 1.5 * spad_rays(src, n)[:, rows] - tgt[0][:, None])
        ex, ey = (np.broadcast_to(v, x.shape) for v in project((src[0] - tgt[0])[:, None]))
        gx, gy = x - ex, y - ey
        norm = np.sqrt(gx ** 2 + gy ** 2)
        gx, gy = gx / norm, gy / norm
        m = gx / gy
        b = x - m * y
        zero, full = np.zeros_like(b), np.full_like(b, n)
        points = {'A': (b, zero), 'B': (n * m + b, full), 'T': (zero, -b / m), 'O': (full, (n - b) / m)}
        valid = {k: (0 <= (v := p[k in 'TO'])) & (v <= n) for k, p in points.items()}

        def first(names):
            px, py = zero.copy(), zero.copy()
            for k in names:
                use = valid[k] & (px + py == 0)
                px, py = np.where(use, points[k][0], px), np.where(use, points[k][1], py)
            return px, py
        (p1x, p1y), (p2x, p2y) = first('ABOT'), first('TOBA')
        inside = (0 <= ex) & (ex <= n) & (0 <= ey) & (ey <= n)
        keep = ((p1x - ex > 0) == (gx > 0)) & ((p1y - ey > 0) == (gy > 0))
        p1x, p1y = (np.where(inside & ~keep, a, c) for a, c in ((p2x, p1x), (p2y, p1y)))
        p2x, p2y = np.where(inside, ex, p2x), np.where(inside, ey, p2y)
    p1, p2 = (np.trunc(np.stack([py, px], -1) - 0.5).astype(np.int64).reshape(-1, 2) for px, py in ((p1x, p1y), (p2x, p2y)))
    same = np.linalg.norm(src[0] - tgt[0], axis=-1) < 1e-5
    draw = ~((p1.sum(1) == 0) & (p2.sum(1) == 0)) & ~np.repeat(same, x.shape[1])
    out = np.zeros((len(p1), n, n), bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            a, c = (np.clip(p[draw] + [dy, dx], 0, n - 1) for p in (p1, p2))
            out[draw] |= bresenham(a, c, n)
    return out.reshape(*x.shape, n * n)


def epipolar_mask(e_target, a_target, e_in, n, side=None):
    """Masks [P, 2 side^2, 2 side^2] of camera pairs: made for side n, seen at feature side (cameras.md, 6 and 7)."""
    side = side or n
    stride = (n // side) ** 2
    target, source = spad_cameras(e_target, a_target), spad_cameras(e_in, np.zeros_like(e_in))
    half, keep = side * side, np.arange(0, n * n, stride)
    mask = np.ones((len(e_target), 2 * half, 2 * half), bool)
    mask[:, :half, half:] = cross_mask(target, source, n, keep)[..., ::stride]
    mask[:, half:, :half] = cross_mask(source, target, n, keep)[..., ::stride]
    return mask


# ---- time (networks.md, 1) ----

def sinusoid(t, dim):
    w = torch.exp(-math.log(10000) * torch.arange(dim // 2, device=t.device) / (dim // 2))
    a = t.float()[:, None] * w
    return torch.cat([a.cos(), a.sin()], 1)


# ---- volumes (networks.md, 5) ----

class TargetBlock(nn.Module):
    def __init__(self, c, t, v=4):
        super().__init__()
        self.time_embed, self.view_embed = nn.Conv2d(t, c, 1), nn.Conv2d(v, c, 1)
        self.conv = nn.Sequential(GroupNorm(8, c, then='silu'), nn.Identity(), conv3(c, c), GroupNorm(8, c, then='silu'), nn.Identity(), conv3(c, c))

    def forward(self, x, t, v):
        return x + self.conv(x + self.time_embed(t) + self.view_embed(v))


class TargetEncoder(nn.Module):
    def __init__(self, c, t, z):
        super().__init__()
        self.init_conv = conv3(z, c)
        self.out_conv0, self.out_conv1, self.out_conv2 = (TargetBlock(c, t) for _ in range(3))
        self.final_out = nn.Sequential(GroupNorm(8, c, then='silu'), nn.Identity(), conv3(c, c))

    def forward(self, x, t, v):
        x, t, v = self.init_conv(x), t[:, :, None, None], v[:, :, None, None]
        for k in (self.out_conv0, self.out_conv1, self.out_conv2):
            x = k(x, t, v)
        return self.final_out(x)


class Block3(nn.Module):
    """conv(silu(norm(x + t_conv(t) [+ v_conv(v)]))), without a residual."""

    def __init__(self, i, o, t, stride=1, view=False, up=False):
        super().__init__()
        self.t_conv = nn.Conv3d(t, i, 1)
        if view:
            self.v_conv = nn.Conv3d(4, i, 1)
        self.conv = nn.ConvTranspose3d(i, o, 3, 2, 1, output_padding=1) if up else nn.Conv3d(i, o, 3, stride, 1)
        setattr(self, 'norm' if up else 'bn', GroupNorm(8, i, then='silu'))

    def forward(self, x, t, v=None):
        x = x + self.t_conv(t[:, :, None, None, None])
        if v is not None:
            x = x + self.v_conv(v[:, :, None, None, None])
        return self.conv((self.norm if hasattr(self, 'norm') else self.bn)(x))


class SpatialTime3DNet(nn.Module):
    def __init__(self, i, d, t):
        super().__init__()
        self.init_conv = nn.Conv3d(i, d[0], 3, 1, 1)
        self.conv0, self.conv1 = Block3(d[0], d[0], t), Block3(d[0], d[1], t, 2)
        self.conv2_0, self.conv2_1 = Block3(d[1], d[1], t), Block3(d[1], d[1], t)
        self.conv3 = Block3(d[1], d[2], t, 2)
        self.conv4_0, self.conv4_1 = Block3(d[2], d[2], t), Block3(d[2], d[2], t)
        self.conv5 = Block3(d[2], d[3], t, 2)
        self.conv6_0, self.conv6_1 = Block3(d[3], d[3], t), Block3(d[3], d[3], t)
        self.conv7, self.conv8, self.conv9 = (Block3(d[k], d[k - 1], t, up=True) for k in (3, 2, 1))

    def forward(self, x, t):
        x = self.init_conv(x)
        c0 = self.conv0(x, t)
        c2 = self.conv2_1(self.conv2_0(self.conv1(c0, t), t), t)
        c4 = self.conv4_1(self.conv4_0(self.conv3(c2, t), t), t)
        x = self.conv6_1(self.conv6_0(self.conv5(c4, t), t), t)
        x = c4 + self.conv7(x, t)
        x = c2 + self.conv8(x, t)
        return c0 + self.conv9(x, t)


class FrustumTV3DNet(nn.Module):
    def __init__(self, d, t):
        super().__init__()
        self.conv0 = nn.Conv3d(d[0], d[0], 3, 1, 1)
        for k in range(3):
            setattr(self, 'conv%d' % (2 * k + 1), Block3(d[k], d[k + 1], t, 2, view=True))
            setattr(self, 'conv%d' % (2 * k + 2), Block3(d[k + 1], d[k + 1], t, view=True))
        self.up0, self.up1, self.up2 = (Block3(d[k], d[k - 1], t, view=True, up=True) for k in (3, 2, 1))

    def forward(self, x, t, v):
        x0 = self.conv0(x)
        x1 = self.conv2(self.conv1(x0, t, v), t, v)
        x2 = self.conv4(self.conv3(x1, t, v), t, v)
        x3 = self.conv6(self.conv5(x2, t, v), t, v)
        x2 = self.up0(x3, t, v) + x2
        x1 = self.up1(x2, t, v) + x1
        x0 = self.up2(x1, t, v) + x0
        return {y.shape[-1]: y for y in (x0, x1, x2, x3)}


class SpatialVolume(nn.Module):
    def __init__(self, config):
        super().__init__()
        c, m = config['volume'], config['model']
        self.c, self.views, self.side, self.focal = c, m['view_num'], m['image_size'] // 8, 280 / 256 * m['image_size'] / 8
        self.target_encoder = TargetEncoder(c['target_dim'], m['time_embed_dim'], config['vae']['z_channels'])
        self.spatial_volume_feats = SpatialTime3DNet(c['target_dim'] * m['view_num'], c['dims'], m['time_embed_dim'])
        self.frustum_volume_feats = FrustumTV3DNet(c['dims'], m['time_embed_dim'])

    def spatial(self, x, t, v, pose):
        """Noisy latents x [B, N, 4, h, w], t [B, T], v [B, N, 4], pose [B, N, 3, 4] -> volume [B, C, V, V, V]."""
        B, N, h, V = len(x), self.views, self.side, self.c['spatial_size']
        f = self.target_encoder(x.flatten(0, 1), t.repeat_interleave(N, 0), v.flatten(0, 1))
        g = torch.linspace(-self.c['spatial_length'], self.c['spatial_length'], V, device=x.device)
        z, y, w = torch.meshgrid(g, g, g, indexing='ij')
        p = pose[..., :3] @ torch.stack([w, y, z]).flatten(1) + pose[..., 3:]               # [B, N, 3, V^3]
        depth = p[:, :, 2].clamp(min=1e-4)
        at = (p[:, :, :2] * self.focal + h / 2 * p[:, :, 2:]) / depth[:, :, None]           # texels [B, N, 2, V^3]
        at = (at * (2 / (h - 1)) - 1).movedim(2, -1).flatten(0, 1)[:, None]
        f = F.grid_sample(f, at, align_corners=True)                                        # [B N, C, 1, V^3]
        return self.spatial_volume_feats(f.reshape(B, -1, V, V, V), t)

    def frustum_grid(self, pose):
        """Where the frustum's samples lie in the volume, -1..1 (x, y, z): [M, D, h, w, 3] for pose [M, 3, 4]."""
        D, h, far = self.c['frustum_depth'], self.side, self.c['frustum_length']
        z = 1.5 - far + 2 * far * torch.linspace(0, 1, D, device=pose.device)
        k = (torch.arange(h, device=pose.device) - h / 2) / self.focal
        z, y, x = torch.meshgrid(z, k, k, indexing='ij')
        p = torch.stack([x * z, y * z, z], -1) - pose[:, None, None, None, :, 3]            # [M, D, h, w, 3]
        return p @ pose[:, None, None, :, :3] / self.c['spatial_length']

    def frustum(self, volume, t, v, pose):
        """Volumes [M, C, V, V, V] seen from pose [M, 3, 4] -> features by side."""
        x = F.grid_sample(volume, self.frustum_grid(pose), align_corners=True)
        return self.frustum_volume_feats(x, t, v)


# ---- UNet (networks.md, 6) ----

class ResBlock(nn.Module):
    def __init__(self, i, o, emb):
        super().__init__()
        self.in_layers = nn.Sequential(GroupNorm(32, i, then='silu'), nn.Identity(), conv3(i, o))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, o))
        self.out_layers = nn.Sequential(GroupNorm(32, o, then='silu'), nn.Identity(), nn.Identity(), conv3(o, o))
        if i != o:
            self.skip_connection = nn.Conv2d(i, o, 1)

    def forward(self, x, emb):
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return (self.skip_connection(x) if hasattr(self, 'skip_connection') else x) + self.out_layers(h)


class SelfAttention(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = nn.Linear(c, c, False), nn.Linear(context, c, False), nn.Linear(context, c, False)
        self.to_out = nn.ModuleList([nn.Linear(c, c)])

    def forward(self, x, mask=None):
        q, k, v = (f(x).reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for f in (self.to_q, self.to_k, self.to_v))
        w = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5                             # [B, heads, T, T]
        if mask is not None:
            w = w + mask
        return self.to_out[0]((torch.softmax(w, -1) @ v).transpose(1, 2).reshape(x.shape))


class CrossAttention(SelfAttention):
    def forward(self, context):
        """One key only, so the softmax is 1 whatever the query (networks.md, 9): [B, E] -> [B, 1, C]."""
        return self.to_out[0](self.to_v(context))[:, None]


class GEGLU(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.proj = nn.Linear(c, 8 * c)

    def forward(self, x):
        a, g = self.proj(x).chunk(2, -1)
        return a * F.gelu(g)


class TransformerBlock(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.attn1, self.attn2 = SelfAttention(c, c, heads), CrossAttention(c, context, heads)
        self.ff = nn.Module()
        self.ff.net = nn.Sequential(GEGLU(c), nn.Identity(), nn.Linear(4 * c, c))
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(c), nn.LayerNorm(c), nn.LayerNorm(c)

    def forward(self, x, context, mask=None):
        x = x + self.attn1(self.norm1(x), mask) + self.attn2(context)
        return x + self.ff.net(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.norm, self.proj_in, self.proj_out = GroupNorm(32, c, 1e-6), nn.Conv2d(c, c, 1), nn.Conv2d(c, c, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(c, context, heads)])

    def forward(self, x, context):
        u = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        u = self.transformer_blocks[0](u, context)
        return self.proj_out(u.transpose(1, 2).reshape(x.shape))


class SPAD(nn.Module):
    """Joint attention of the channel halves, taken as two views (networks.md, 6.3)."""

    def __init__(self, c, context, heads):
        super().__init__()
        self.norm, self.proj_in, self.proj_out = GroupNorm(32, c // 2, 1e-6), nn.Conv2d(c // 2 + 6, c, 1), nn.Conv2d(c, c // 2, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(c, context, heads)])

    @property
    def skipped(self):
        return not (self.proj_out.weight.any() or self.proj_out.bias.any())

    def forward(self, x, context, mask, rays):
        B, c, h, w = x.shape
        half = x.reshape(2 * B, c // 2, h, w)                                              # [B, 2] flattened
        u = self.proj_in(torch.cat([self.norm(half), rays.flatten(0, 1)], 1))           # [2B, C, h, w]
        u = u.flatten(2).transpose(1, 2).reshape(B, 2 * h * w, c)
        u = self.transformer_blocks[0](u, context, mask)
        u = u.reshape(2 * B, h * w, c).transpose(1, 2).reshape(2 * B, c, h, w)
        return self.proj_out(u).reshape(x.shape)


class DoubleTransformer(nn.Module):
    def __init__(self, c, context, heads, side):
        super().__init__()
        self.side = side
        self.layer1, self.layer2 = SPAD(c, context, heads), SpatialTransformer(c, context, heads)
        self.without_layer1 = False

    def forward(self, x, context, mask, rays):
        y = x + 2 * self.layer2(x, context)
        return y if self.without_layer1 else y + self.layer1(x, context, mask, rays)


class DepthAttention(nn.Module):
    def __init__(self, m, n):
        super().__init__()
        self.to_q, self.to_out = nn.Conv2d(m, m, 1, bias=False), nn.Conv2d(m, m, 1, bias=False)
        self.to_k, self.to_v = nn.Conv3d(n, m, 1, bias=False), nn.Conv3d(n, m, 1, bias=False)

    def forward(self, x, volume):
        B, m, h, w = x.shape
        d, n = m // 4, volume.shape[1]
        # k and v are products of the same volume: their weights go to the query and to the result (gpu.py).
        of_heads = lambda conv: conv.weight.view(4, d, n)
        q = self.to_q(x).movedim(1, -1).reshape(-1, 4, d).movedim(1, 0)                 # [4, B h w, d]
        u = q @ of_heads(self.to_k).to(q.dtype)                                         # [4, B h w, n]
        if x.is_cuda:
            import gpu
            s = gpu.attend_depth(volume, u, d ** -0.5)
        else:
            c = volume.permute(0, 3, 4, 2, 1).reshape(B * h * w, -1, n)                 # [B h w, D, n]
            a = torch.softmax((u.movedim(0, 1) @ c.mT) * d ** -0.5, -1)                 # [B h w, 4, D]
            s = (a @ c).movedim(1, 0)
        y = s @ of_heads(self.to_v).to(s.dtype).mT                                      # [4, B h w, d]
        return self.to_out(y.movedim(0, 1).reshape(B, h, w, m).movedim(-1, 1))


class DepthTransformer(nn.Module):
    def __init__(self, c, n):
        super().__init__()
        m = 2 * n
        self.proj_in = nn.Sequential(nn.Conv2d(c, m, 1), GroupNorm(8, m, then='silu'), nn.Identity())
        self.proj_context = nn.Sequential(nn.Conv3d(n, n, 1, bias=False), GroupNorm(8, n, then='relu'), nn.Identity())
        self.depth_attn = DepthAttention(m, n)
        self.proj_out = nn.Sequential(GroupNorm(8, m, then='relu'), nn.Identity(), nn.Conv2d(m, m, 3, 1, 1, bias=False), GroupNorm(8, m, then='relu'), nn.Identity(),
                                      nn.Conv2d(m, c, 3, 1, 1, bias=False))

    def forward(self, x, volume):
        return x + self.proj_out(self.depth_attn(self.proj_in(x), self.proj_context(volume)))


class Downsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.op = conv3(c, c, 2)

    def forward(self, x):
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = conv3(c, c)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode='nearest'))


class UNet(nn.Module):
    """DepthWiseAttention: the layout of networks.md."""

    def __init__(self, config):
        super().__init__()
        c = config['unet']
        base, mults, blocks, side = c['model_channels'], c['channel_mult'], c['num_res_blocks'], config['model']['image_size'] // 8
        emb = 4 * base
        self.base, self.first_condition, self.trace = base, blocks + 1, None
        self.time_embed = nn.Sequential(nn.Linear(base, emb), nn.SiLU(), nn.Linear(emb, emb))
        sides = [side >> k for k in range(len(mults))]
        dims = dict(zip(sides, c['volume_dims']))
        transformer = lambda w, s: [DoubleTransformer(w, c['context_dim'], c['num_heads'], s)] if side // s in c['attention_resolutions'] else []
        self.input_blocks, width = nn.ModuleList([nn.ModuleList([conv3(c['in_channels'], base)])]), base
        widths = [base]
        for level, s in enumerate(sides):
            for _ in range(blocks):
                out = base * mults[level]
                self.input_blocks.append(nn.ModuleList([ResBlock(width, out, emb)] + transformer(out, s)))
                width = out
                widths.append(width)
            if level + 1 < len(sides):
                self.input_blocks.append(nn.ModuleList([Downsample(width)]))
                widths.append(width)
        self.middle_block = nn.ModuleList([ResBlock(width, width, emb), DoubleTransformer(width, c['context_dim'], c['num_heads'], s),
                                           ResBlock(width, width, emb)])
        self.middle_conditions = DepthTransformer(width, dims[s])
        self.output_blocks, self.output_conditions = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(sides))):
            s = sides[level]
            for k in range(blocks + 1):
                out = base * mults[level]
                parts = [ResBlock(width + widths.pop(), out, emb)] + transformer(out, s)
                if level and k == blocks:
                    parts.append(Upsample(out))
                    s = sides[level - 1]
                self.output_blocks.append(nn.ModuleList(parts))
                width = out
                if len(self.output_blocks) > blocks + 1:
                    self.output_conditions.append(DepthTransformer(width, dims[s]))
        self.out = nn.Sequential(GroupNorm(32, base, then='silu'), nn.Identity(), conv3(base, c['out_channels']))

    def transformers(self):
        return [m for m in self.modules() if isinstance(m, DoubleTransformer)]

    def skip_zero_layers(self):
        for m in self.transformers():
            m.without_layer1 = m.layer1.skipped

    def run(self, block, x, emb, context, masks, rays):
        for part in block:
            if isinstance(part, ResBlock):
                x = part(x, emb)
            elif isinstance(part, DoubleTransformer):
                x = part(x, context, masks.get(part.side), rays.get(part.side))
            else:
                x = part(x)
        return x

    def see(self, name, x):
        if self.trace is not None:
            self.trace[name] = x

    def forward(self, x, t, context, volumes, masks, rays):
        """x [B, 8, h, w], t [B], context [B, E], volumes by side, masks (additive) and rays by side -> eps [B, 4, h, w]."""
        emb = self.time_embed(sinusoid(t, self.base))
        self.see('time_embed', emb)
        stack = []
        for k, block in enumerate(self.input_blocks):
            x = self.run(block, x, emb, context, masks, rays)
            self.see('input_blocks.%d' % k, x)
            stack.append(x)
        x = self.run(self.middle_block, x, emb, context, masks, rays)
        self.see('middle_block', x)
        x = self.middle_conditions(x, volumes[x.shape[-1]])
        self.see('middle_conditions', x)
        for k, block in enumerate(self.output_blocks):
            x = self.run(block, torch.cat([x, stack.pop()], 1), emb, context, masks, rays)
            self.see('output_blocks.%d' % k, x)
            if k >= self.first_condition:
                x = self.output_conditions[k - self.first_condition](x, volumes[x.shape[-1]])
                self.see('output_conditions.%d' % (k - self.first_condition), x)
        return self.out(x)


# ---- everything together ----

def additive(mask):
    """Booleans [B, T, T] -> what is added to the logits [B, 1, T, T]."""
    return torch.where(mask, 0.0, -1e9)[:, None]


def shrink_rays(rays, side):
    """Pluecker maps [..., n, n] at a smaller side: the mean of the 2x2 texels around each centre (cameras.md, 5)."""
    n = rays.shape[-1]
    if side == n:
        return rays
    return F.interpolate(rays.flatten(0, -4), (side, side), mode='bilinear', align_corners=False).reshape(*rays.shape[:-2], side, side)


class Denoiser(nn.Module):
    """The diffusion model without VAE and image encoder."""

    def __init__(self, config):
        super().__init__()
        m = config['model']
        self.config, t, e = config, m['time_embed_dim'], config['unet']['context_dim']
        self.views, self.side = m['view_num'], m['image_size'] // 8
        self.velocity = m.get('parameterization', 'eps') == 'v'
        self.time_embed = nn.Sequential(nn.Linear(t, t), nn.SiLU(), nn.Linear(t, t))
        self.cc_projection = nn.Linear(e + 4, e)
        self.spatial_volume = SpatialVolume(config)
        self.model = nn.Module()
        self.model.diffusion_model = UNet(config)
        self.register_buffer('alphas_cumprod', alphas_bar())

    def initialise(self):
        """Initialisation of training.md, 4."""
        unet = self.model.diffusion_model
        zero = [m.out_layers[3] for m in unet.modules() if isinstance(m, ResBlock)] + [unet.out[2]]
        zero += [m.proj_out[5] for m in unet.modules() if isinstance(m, DepthTransformer)]
        zero += [layer.proj_out for m in unet.transformers() for layer in (m.layer1, m.layer2)]
        for m in zero:
            for p in m.parameters():
                nn.init.zeros_(p)
        with torch.no_grad():
            self.cc_projection.weight[:, :self.cc_projection.out_features] = torch.eye(self.cc_projection.out_features)
            self.cc_projection.bias.zero_()

    def cameras(self, e_in, e_target):
        """Per view: v [B, N, 4], pose [B, N, 3, 4], and the pair's rays and masks by side, for angles [B]."""
        B, N, n = len(e_in), self.views, self.side
        v, pose = viewpoint(e_in, e_target, N), poses(e_target, N)
        sides = [s for s in (n >> k for k in range(8)) if s and s in {m.side for m in self.model.diffusion_model.transformers()
                                                                     if not m.without_layer1}]
        et, ei = (np.repeat(e.double().cpu().numpy(), N) for e in (e_target, e_in))
        at = np.tile(np.arange(N) * 2 * np.pi / N, B)
        both = np.stack([pluecker(spad_cameras(e, a), n) for e, a in ((et, at), (ei, 0 * at))], 1)
        rays = torch.from_numpy(both).to(e_in.device).reshape(B, N, 2, 6, n, n)
        rays = {s: shrink_rays(rays, s) for s in sides}
        masks = {}
        if sides:
            full = epipolar_mask(et, at, ei, n, sides[0])
            for s in sides:
                r = (sides[0] // s) ** 2
                masks[s] = torch.from_numpy(full[:, ::r, ::r]).to(e_in.device).reshape(B, N, 2 * s * s, 2 * s * s)
        return v, pose, rays, masks

    def context(self, clip, v):
        """clip [M, E], v [M, 4] -> [M, E]."""
        return self.cc_projection(torch.cat([clip, v], 1))

    def predict(self, x, t, cameras, clip, concat, scale):
        """Guided noise of all views: x [B, N, 4, h, w], t [B], clip [B, E], concat [B, 4, h, w] -> like x."""
        B, N = x.shape[:2]
        v, pose, rays, masks = cameras
        te = self.time_embed(sinusoid(t, self.time_embed[0].in_features))
        volume = self.spatial_volume.spatial(x, te, v, pose)
        rep = lambda a: a.repeat_interleave(N, 0)
        volumes = self.spatial_volume.frustum(rep(volume), rep(te), v.flatten(0, 1), pose.flatten(0, 1))
        flat, unet = x.flatten(0, 1), self.model.diffusion_model
        rays, masks = {s: r.flatten(0, 1) for s, r in rays.items()}, {s: additive(m.flatten(0, 1)) for s, m in masks.items()}
        eps = unet(torch.cat([flat, rep(concat)], 1), rep(t), self.context(rep(clip), v.flatten(0, 1)), volumes, masks, rays)
        if scale != 1:
            none = unet(torch.cat([flat, torch.zeros_like(flat)], 1), rep(t), torch.zeros_like(rep(clip)),
                        {s: torch.zeros_like(a) for s, a in volumes.items()}, masks, rays)
            eps = none + scale * (eps - none)
        eps = eps.reshape(x.shape)
        if self.velocity:                                       # networks.md, 8
            a = self.alphas_cumprod[t].view(B, 1, 1, 1, 1)
            eps = a.sqrt() * eps + (1 - a).sqrt() * x
        return eps


def alphas_bar():
    """float32 as the original (networks.md, 8)."""
    betas = torch.linspace(0.00085 ** 0.5, 0.0120 ** 0.5, 1000) ** 2
    return torch.cumprod(1 - betas, 0)


def noise_alone_from(abar, t):
    """The same schedule, but from time t on next to nothing but noise (Lin et al., Common Diffusion Noise Schedules Are
    Flawed, 2023, section 3.1): sqrt(abar) is shifted and stretched, but is at least sqrt(1e-5)."""
    s = abar.double().sqrt()
    return ((s - s[t]) * (s[0] / (s[0] - s[t]))).clamp(min=1e-5 ** 0.5).square().float()


def ddim(predict, x, abar, steps=50, eta=1.0, generator=None, noise=None, trailing=False):
    """x_T -> final latents; predict(x, t) with one t for all.  noise: step number from 0 -> the noise to add."""
    abar = abar.double()
    times = (2000 * np.arange(1, steps + 1) + steps) // (2 * steps) - 1 if trailing else np.arange(0, 1000, 1000 // steps)[:steps] + 1
    for n, k in enumerate(reversed(range(len(times)))):
        a, prev = abar[times[k]].item(), abar[times[k - 1] if k else 0].item()
        sigma = eta * math.sqrt((1 - prev) / (1 - a) * (1 - a / prev))
        eps = predict(x, int(times[k]))
        x = math.sqrt(prev) * (x - math.sqrt(1 - a) * eps) / math.sqrt(a) + math.sqrt(max(1 - prev - sigma ** 2, 1e-7)) * eps
        if k:
            z = noise(n) if noise else torch.randn(x.shape, generator=generator, device=generator.device if generator else None)
            x = x + sigma * z.to(x.device)
    return x


def dead(name):
    """Parameters that change nothing (networks.md, 9)."""
    return any(k in name for k in ('attn2.to_q.', 'attn2.to_k.', '.norm2.')) and 'transformer_blocks' in name


def state_dict(denoiser, vae, vit):
    """All parameters under the names of the original's checkpoint."""
    named = dict(denoiser.state_dict())
    named.update({'first_stage_model.' + k: v for k, v in vae.state_dict().items()})
    named.update({'clip_image_encoder.model.visual.' + k: v for k, v in vit.state_dict().items()})
    return named


def load(config, weights):
    """Denoiser, VAE and image encoder of a checkpoint (names to tensors); every parameter that does something must be there."""
    models = Denoiser(config), VAE(config['vae']), ViT(config['clip'])
    for model, prefix in zip(models, ('', 'first_stage_model.', 'clip_image_encoder.model.visual.')):
        model.load_state_dict({k: weights[prefix + k].float() if prefix + k in weights or not (dead(k) or k == 'alphas_cumprod') else v
                               for k, v in model.state_dict().items()})
        model.eval()
    models[0].model.diffusion_model.skip_zero_layers()
    return models
