#!/usr/bin/python3
"""Train the demo model: stages vae, encoder, diffusion, one after the other.

    train.py --work DIR [--config FILE] [--stage all|data|vae|encoder|diffusion] [--minutes M] [--export DIR]

Everything is seeded.  Each stage keeps DIR/STAGE.pt (weights, their moving average, optimiser, step, random
state) and goes on from it, on the CPU exactly; --minutes ends a call early, a later call resumes.  What is rendered and what
is derived from it is made once and kept in DIR.  The result goes to configs/demo (or the folder of --export):
config.yaml and weights.safetensors, also after every validation.

On a GPU a step is compiled, captured once as a CUDA graph and replayed: it draws its own random numbers and
computes its own learning rate, so nothing comes from the host."""
import argparse
import copy
import ctypes
import math
import multiprocessing
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
import yaml

import networks
import objects

HERE = os.path.dirname(os.path.abspath(__file__))
ELEVATIONS_IN, ELEVATIONS = (-10, 40), (-20, 70)


def log(stage, text):
    print('%s %s: %s' % (time.strftime('%H:%M:%S'), stage, text), flush=True)


def cached(path, make):
    """Arrays made once, kept in an .npz."""
    if not os.path.exists(path):
        arrays = make()
        part = '%s.%d.npz' % (path, os.getpid())
        np.savez(part, **arrays)
        os.rename(part, path)
    return dict(np.load(path))


def in_processes(f, jobs):
    """[f(job), ...] on all cores.  Not fork on the CPU: children of a process that has used OpenMP may hang."""
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    context = multiprocessing.get_context('fork' if torch.cuda.is_available() else 'spawn')
    with context.Pool(min(len(jobs), len(os.sched_getaffinity(0)))) as pool:
        return pool.map(f, jobs)


def slices(n, size):
    return [range(k, min(k + size, n)) for k in range(0, n, size)]


def uniform_deg(rng, bounds, n):
    return np.deg2rad(rng.uniform(*bounds, n)).astype(np.float32)


def to_input(images):
    """uint8 [..., S, S, 3] -> float [..., 3, S, S] in -1..1."""
    return images.float().movedim(-1, -3) / 127.5 - 1


# ---- rendering ----

def solid_rows(seeds):
    """Solids of these objects, filled up to MOST of them, and their counts."""
    rows, counts = np.zeros((len(seeds), objects.MOST, objects.PARAMS), np.float32), np.empty(len(seeds), np.int32)
    for k, seed in enumerate(seeds):
        parts = objects.solids(seed)
        rows[k, :len(parts)], counts[k] = parts, len(parts)
    return rows, counts


def solid_table(work, n, first=0):
    def make():
        rows = in_processes(solid_rows, [range(first + s.start, first + s.stop) for s in slices(n, 500)])
        return dict(solids=np.concatenate([r[0] for r in rows]), counts=np.concatenate([r[1] for r in rows]))
    d = cached(os.path.join(work, 'solids-%d-%d.npz' % (first, n)), make)
    return d['solids'], d['counts']


def render_white(table, elevation, azimuths, size, device):
    """Objects [n] of a solid_table, each at its elevation [n] and azimuths [n, V] -> uint8 [n, V, S, S, 3] on white."""
    (solids, counts), (n, V) = table, azimuths.shape
    poses = objects.poses(np.repeat(elevation, V), azimuths.reshape(-1)).astype(np.float32)
    out = torch.empty((n, V, size, size, 3), dtype=torch.uint8, device=device)
    arrays = [torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (solids, counts, poses)]
    p = [ctypes.c_void_p(a.data_ptr()) for a in (out, *arrays)]
    failed = objects.call('objects_white', p[0], p[1], p[2], n, objects.MOST, p[3], V, objects.c_float(280 * size / 256), size, 2,
                          compiler=objects.GPU if device.type == 'cuda' else objects.CPU)
    assert not failed, 'CUDA error %d' % failed
    return out


# ---- a stage ----

class Stage:
    """A model in training: optimiser, moving average, schedule, exact resume."""

    def __init__(self, name, model, work, plan, device):
        self.name, self.model, self.path, self.plan = name, model, os.path.join(work, name + '.pt'), plan
        self.device, self.step, self.started = device, 0, time.time()
        self.cuda = device.type == 'cuda'
        self.params = [p for p in model.parameters() if p.requires_grad]
        self.average = copy.deepcopy(model)
        self.averages = [a for a, p in zip(self.average.parameters(), model.parameters()) if p.requires_grad]
        self.lr = torch.tensor(float(plan['lr']), device=device) if self.cuda else plan['lr']
        self.at = torch.zeros((), device=device)                # the step, on the device
        self.total = torch.full((), float(plan['steps']), device=device)
        self.opt = torch.optim.AdamW(self.params, lr=self.lr, betas=(0.9, 0.99), weight_decay=plan.get('decay', 1e-4),
                                     **(dict(fused=True, capturable=True) if self.cuda else {}))
        self.sums = {}
        torch.manual_seed(6033 + len(name))
        if os.path.exists(self.path):
            s = torch.load(self.path, map_location=device)
            model.load_state_dict(s['model'])
            self.average.load_state_dict(s['average'])
            self.opt.load_state_dict(s['opt'])
            self.step = s['step']
            self.at.fill_(self.step)
            torch.set_rng_state(s['torch_rng'].cpu())
            if self.cuda:
                torch.cuda.set_rng_state(s['cuda_rng'].cpu())
                self.opt.param_groups[0]['lr'] = self.lr
            log(name, 'resumed at step %d' % self.step)

    def save(self):
        s = dict(model=self.model.state_dict(), average=self.average.state_dict(), opt=self.opt.state_dict(), step=self.step,
                 torch_rng=torch.get_rng_state())
        if self.cuda:
            s['cuda_rng'] = torch.cuda.get_rng_state()
        torch.save(s, self.path + '.part')
        os.rename(self.path + '.part', self.path)

    def set_rate(self):
        rise = ((self.at + 1) / self.plan.get('warm_up', 100)).clamp(max=1)
        fall = 0.5 * (1 + torch.cos(math.pi * (self.at / self.total).clamp(max=1)))
        rate = self.plan['lr'] * rise * (0.01 + 0.99 * fall)
        if self.cuda:
            self.lr.copy_(rate)
        else:
            self.opt.param_groups[0]['lr'] = rate.item()

    def update(self, one_step):
        """One step; on a GPU nothing in it waits for the device."""
        self.set_rate()
        self.opt.zero_grad(set_to_none=True)
        shown = one_step()
        shown['loss'].backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.opt.step()
        self.at += 1
        with torch.no_grad():
            keep = ((1 + self.at) / (10 + self.at)).clamp(max=self.plan.get('average', 0.999))
            torch._foreach_mul_(self.averages, keep if self.cuda else keep.item())
            torch._foreach_add_(self.averages, torch._foreach_mul([p.detach() for p in self.params], 1 - (keep if self.cuda else keep.item())))
            for k, v in shown.items():
                if k not in self.sums:
                    self.sums[k] = torch.zeros((), device=self.device)
                self.sums[k] += v.detach().float()

    def captured(self, one_step):
        """The step as a CUDA graph, after a few ordinary ones: compilers and libraries settle in them."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.update(one_step)
                self.step += 1
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.update(one_step)
        log(self.name, 'step captured after %.0f s' % (time.time() - self.started))
        return graph.replay

    def run(self, one_step, minutes, check):
        """Steps until the plan or the time ends; check() every now and then."""
        if self.step >= self.plan['steps']:
            self.save()
            return True
        go = self.captured(one_step) if self.cuda and not os.environ.get('PF_NO_GRAPH') else lambda: self.update(one_step)
        every, begin, counted = self.plan.get('log', 200), time.time(), 0
        for v in self.sums.values():
            v.zero_()
        while self.step < self.plan['steps']:
            go()
            self.step += 1
            counted += 1
            if counted == 200 and self.plan.get('seconds'):     # as many steps as there is time for
                self.at.item()
                self.plan['steps'] = self.step + int((self.plan['seconds'] - (time.time() - self.started)) / ((time.time() - begin) / 200))
                self.total.fill_(self.plan['steps'])
                log(self.name, '%d steps' % self.plan['steps'])
            if counted % every == 0:
                log(self.name, 'step %d/%d %s (%.4f s a step)' % (
                    self.step, self.plan['steps'], ' '.join('%s %.5f' % (k, v.item() / every) for k, v in self.sums.items()),
                    (time.time() - begin) / counted))
                for v in self.sums.values():
                    v.zero_()
                if minutes and time.time() - self.started > 60 * minutes:
                    break
            if self.step % self.plan['check'] == 0 or self.step == self.plan['steps']:
                check()
                self.save()
        self.save()
        return self.step >= self.plan['steps']


def quick(f, device):
    """f compiled, its products in bf16, on a GPU; on the CPU torch's GroupNorm in bf16 loses 10 %."""
    def mixed(*args):
        with torch.autocast('cuda', torch.bfloat16):
            return f(*args)
    return torch.compile(mixed, dynamic=False) if device.type == 'cuda' else f


def channels_last(model):
    for m in model.modules():
        for p in m.parameters(recurse=False):
            if p.ndim in (4, 5):
                p.data = p.data.contiguous(memory_format=torch.channels_last if p.ndim == 4 else torch.channels_last_3d)
    return model


# ---- stage 1: the VAE ----

def train_vae(config, work, plan, device, minutes, export_to):
    size, n = config['model']['image_size'], plan['views']
    rng = np.random.default_rng([6033, 1])
    e, a = uniform_deg(rng, ELEVATIONS, n), rng.uniform(0, 2 * np.pi, (n, 1))
    solids, counts = solid_table(work, n)
    views = torch.cat([render_white((solids[k.start:k.stop], counts[k.start:k.stop]), e[k], a[k], size, device)[:, 0]
                       for k in slices(n, 2000)])
    log('vae', '%d views' % n)
    held = to_input(views[:128])
    vae = channels_last(networks.VAE(config['vae'])).to(device)
    s = Stage('vae', vae, work, plan, device)

    def through(x, noise):
        mean, logvar = vae.moments(x)
        mean, logvar = mean.float(), logvar.float()
        return mean, logvar, vae.decode(mean + torch.exp(0.5 * logvar) * noise).float()
    through = quick(through, device)

    def one_step():
        x = to_input(views[torch.randint(128, n, (plan['batch'],), device=device)])
        mean, logvar, y = through(x, torch.randn(len(x), config['vae']['z_channels'], size // 8, size // 8, device=device))
        mse, l1 = F.mse_loss(y, x), F.l1_loss(y, x)
        kl = 0.5 * (mean ** 2 + logvar.exp() - 1 - logvar).mean()
        return dict(loss=mse + 0.2 * l1 + plan['kl'] * kl, mse=mse, l1=l1, kl=kl)

    def check():
        with torch.no_grad():
            mean, logvar = s.average.moments(held)
            mse = ((s.average.decode(mean).clamp(-1, 1) - held) / 2).pow(2).mean((1, 2, 3))
        log('vae', 'step %d: held-out PSNR %.2f dB, latent deviation %s, noise %.3f' % (
            s.step, (-10 * mse.log10()).mean(), ['%.2f' % v for v in mean.transpose(0, 1).flatten(1).std(1)], (0.5 * logvar).exp().mean()))

    return s.run(one_step, minutes, check)


# ---- stage 2: the image encoder, taught what one view determines ----

LEVELS = 16


def descriptors(seed, e_in):
    """What the embedding should say [120]: the object's half widths to the right, left, front and in the diagonal, and its
    colour, at 16 heights; and the photo's elevation."""
    parts = objects.solids(seed)
    z, r = (np.arange(LEVELS) + 0.5) / LEVELS - 0.5, np.linspace(0, 0.7, 57)
    out = []
    for dx, dy in ((0, 1), (0, -1), (1, 0), (0.7071, 0.7071)):
        p = np.stack(np.broadcast_arrays(r * dx, r * dy, z[:, None]), -1)
        out.append(((objects.sdf(parts, p.reshape(-1, 3)).reshape(LEVELS, -1) < 0) * r).max(1) * 3)     # [LEVELS]
    front = np.stack([out[2] / 3 + 0.01, 0 * z, z], 1)
    colour = objects.sdf(parts, front, colours=True)[1] - 0.5
    out += list((colour * (out[2] > 0)[:, None] * 1.5).T)
    return np.concatenate(out + [f(e_in * k)[None] for k in (1, 2, 4, 8) for f in (np.sin, np.cos)]).astype(np.float32)


def descriptor_rows(jobs):
    return np.stack([descriptors(k, e) for k, e in jobs])


def encoder_targets(work, n):
    """Elevations of the photos [n], and what the encoder should say of them [n, 120]."""
    e = uniform_deg(np.random.default_rng([6033, 2]), ELEVATIONS_IN, n)
    make = lambda: dict(targets=np.concatenate(in_processes(descriptor_rows, [[(i, e[i]) for i in k] for k in slices(n, 250)])))
    return e, cached(os.path.join(work, 'descriptors-%d.npz' % n), make)['targets']


def train_encoder(config, work, plan, device, minutes, export_to):
    size, n = config['model']['image_size'], plan['photos']
    e, targets = encoder_targets(work, n)
    solids, counts = solid_table(work, n)
    photos = torch.cat([render_white((solids[k.start:k.stop], counts[k.start:k.stop]), e[k], np.zeros((len(k), 1)), size, device)[:, 0]
                        for k in slices(n, 2000)])
    log('encoder', '%d photos' % n)
    vit = networks.ViT(config['clip']).to(device)
    s = Stage('encoder', vit, work, plan, device)
    targets = torch.from_numpy(targets).to(device)
    held = to_input(photos[:256])
    embed = quick(lambda x: vit(x).float(), device)

    def one_step():
        k = torch.randint(256, n, (plan['batch'],), device=device)
        return dict(loss=F.smooth_l1_loss(embed(to_input(photos[k])), targets[k], beta=0.1))

    def check():
        with torch.no_grad():
            y = s.average(held)
        log('encoder', 'step %d: held-out error %.4f of %.4f' % (s.step, (y - targets[:256]).pow(2).mean(),
                                                                  (targets[:256] - targets.mean(0)).pow(2).mean()))

    return s.run(one_step, minutes, check)


# ---- stage 3: the diffusion model ----

def best(work, stage, make):
    """The moving average of a finished stage."""
    model = make()
    model.load_state_dict(torch.load(os.path.join(work, stage + '.pt'), map_location='cpu')['average'])
    return model.eval()


def standardise(vae, mean, std):
    """Fold (z - mean) / std of each latent channel into the VAE's two 1x1 convolutions."""
    c = len(mean)
    with torch.no_grad():
        q, p = vae.quant_conv, vae.post_quant_conv
        p.bias += (p.weight[:, :, 0, 0] @ mean[:, None])[:, 0]
        p.weight *= std[None, :, None, None]
        q.bias[:c] = (q.bias[:c] - mean) / std
        q.weight[:c] /= std[:, None, None, None]
        q.bias[c:] -= 2 * std.log()


def training_angles(n):
    rng = np.random.default_rng([6033, 3])
    return uniform_deg(rng, ELEVATIONS_IN, n), uniform_deg(rng, ELEVATIONS, n)


def latent_data(config, work, plan, device):
    """Of every training object: angles, embedding, and the latents (mean, deviation) of its photo and 16 views; and the VAE whose
    latents have the deviation that scale_factor asks for.  Each object is seen at elevations of its own."""
    size, m, n = config['model']['image_size'], config['model'], plan['objects']
    e_in, e_target = training_angles(n)
    vae = channels_last(best(work, 'vae', lambda: networks.VAE(config['vae']))).to(device)
    vit = best(work, 'encoder', lambda: networks.ViT(config['clip'])).to(device)

    def make():
        solids, counts = solid_table(work, n)
        encode, moments, clip = quick(lambda x: torch.cat(vae.moments(x), 1), device), [], []
        with torch.no_grad():
            for k in slices(n, 16):
                part = solids[k.start:k.stop], counts[k.start:k.stop]
                photo = to_input(render_white(part, e_in[k], np.zeros((len(k), 1)), size, device))
                views = to_input(render_white(part, e_target[k], np.tile(objects.AZIMUTHS, (len(k), 1)), size, device))
                z = encode(torch.cat([photo, views], 1).flatten(0, 1))                                  # [17 n, 8, h, w]
                moments.append(z.half().reshape(len(k), 17, *z.shape[1:]).cpu())
                clip.append(vit(photo[:, 0]).cpu())
        return dict(moments=torch.cat(moments).numpy(), clip=torch.cat(clip).numpy())
    data = cached(os.path.join(work, 'latents-%d.npz' % n), make)
    log('diffusion', 'latents of %d objects' % n)
    mean, logvar = torch.from_numpy(data['moments']).to(device).chunk(2, 2)
    channels = mean[:2000].float().movedim(2, 0).flatten(1)
    mu, std = channels.mean(1), channels.std(1) * m['scale_factor']
    standardise(vae, mu, std)
    shape = (1, 1, -1, 1, 1)
    return vae, vit, dict(mean=((mean.float() - mu.view(shape)) / std.view(shape)).half(), std=((0.5 * logvar.float()).exp() / std.view(shape)).half(),
                          clip=torch.from_numpy(data['clip']).to(device),
                          e_in=torch.from_numpy(e_in).to(device), e_target=torch.from_numpy(e_target).to(device))


def pair_rows(job):
    """Packed epipolar masks at feature side `side`, and Pluecker maps of all targets and of the photo at every side of sides."""
    e_target, e_in, N, n, side, sides = job
    a = np.arange(N) * (2 * np.pi / N)
    et, at, ei = np.repeat(e_target, N), np.tile(a, len(e_target)), np.repeat(e_in, N)
    masks = np.packbits(networks.epipolar_mask(et, at, ei, n, side).reshape(-1, N, 2 * side * side, 2 * side * side), -1)
    rays = [torch.from_numpy(networks.pluecker(networks.spad_cameras(e, az), n)).view(len(e_target), -1, 6, n, n)
            for e, az in ((et, at), (e_in, np.zeros_like(e_in)))]
    return masks, [[networks.shrink_rays(r, s).half().numpy() for r in rays] for s in sides]


def spad_sides(config, plan):
    """Feature sides whose layer1 is trained."""
    c, side = config['unet'], config['model']['image_size'] // 8
    sides = [side >> k for k in range(len(c['channel_mult']))]
    return sorted({s for s in sides if side // s in c['attention_resolutions'] or s == sides[-1]} & set(range(plan['layer1_up_to_side'] + 1)))


def pair_data(config, work, plan):
    """Of every object: masks [n, N, T, T / 8] at the largest side, rays by side of the views [n, N, 6, s, s], of the photo [n, 1, 6, s, s]."""
    n, N, side, sides = plan['objects'], config['model']['view_num'], config['model']['image_size'] // 8, spad_sides(config, plan)
    e_in, e_target = (e.astype(np.float64) for e in training_angles(n))

    def make():
        rows = in_processes(pair_rows, [(e_target[k], e_in[k], N, side, max(sides), sides) for k in slices(n, 100)])
        out = dict(masks=np.concatenate([r[0] for r in rows]))
        for i, s in enumerate(sides):
            out.update({'views%d' % s: np.concatenate([r[1][i][0] for r in rows]), 'photo%d' % s: np.concatenate([r[1][i][1] for r in rows])})
        return out
    return cached(os.path.join(work, 'pairs-%d-%s.npz' % (n, '-'.join(map(str, sides)))), make) if sides else {}


def export(to, config, denoiser, vae, vit):
    """config.yaml and weights.safetensors, each file replaced in one go."""
    os.makedirs(to, exist_ok=True)
    with open(os.path.join(to, 'config.yaml.part'), 'w') as f:
        f.write('# The model that ships: made by tests/reference/train.py.  pf-config(5) describes the keys.\n')
        for section, keys in config.items():
            f.write('%s: %s\n' % (section, yaml.safe_dump(keys, default_flow_style=True, width=1000, sort_keys=False).strip()))
    weights = {k: v.half() for k, v in networks.state_dict(denoiser, vae, vit).items()}
    networks.write_safetensors(os.path.join(to, 'weights.safetensors.part'), weights, {'pf.format': '1', 'pf.kind': 'weights'})
    for name in ('config.yaml', 'weights.safetensors'):
        os.rename(os.path.join(to, name + '.part'), os.path.join(to, name))


def sample_views(config, denoiser, vae, vit, photos, e_in, e_target, seed=6033, steps=None, scale=None):
    """photos [B, 3, S, S] in -1..1 -> views [B, 16, 3, S, S] in 0..1."""
    m, sampler = config['model'], config['sampler']
    g = torch.Generator(photos.device).manual_seed(seed)
    with torch.no_grad():
        mean, logvar = vae.moments(photos)
        concat = mean + torch.exp(0.5 * logvar) * torch.randn(mean.shape, generator=g, device=mean.device)
        clip, cameras = vit(photos), denoiser.cameras(e_in, e_target)
        x = torch.randn((len(photos), m['view_num'], *mean.shape[1:]), generator=g, device=mean.device)
        t = lambda k: torch.full((len(photos),), k, device=mean.device)
        x = networks.ddim(lambda x, k: denoiser.predict(x, t(k), cameras, clip, concat, sampler['cfg_scale'] if scale is None else scale),
                          x, steps or sampler['steps'], sampler['eta'], g)
        y = vae.decode(x.flatten(0, 1) / m['scale_factor']).clamp(-1, 1)
    return ((y + 1) / 2).view(*x.shape[:2], *y.shape[1:])


def held_out(work, n, size, device):
    """Photos and true views of objects that were never trained on."""
    rng = np.random.default_rng([6033, 4])
    e_in, e_target = uniform_deg(rng, ELEVATIONS_IN, n), uniform_deg(rng, ELEVATIONS, n)
    table = solid_table(work, n, objects.PHOTO_SEED)
    photos = render_white(table, e_in, np.zeros((n, 1)), size, device)[:, 0]
    views = render_white(table, e_target, np.tile(objects.AZIMUTHS, (n, 1)), size, device)
    return to_input(photos), torch.from_numpy(e_in).to(device), torch.from_numpy(e_target).to(device), (to_input(views) + 1) / 2


def psnr(a, b):
    """Mean over views of [..., 3, S, S] in 0..1."""
    return (-10 * (a - b).pow(2).mean((-3, -2, -1)).log10()).mean().item()


def train_diffusion(config, work, plan, device, minutes, export_to):
    vae, vit, data = latent_data(config, work, plan, device)
    torch.manual_seed(6033)
    denoiser = networks.Denoiser(config)
    denoiser.initialise()
    unet = denoiser.model.diffusion_model
    for m in unet.transformers():                               # the finest layer1s stay zero, which is skipped everywhere
        m.without_layer1 = m.side > plan['layer1_up_to_side']
        if m.without_layer1:
            m.layer1.requires_grad_(False)
        for tb in (m.layer1.transformer_blocks[0], m.layer2.transformer_blocks[0]):     # dead: networks.md, 9
            for p in (*tb.attn2.to_q.parameters(), *tb.attn2.to_k.parameters(), *tb.norm2.parameters()):
                p.requires_grad_(False)
    channels_last(denoiser).to(device)
    sides = spad_sides(config, plan)
    pairs = {k: torch.from_numpy(v).to(device) for k, v in pair_data(config, work, plan).items()}
    log('diffusion', 'masks and rays')
    s = Stage('diffusion', denoiser, work, plan, device)
    abar, scale, N, K, B = networks.alphas_bar().to(device), config['model']['scale_factor'], denoiser.views, plan['views'], plan['batch']
    check_set = held_out(work, plan['held_out'], config['model']['image_size'], device)
    rep, numbers = lambda y: y.repeat_interleave(K, 0), torch.arange(B, device=device)
    bits = torch.arange(7, -1, -1, device=device)

    def predict(x, t, v, pose, pick, clip, concat, keep, seen, rays):
        chosen = lambda y: y[numbers[:, None], pick].flatten(0, 1)
        kept = lambda y, k: y * rep(keep[k]).view(-1, *[1] * (y.ndim - 1)).to(y.dtype)
        te = denoiser.time_embed(networks.sinusoid(t, denoiser.time_embed[0].in_features))
        volume = denoiser.spatial_volume.spatial(x, te, v, pose)
        volumes = denoiser.spatial_volume.frustum(rep(volume), rep(te), chosen(v), chosen(pose))
        volumes = {k: kept(y, 1) for k, y in volumes.items()}
        context = kept(denoiser.context(rep(clip), chosen(v)), 2)
        biases = {k: networks.additive(seen[:, ::(max(sides) // k) ** 2, ::(max(sides) // k) ** 2]) for k in sides}
        return unet(torch.cat([chosen(x), kept(rep(concat), 0)], 1), rep(t), context, volumes, biases, dict(zip(sides, rays))).float()
    predict = quick(predict, device)

    def one_step():
        o = torch.randint(len(data['clip']), (B,), device=device)
        pick = torch.rand(B, N, device=device).argsort(1)[:, :K]                                        # [B, K]
        # Stratified times: every step sees the whole range.
        t = ((numbers + torch.rand(B, device=device)) * (1000 / B)).long().clamp(max=999)
        mean, std = data['mean'][o].float(), data['std'][o].float()
        z = mean + std * torch.randn_like(mean)                                                         # [B, 17, 4, h, w]
        x0, noise = z[:, 1:] * scale, torch.randn_like(z[:, 1:])
        a = abar[t].view(B, 1, 1, 1, 1)
        x = a.sqrt() * x0 + (1 - a).sqrt() * noise
        r = torch.rand(B, device=device)
        keep = [~((r <= 0.05) | ((lo < r) & (r <= lo + 0.05))) for lo in (0.05, 0.10, 0.15)]            # training.md, 3
        e_in, e_target = data['e_in'][o], data['e_target'][o]
        chosen = lambda y: y[o[:, None], pick].flatten(0, 1)
        rays = [torch.stack([chosen(pairs['views%d' % k]), rep(pairs['photo%d' % k][o, 0])], 1).float() for k in sides]
        seen = ((chosen(pairs['masks'])[..., None] >> bits) & 1).bool().flatten(-2) if sides else None
        eps = predict(x, t, networks.viewpoint(e_in, e_target, N), networks.poses(e_target, N), pick, data['clip'][o], z[:, 0], keep, seen, rays)
        error = (eps - noise[numbers[:, None], pick].flatten(0, 1)).pow(2).mean((1, 2, 3))
        # The error of x0, but no more than weight_max times that of the noise: structure is decided where noise prevails.
        weight = rep((1 - abar[t]) / abar[t]).clamp(max=plan['weight_max'])
        return dict(loss=0.3 * (weight * error).mean(), eps=error.mean(), late=error.view(B, K)[B // 2:].mean())

    def check():
        photos, e_in, e_target, views = check_set
        for scale_ in plan['check_scales']:
            y = sample_views(config, s.average, vae, vit, photos, e_in, e_target, steps=plan['check_steps'], scale=scale_)
            log('diffusion', 'step %d: PSNR %.2f dB on %d held-out objects (%d steps, guidance %g)' % (
                s.step, psnr(y, views), len(photos), plan['check_steps'], scale_))
        sheet = torch.cat([torch.cat([y[:4, ::4], views[:4, ::4]], 1)], 0)
        from PIL import Image
        Image.fromarray(objects.to_bytes(sheet.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).cpu().numpy())).save(os.path.join(work, 'check.png'))
        export(export_to, config, s.average, vae, vit)

    return s.run(one_step, minutes, check)


def main():
    p = argparse.ArgumentParser(description='Train the demo model.')
    p.add_argument('--work', required=True, metavar='DIR')
    p.add_argument('--config', default=os.path.join(HERE, 'demo.yaml'))
    p.add_argument('--export', default=os.path.join(HERE, '..', '..', 'configs', 'demo'), metavar='DIR')
    p.add_argument('--stage', default='all', choices=['all', 'data', 'vae', 'encoder', 'diffusion'])
    p.add_argument('--minutes', type=float, help='stop then, to be resumed')
    p.add_argument('--steps', type=int, help='of the stage, instead of the plan')
    p.add_argument('--seconds', type=float, help='as many steps as fit in this time, after 200 to see how long one takes')
    o = p.parse_args()
    with open(o.config) as f:
        config = yaml.safe_load(f)
    plans = config.pop('training')
    os.makedirs(o.work, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if o.stage == 'data':                                       # what needs no GPU, to be made while one is busy
        solid_table(o.work, plans['diffusion']['objects'])
        encoder_targets(o.work, plans['encoder']['photos'])
        pair_data(config, o.work, plans['diffusion'])
        return 0
    stages = dict(vae=train_vae, encoder=train_encoder, diffusion=train_diffusion)
    for name, stage in stages.items():
        if o.stage in ('all', name):
            torch.manual_seed(6033)
            plan = dict(plans[name], seconds=o.seconds)
            if o.steps is not None:
                plan['steps'] = o.steps
            if not stage(config, o.work, plan, device, o.minutes, o.export):
                return 0
    return 0


if __name__ == '__main__':
    sys.exit(main())
