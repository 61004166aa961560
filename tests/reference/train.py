#!/usr/bin/python3
"""Train the demo model: stages vae, encoder, diffusion, one after the other.

    train.py --work DIR [--config FILE] [--stage all|vae|encoder|diffusion] [--minutes M] [--steps N]

Everything is seeded.  Each stage keeps DIR/STAGE.pt (weights, their moving average, optimiser, step, random
state) and goes on from it exactly; --minutes ends a call early, a later call resumes.  Data are rendered once
into DIR.  The result goes to configs/demo: config.yaml and weights.safetensors, also after every validation."""
import argparse
import copy
import math
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
DEMO = os.path.join(HERE, '..', '..', 'configs', 'demo')
ELEVATIONS_IN, ELEVATIONS = (-10, 40), (-20, 70)


def log(stage, text):
    print('%s %s: %s' % (time.strftime('%H:%M:%S'), stage, text), flush=True)


def cached(path, make):
    """Arrays made once, kept in an .npz."""
    if not os.path.exists(path):
        arrays = make()
        np.savez(path + '.part.npz', **arrays)
        os.rename(path + '.part.npz', path)
    return dict(np.load(path))


def to_input(images, device):
    """uint8 [..., S, S, 3] -> float [..., 3, S, S] in -1..1."""
    return torch.from_numpy(images).to(device).float().movedim(-1, -3) / 127.5 - 1


def render_white(seed, elevation, azimuths, size):
    return objects.to_bytes(objects.on_white(objects.render(seed, elevation, azimuths, size, 2)))


def uniform_deg(rng, bounds, n):
    return np.deg2rad(rng.uniform(*bounds, n)).astype(np.float32)


class Stage:
    """A model in training: optimiser, moving average, schedule, exact resume."""

    def __init__(self, name, model, work, plan, device):
        self.name, self.model, self.path, self.plan = name, model, os.path.join(work, name + '.pt'), plan
        self.device, self.step, self.started = device, 0, time.time()
        self.params = [p for p in model.parameters() if p.requires_grad]
        self.average = copy.deepcopy(model)
        self.opt = torch.optim.AdamW(self.params, lr=plan['lr'], betas=(0.9, 0.99), weight_decay=plan.get('decay', 1e-4))
        self.rng = np.random.default_rng([6033, len(name)])
        self.sums, self.count = {}, 0
        if os.path.exists(self.path):
            s = torch.load(self.path, map_location=device)
            model.load_state_dict(s['model'])
            self.average.load_state_dict(s['average'])
            self.opt.load_state_dict(s['opt'])
            self.step = s['step']
            self.rng.bit_generator.state = s['rng']
            torch.set_rng_state(s['torch_rng'].cpu())
            if 'cuda_rng' in s and torch.cuda.is_available():
                torch.cuda.set_rng_state(s['cuda_rng'].cpu())
            log(name, 'resumed at step %d' % self.step)

    def save(self):
        s = dict(model=self.model.state_dict(), average=self.average.state_dict(), opt=self.opt.state_dict(), step=self.step,
                 rng=self.rng.bit_generator.state, torch_rng=torch.get_rng_state())
        if self.device.type == 'cuda':
            s['cuda_rng'] = torch.cuda.get_rng_state()
        torch.save(s, self.path + '.part')
        os.rename(self.path + '.part', self.path)

    @property
    def done(self):
        return self.step >= self.plan['steps']

    def out_of_time(self, minutes):
        return minutes and time.time() - self.started > 60 * minutes

    def update(self, loss, **shown):
        rise = min(1, (self.step + 1) / self.plan.get('warm_up', 100))
        fall = 0.5 * (1 + math.cos(math.pi * min(1, self.step / self.plan['steps'])))
        for g in self.opt.param_groups:
            g['lr'] = self.plan['lr'] * rise * (0.01 + 0.99 * fall)
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.opt.step()
        self.step += 1
        keep = min(self.plan.get('average', 0.999), (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for a, p in zip(self.average.parameters(), self.model.parameters()):
                a.lerp_(p, 1 - keep)
        for k, v in dict(shown, loss=loss).items():
            self.sums[k] = self.sums.get(k, 0) + v.detach()
        self.count += 1
        if self.step % self.plan.get('log', 50) == 0:
            log(self.name, 'step %d/%d %s (%.2f s a step)' % (
                self.step, self.plan['steps'], ' '.join('%s %.5f' % (k, v / self.count) for k, v in self.sums.items()),
                (time.time() - self.started) / max(1, self.step - self.first)))
            self.sums, self.count = {}, 0

    def run(self, one_step, minutes, check):
        """Steps until the plan or the time ends; check() every now and then."""
        self.first = self.step
        while not self.done and not self.out_of_time(minutes):
            self.update(**one_step())
            if self.step % self.plan['check'] == 0:
                check()
                self.save()
        self.save()
        return self.done


def mixed(device):
    """bf16 where it is quick and exact enough: torch's GroupNorm in bf16 on the CPU loses 10 %."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda')


# ---- stage 1: the VAE ----

def vae_views(work, plan, size):
    def make():
        rng = np.random.default_rng([6033, 1])
        n = plan['views']
        e, a = uniform_deg(rng, ELEVATIONS, n), rng.uniform(0, 2 * np.pi, n)
        return dict(views=np.stack([render_white(k, e[k], [a[k]], size)[0] for k in range(n)]))
    return cached(os.path.join(work, 'views.npz'), make)['views']


def train_vae(config, work, plan, device, minutes):
    size = config['model']['image_size']
    views = vae_views(work, plan, size)
    held = to_input(views[:128], device)
    vae = networks.VAE(config['vae']).to(device)
    s = Stage('vae', vae, work, plan, device)

    def one_step():
        x = to_input(views[s.rng.integers(128, len(views), plan['batch'])], device)
        with mixed(device):
            mean, logvar = vae.moments(x)
            mean, logvar = mean.float(), logvar.float()
            y = vae.decode(mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)).float()
        mse, l1 = F.mse_loss(y, x), F.l1_loss(y, x)
        kl = 0.5 * (mean ** 2 + logvar.exp() - 1 - logvar).mean()
        return dict(loss=mse + 0.2 * l1 + plan['kl'] * kl, mse=mse, l1=l1, kl=kl)

    def check():
        for name, m in (('average', s.average), ('model', vae)):
            with torch.no_grad():
                mean, logvar = m.moments(held)
                mse = ((m.decode(mean).clamp(-1, 1) - held) / 2).pow(2).mean((1, 2, 3))
                log('vae', 'step %d %s: held-out PSNR %.2f dB, latent deviation %s, noise %.3f' % (
                    s.step, name, (-10 * mse.log10()).mean(), ['%.2f' % v for v in mean.transpose(0, 1).flatten(1).std(1)],
                    (0.5 * logvar).exp().mean()))

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


def encoder_photos(work, plan, size):
    def make():
        rng = np.random.default_rng([6033, 2])
        e = uniform_deg(rng, ELEVATIONS_IN, plan['photos'])
        return dict(photos=np.stack([render_white(k, e[k], [0.0], size)[0] for k in range(len(e))]),
                    targets=np.stack([descriptors(k, e[k]) for k in range(len(e))]))
    return cached(os.path.join(work, 'photos.npz'), make)


def train_encoder(config, work, plan, device, minutes):
    data = encoder_photos(work, plan, config['model']['image_size'])
    vit = networks.ViT(config['clip']).to(device)
    s = Stage('encoder', vit, work, plan, device)
    targets = torch.from_numpy(data['targets']).to(device)
    held = to_input(data['photos'][:256], device)

    def one_step():
        k = s.rng.integers(256, len(targets), plan['batch'])
        with mixed(device):
            y = vit(to_input(data['photos'][k], device))
        return dict(loss=F.smooth_l1_loss(y.float(), targets[k], beta=0.1))

    def check():
        with torch.no_grad():
            y = s.average(held)
            log('encoder', 'step %d: held-out error %.4f of %.4f' % (s.step, (y - targets[:256]).pow(2).mean(),
                                                                      (targets[:256] - targets.mean(0)).pow(2).mean()))

    return s.run(one_step, minutes, check)


# ---- stage 3: the diffusion model ----

def object_views(work, plan, size):
    """Photo and 16 views of every training object, each object at elevations of its own."""
    def make():
        rng = np.random.default_rng([6033, 3])
        n = plan['objects']
        e_in, e_target = uniform_deg(rng, ELEVATIONS_IN, n), uniform_deg(rng, ELEVATIONS, n)
        images = np.empty((n, 17, size, size, 3), np.uint8)
        for k in range(n):
            images[k, 0] = render_white(k, e_in[k], [0.0], size)[0]
            images[k, 1:] = render_white(k, e_target[k], objects.AZIMUTHS, size)
        return dict(images=images, e_in=e_in, e_target=e_target)
    return cached(os.path.join(work, 'objects-%d.npz' % plan['objects']), make)


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


def in_batches(f, n, size=64):
    with torch.no_grad():
        return [f(slice(k, min(k + size, n))) for k in range(0, n, size)]


def latent_data(config, work, plan, device):
    """Latents (mean, deviation) and embeddings of every training object, and the VAE whose latents have the deviation that
    scale_factor asks for."""
    size, m = config['model']['image_size'], config['model']
    vae = best(work, 'vae', lambda: networks.VAE(config['vae'])).to(device)
    vit = best(work, 'encoder', lambda: networks.ViT(config['clip'])).to(device)

    def moments():
        flat = object_views(work, plan, size)['images'].reshape(-1, size, size, 3)
        out = torch.cat(in_batches(lambda k: torch.cat(vae.moments(to_input(flat[k], device)), 1).half().cpu(), len(flat)))
        return dict(moments=out.view(-1, 17, *out.shape[1:]).numpy())

    def clip():
        photos = object_views(work, plan, size)['images'][:, 0]
        return dict(clip=torch.cat(in_batches(lambda k: vit(to_input(photos[k], device)).cpu(), len(photos))).numpy())
    file = lambda name: os.path.join(work, '%s-%d.npz' % (name, plan['objects']))
    data = dict(**cached(file('latents'), moments), **cached(file('clip'), clip))
    log('diffusion', 'latents of %d objects' % len(data['clip']))
    e = object_views_angles(work, plan)
    mean, logvar = torch.from_numpy(data['moments']).float().chunk(2, 2)
    channels = mean.movedim(2, 0).flatten(1)
    mu, std = channels.mean(1), channels.std(1) * m['scale_factor']
    standardise(vae, mu.to(device), std.to(device))
    shape = (1, 1, -1, 1, 1)
    return vae, vit, dict(mean=(mean - mu.view(shape)) / std.view(shape), std=(0.5 * logvar).exp() / std.view(shape),
                          clip=torch.from_numpy(data['clip']), e_in=torch.from_numpy(e['e_in']), e_target=torch.from_numpy(e['e_target']))


def object_views_angles(work, plan):
    with np.load(os.path.join(work, 'objects-%d.npz' % plan['objects'])) as f:
        return dict(e_in=f['e_in'], e_target=f['e_target'])


def pair_masks(work, plan, denoiser, e_in, e_target):
    """The epipolar masks of every object and view at the largest side that has a trained layer1, packed to bits."""
    side = max([m.side for m in denoiser.model.diffusion_model.transformers() if not m.without_layer1], default=0)

    def make():
        N, out = denoiser.views, []
        for k in range(0, len(e_in), 50):
            a = np.tile(np.arange(N) * 2 * np.pi / N, len(e_in[k:k + 50]))
            et, ei = (np.repeat(e[k:k + 50].double().numpy(), N) for e in (e_target, e_in))
            out.append(networks.epipolar_mask(et, a, ei, denoiser.side, side).reshape(-1, N, 2 * side * side, 2 * side * side))
        return dict(masks=np.concatenate(out))
    if not side:
        return None, 0
    return torch.from_numpy(cached(os.path.join(work, 'masks-%d-%d.npz' % (plan['objects'], side)), make)['masks']), side


def export(config, denoiser, vae, vit):
    """configs/demo, each file replaced in one go."""
    os.makedirs(DEMO, exist_ok=True)
    with open(os.path.join(DEMO, 'config.yaml.part'), 'w') as f:
        f.write('# The model that ships: made by tests/reference/train.py.  pf-config(5) describes the keys.\n')
        for section, keys in config.items():
            f.write('%s: %s\n' % (section, yaml.safe_dump(keys, default_flow_style=True, width=1000, sort_keys=False).strip()))
    weights = {k: v.half() for k, v in networks.state_dict(denoiser, vae, vit).items()}
    networks.write_safetensors(os.path.join(DEMO, 'weights.safetensors.part'), weights, {'pf.format': '1', 'pf.kind': 'weights'})
    for name in ('config.yaml', 'weights.safetensors'):
        os.rename(os.path.join(DEMO, name + '.part'), os.path.join(DEMO, name))


def sample_views(config, denoiser, vae, vit, photos, e_in, e_target, seed=6033, steps=None, scale=None):
    """photos [B, 3, S, S] in -1..1 -> views [B, 16, 3, S, S] in 0..1."""
    m, sampler = config['model'], config['sampler']
    g = torch.Generator(photos.device).manual_seed(seed)
    with torch.no_grad():
        mean, logvar = vae.moments(photos)
        concat = mean + torch.exp(0.5 * logvar) * torch.randn(mean.shape, generator=g, device=mean.device)
        clip = vit(photos)
        x = torch.randn((len(photos), m['view_num'], *mean.shape[1:]), generator=g, device=mean.device)
        t = lambda k: torch.full((len(photos),), k, device=mean.device)
        x = networks.ddim(lambda x, k: denoiser.predict(x, t(k), e_in, e_target, clip, concat, sampler['cfg_scale'] if scale is None else scale),
                          x, steps or sampler['steps'], sampler['eta'], g)
        y = vae.decode(x.flatten(0, 1) / m['scale_factor']).clamp(-1, 1)
    return ((y + 1) / 2).view(*x.shape[:2], *y.shape[1:])


def held_out(n, size, device):
    """Photos and true views of objects that were never trained on."""
    rng = np.random.default_rng([6033, 4])
    e_in, e_target = uniform_deg(rng, ELEVATIONS_IN, n), uniform_deg(rng, ELEVATIONS, n)
    seeds = objects.PHOTO_SEED + np.arange(n)
    photos = np.stack([render_white(s, e, [0.0], size)[0] for s, e in zip(seeds, e_in)])
    views = np.stack([render_white(s, e, objects.AZIMUTHS, size) for s, e in zip(seeds, e_target)])
    return (to_input(photos, device), torch.from_numpy(e_in).to(device), torch.from_numpy(e_target).to(device),
            (to_input(views, device) + 1) / 2)


def psnr(a, b):
    """Mean over views of [..., 3, S, S] in 0..1."""
    return (-10 * (a - b).pow(2).mean((-3, -2, -1)).log10()).mean().item()


def train_diffusion(config, work, plan, device, minutes):
    object_views(work, plan, config['model']['image_size'])
    vae, vit, data = latent_data(config, work, plan, device)
    torch.manual_seed(6033)
    denoiser = networks.Denoiser(config)
    denoiser.initialise()
    unet = denoiser.model.diffusion_model
    for m in unet.transformers():                               # the finest layer1s stay zero, which is skipped everywhere
        m.without_layer1 = m.side > plan['layer1_up_to_side']
        if m.without_layer1:
            m.layer1.requires_grad_(False)
        for tb in (m.layer1.transformer_blocks[0], m.layer2.transformer_blocks[0]):     # dead: spec 03, 9
            for p in (*tb.attn2.to_q.parameters(), *tb.attn2.to_k.parameters(), *tb.norm2.parameters()):
                p.requires_grad_(False)
    denoiser.to(device)
    masks, side = pair_masks(work, plan, denoiser, data['e_in'], data['e_target'])
    data = {k: v.to(device) for k, v in data.items()}
    s = Stage('diffusion', denoiser, work, plan, device)
    abar, scale, N, K = networks.alphas_bar().to(device), config['model']['scale_factor'], denoiser.views, plan['views']
    check_set = held_out(plan['held_out'], config['model']['image_size'], device)
    sides = sorted({m.side for m in unet.transformers() if not m.without_layer1})

    def one_step():
        B = plan['batch']
        o = torch.from_numpy(s.rng.integers(0, len(data['clip']), B)).to(device)
        pick = torch.from_numpy(np.stack([s.rng.permutation(N)[:K] for _ in range(B)])).to(device)     # [B, K]
        # Stratified times: every step sees the whole range.
        t = torch.from_numpy(((np.arange(B) + s.rng.random(B)) / B * 1000).astype(np.int64)).to(device)
        mean, std = data['mean'][o], data['std'][o]
        z = mean + std * torch.randn_like(mean)                                                         # [B, 17, 4, h, w]
        x0, noise = z[:, 1:] * scale, torch.randn_like(z[:, 1:])
        a = abar[t].view(B, 1, 1, 1, 1)
        x = a.sqrt() * x0 + (1 - a).sqrt() * noise
        r = torch.from_numpy(s.rng.random(B).astype(np.float32)).to(device)
        keep = lambda lo, hi: ~((r <= 0.05) | ((lo < r) & (r <= hi))).repeat_interleave(K)              # spec 06, 3
        e_in, e_target = data['e_in'][o], data['e_target'][o]
        v, pose = networks.viewpoint(e_in, e_target, N), networks.poses(e_target, N)
        rep, rows = lambda y: y.repeat_interleave(K, 0), torch.arange(B, device=device)[:, None]
        chosen = lambda y: y[rows, pick].flatten(0, 1)
        with mixed(device):
            te = denoiser.time_embed(networks.sinusoid(t, denoiser.time_embed[0].in_features))
            volume = denoiser.spatial_volume.spatial(x, te, v, pose)
            volumes = denoiser.spatial_volume.frustum(rep(volume), rep(te), chosen(v), chosen(pose))
            no = keep(0.10, 0.15).view(-1, 1, 1, 1, 1)
            volumes = {k: y * no for k, y in volumes.items()}
            context = denoiser.context(rep(data['clip'][o]), chosen(v)) * keep(0.15, 0.20)[:, None]
            concat = rep(z[:, 0]) * keep(0.05, 0.10).view(-1, 1, 1, 1)
            rays, biases = {}, {}
            if sides:
                et, ei = (rep(e).double().cpu().numpy() for e in (e_target, e_in))
                az = pick.flatten().cpu().numpy() * (2 * np.pi / N)
                both = np.stack([networks.pluecker(networks.spad_cameras(e, y), denoiser.side) for e, y in ((et, az), (ei, 0 * az))], 1)
                both = torch.from_numpy(both).to(device)
                seen = masks[o[:, None].cpu(), pick.cpu()].flatten(0, 1).to(device)
                for k in sides:
                    rays[k] = networks.shrink_rays(both, k)
                    biases[k] = networks.additive(seen[:, ::(side // k) ** 2, ::(side // k) ** 2])
            eps = unet(torch.cat([chosen(x), concat], 1), rep(t), context, volumes, biases, rays).float()
        error = (eps - chosen(noise)).pow(2).mean((1, 2, 3))
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
        export(config, s.average, vae, vit)

    return s.run(one_step, minutes, check)


def main():
    p = argparse.ArgumentParser(description='Train the demo model.')
    p.add_argument('--work', required=True, metavar='DIR')
    p.add_argument('--config', default=os.path.join(HERE, 'demo.yaml'))
    p.add_argument('--stage', default='all', choices=['all', 'vae', 'encoder', 'diffusion'])
    p.add_argument('--threads', type=int, help="torch's threads (one is best on a busy machine)")
    p.add_argument('--minutes', type=float, help='stop then, to be resumed')
    o = p.parse_args()
    with open(o.config) as f:
        config = yaml.safe_load(f)
    plans = config.pop('training')
    os.makedirs(o.work, exist_ok=True)
    torch.manual_seed(6033)
    if o.threads:
        torch.set_num_threads(o.threads)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    stages = dict(vae=train_vae, encoder=train_encoder, diffusion=train_diffusion)
    for name, stage in stages.items():
        if o.stage in ('all', name) and not stage(config, o.work, plans[name], device, o.minutes):
            return 0
    return 0


if __name__ == '__main__':
    sys.exit(main())
