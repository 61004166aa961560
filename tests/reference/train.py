#!/usr/bin/python3
"""Train the demo model: stages vae and diffusion, one after the other.

    train.py --work DIR --models FILE [--config FILE] [--stage all|pairs|vae|diffusion] [--seconds S] [--export DIR]

FILE is what models.py packed.  Everything is seeded.  Each stage keeps DIR/STAGE.pt (weights, their moving average,
optimiser, step, random state, number of the next scene) and goes on from it, on the CPU exactly; --minutes or --seconds
end a call early, a later call resumes.  The result goes to configs/demo (or the folder of --export): config.yaml and
weights.safetensors, also at every check.  --start WEIGHTS begins with the networks of a file that was exported.

On a GPU a diffusion step is captured once as a CUDA graph and replayed: it draws its own random numbers and computes its
own learning rate, so nothing comes from the host.  Scenes are drawn by other processes (scenes.py) and encoded between
steps: each takes the place of the oldest in a pool of latents."""
import argparse
import copy
import math
import multiprocessing
import os
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
import yaml
from torch import nn

import networks
import objects
import scenes

HERE = os.path.dirname(os.path.abspath(__file__))
# Several GPUs: a process each, with scenes and noise of its own; gradients are averaged (README.md, "Training away").
RANK, WORLD = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))


def log(stage, text):
    if RANK == 0:
        print('%s %s: %s' % (time.strftime('%H:%M:%S'), stage, text), flush=True)


def cached(path, make):
    """Arrays made once, kept in an .npz."""
    if not os.path.exists(path):
        arrays = make()
        part = '%s.%d.npz' % (path, os.getpid())
        np.savez_compressed(part, **arrays)
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


def to_input(images):
    """uint8 [..., S, S, 3] -> float [..., 3, S, S] in -1..1."""
    return images.float().movedim(-1, -3) / 127.5 - 1


# ---- scenes ----

class Source:
    """Scenes of the training models in order, and what is held out."""

    def __init__(self, o, size):
        loaded = scenes.load(o.models)
        self.held = scenes.Scenes(loaded, size, True)
        self.ring = scenes.Ring(o.ring, scenes.Scenes(loaded, size, share=(RANK, WORLD)), o.workers)

    def held_out(self, n, procedural):
        """n views of models that are held out and some of objects.py: views u1 [n + procedural, 17, S, S, 3], elevations."""
        out = [self.held(k) for k in range(n)]
        for k in range(procedural):
            rng = np.random.default_rng([6033, 4, k])
            e = scenes.elevations(rng)
            angles = np.deg2rad(scenes.ELEVATIONS_IN[e[0]]), np.deg2rad(scenes.ELEVATIONS[e[1]])
            out.append((scenes.procedural(objects.PHOTO_SEED + k, *angles, self.held.size), *e))
        return np.stack([x[0] for x in out]), np.array([x[1:] for x in out])


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
        self.begin = torch.zeros((), device=device)             # where the learning rate rose
        self.scene = 0                                          # the next one
        self.total = torch.full((), float(plan['steps']), device=device)
        self.opt = torch.optim.AdamW(self.params, lr=self.lr, betas=(0.9, 0.99), weight_decay=plan.get('decay', 1e-4),
                                     **(dict(fused=True, capturable=True) if self.cuda else {}))
        self.sums = {}
        torch.manual_seed(6033 + len(name) + 1000 * RANK)
        if os.path.exists(self.path):
            s = torch.load(self.path, map_location=device)
            model.load_state_dict(s['model'])
            self.average.load_state_dict(s['average'])
            self.opt.load_state_dict(s['opt'])
            self.step = s['step']
            self.at.fill_(self.step)
            self.begin.fill_(self.step if plan.get('seconds') else s['begin'])
            self.scene = s['scene']
            torch.set_rng_state(s['torch_rng'].cpu())
            if self.cuda:
                torch.cuda.set_rng_state(s['cuda_rng'].cpu())
                self.opt.param_groups[0]['lr'] = self.lr
            log(name, 'resumed at step %d' % self.step)

    def save(self):
        s = dict(model=self.model.state_dict(), average=self.average.state_dict(), opt=self.opt.state_dict(), step=self.step,
                 begin=self.begin.item(), scene=self.scene, torch_rng=torch.get_rng_state())
        if self.cuda:
            s['cuda_rng'] = torch.cuda.get_rng_state()
        torch.save(s, self.path + '.part')
        os.rename(self.path + '.part', self.path)

    def set_rate(self):
        """Rises, stays, and falls in the last `fall` of a call or plan: a later call can go on from any of them."""
        rise = ((self.at - self.begin + 1) / self.plan.get('warm_up', 100)).clamp(max=1)
        left = (1 - (self.at - self.begin) / (self.total - self.begin)).clamp(min=0)
        rate = self.plan['lr'] * rise * (0.02 + 0.98 * (left / self.plan.get('fall', 0.3)).clamp(max=1))
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
        if WORLD > 1:
            self.average_gradients()
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

    def average_gradients(self):
        grads = [p.grad for p in self.params]
        flat = torch.cat([g.flatten() for g in grads])
        dist.all_reduce(flat, dist.ReduceOp.AVG)
        torch._foreach_copy_(grads, [part.view_as(g) for part, g in zip(flat.split([g.numel() for g in grads]), grads)])

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
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            self.update(one_step)
        torch.backends.cudnn.benchmark = False                  # checks have other shapes
        log(self.name, 'step captured after %.0f s' % (time.time() - self.started))
        return graph.replay

    def run(self, one_step, minutes, check, before=lambda: None):
        """Steps until the plan or the time ends, before() ahead of each; check() and save() every now and then."""
        if self.step >= self.plan['steps']:
            return True
        if os.environ.get('PF_PROFILE'):
            self.profile(one_step)
            return False
        go = self.captured(one_step) if self.cuda and not os.environ.get('PF_NO_GRAPH') else lambda: self.update(one_step)
        every, begin, counted, saved = self.plan.get('log', 200), time.time(), 0, time.time()
        for v in self.sums.values():
            v.zero_()
        lap = begin
        while self.step < self.plan['steps']:
            before()
            go()
            self.step += 1
            counted += 1
            if counted == 200 and self.plan.get('seconds'):     # as many steps as there is time for
                self.at.item()
                self.plan_for(self.plan['seconds'] - (time.time() - self.started), (time.time() - begin) / 200)
            if counted % every == 0:
                means = ' '.join('%s %.5f' % (k, v.item() / every) for k, v in self.sums.items())
                log(self.name, 'step %d/%d %s; %.1f ms a step, %.0f samples/s, %.1f scenes a step' % (
                    self.step, self.plan['steps'], means, 1e3 * (time.time() - lap) / every, self.plan['batch'] * every / (time.time() - lap),
                    self.scene / max(1, self.step)))
                lap = time.time()
                for v in self.sums.values():
                    v.zero_()
                if self.plan.get('seconds') and counted % (10 * every) == 0:    # checks take time, too
                    self.plan_for(self.plan['seconds'] - (time.time() - self.started), (time.time() - begin) / counted)
                if minutes and time.time() - self.started > 60 * minutes:
                    break
            if time.time() - saved > self.plan['check_seconds'] and RANK == 0:     # the others wait for its gradients
                check()
                self.save()
                saved = lap = time.time()
        if RANK == 0:
            check()
            self.save()
        return self.step >= self.plan['steps']

    def profile(self, one_step):
        """Where five steps spend the GPU's time."""
        for _ in range(5):
            self.update(one_step)
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]) as p:
            for _ in range(5):
                self.update(one_step)
            torch.cuda.synchronize()
        print(p.key_averages(group_by_input_shape=True).table(sort_by='self_cuda_time_total', row_limit=40, max_name_column_width=70))

    def plan_for(self, seconds, each):
        self.total.fill_(self.step + max(1, int((seconds - self.plan.get('end_seconds', 0)) / each)))
        if WORLD > 1:
            dist.broadcast(self.total, 0)
        self.plan['steps'] = int(self.total.item())
        log(self.name, '%d steps' % self.plan['steps'])


def mixed(f, device):
    """f with its products in bf16 on a GPU; on the CPU torch's GroupNorm in bf16 loses 10 %."""
    def g(*args):
        with torch.autocast('cuda', torch.bfloat16):
            return f(*args)
    return g if device.type == 'cuda' else f


def channels_last(model):
    for m in model.modules():
        for p in m.parameters(recurse=False):
            if p.ndim in (4, 5):
                p.data = p.data.contiguous(memory_format=torch.channels_last if p.ndim == 4 else torch.channels_last_3d)
    return model


# ---- stage 1: the VAE ----

def train_vae(config, o, plan, device, source):
    size, n = config['model']['image_size'], plan['scenes']
    source.ring.begin(0)
    views = torch.from_numpy(source.ring.take(0, n)[0]).flatten(0, 1)
    held = to_input(torch.from_numpy(source.held_out(plan['held_out'], 0)[0][:, ::4]).flatten(0, 1)).to(device)
    views = views.to(device)
    log('vae', '%d views' % len(views))
    vae = networks.VAE(config['vae'])
    if o.start:
        load_part(vae, o.start, 'first_stage_model.')
    vae = channels_last(vae).to(device)
    s = Stage('vae', vae, o.work, plan, device)

    def through(x, noise):
        mean, logvar = vae.moments(x)
        mean, logvar = mean.float(), logvar.float()
        return mean, logvar, vae.decode(mean + torch.exp(0.5 * logvar) * noise).float()
    through = mixed(through, device)

    def one_step():
        x = to_input(views[torch.randint(len(views), (plan['batch'],), device=device)])
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

    return s.run(one_step, o.minutes, check)


# ---- stage 2: the diffusion model, with the image encoder ----

def load_part(model, path, prefix):
    """The parameters of a model in an exported file; it may lack those that do nothing."""
    weights = networks.read_safetensors(path)[0]
    known = {k: weights[prefix + k].float() for k in model.state_dict() if prefix + k in weights}
    lacking = [k for k in model.load_state_dict(known, strict=False).missing_keys if not networks.dead(k) and k != 'alphas_cumprod']
    if lacking:
        raise SystemExit('%s has no %s' % (path, prefix + lacking[0]))


class Model(nn.Module):
    """What the diffusion stage trains.  hint: a guess at all views and the photo's elevation from the image embedding alone,
    which teaches the encoder long before the denoiser listens to it; it is not exported."""

    def __init__(self, config, vae):
        super().__init__()
        e, z, h = config['unet']['context_dim'], config['vae']['z_channels'], config['model']['image_size'] // 16
        self.vae = vae
        self.denoiser, self.vit = networks.Denoiser(config), networks.ViT(config['clip'])
        self.hint = nn.Sequential(nn.Linear(e + 2, 512), nn.SiLU(), nn.Linear(512, config['model']['view_num'] * z * h * h + 2))
        self.denoiser.initialise()


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


class Pool:
    """The latents (mean, deviation), small photo and elevations of the last `size` scenes, the oldest replaced in turn."""

    def __init__(self, config, source, vae, plan, device, stage):
        size, m, c = plan['pool'], config['model'], config['vae']['z_channels']
        h, small = m['image_size'] // 8, config['clip']['image_size']
        self.source, self.vae, self.plan, self.device, self.stage, self.small = source, vae, plan, device, stage, small
        empty = lambda shape, kind=torch.float16: torch.zeros((size, *shape), dtype=kind, device=device)
        self.data = dict(mean=empty((17, c, h, h)), std=empty((17, c, h, h)), photo=empty((3, small, small)),
                         rgb=empty((17, m['image_size'], m['image_size'], 3), torch.uint8),
                         pair=empty((), torch.long), e_in=empty((), torch.float32), e_target=empty((), torch.float32))
        self.encode = mixed(lambda x: torch.cat(vae.moments(x), 1), device)
        # A resumed call makes the scenes of its pool once more.
        self.stage.scene = max(0, self.stage.scene - size)
        source.ring.begin(self.stage.scene)

    def fill(self):
        for _ in range(0, self.plan['pool'], self.plan['refresh']):
            self.add()

    def add(self):
        n, count, d = self.stage.scene, self.plan['refresh'], self.data
        rgb, e = self.source.ring.take(n, count)
        k = (n + torch.arange(count, device=self.device)) % self.plan['pool']
        with torch.no_grad():
            x = to_input(torch.from_numpy(rgb).to(self.device))
            mean, logvar = self.encode(x.flatten(0, 1)).float().unflatten(0, (count, 17)).chunk(2, 2)
            d['mean'][k], d['std'][k] = mean.half(), (0.5 * logvar).exp().half()
            d['rgb'][k] = torch.from_numpy(rgb).to(self.device)
            d['photo'][k] = F.interpolate(x[:, 0], (self.small, self.small), mode='bicubic', align_corners=True).half()
        e = torch.from_numpy(e).long()
        d['pair'][k] = (e[:, 0] * len(scenes.ELEVATIONS) + e[:, 1]).to(self.device)
        for name, table, column in (('e_in', scenes.ELEVATIONS_IN, 0), ('e_target', scenes.ELEVATIONS, 1)):
            d[name][k] = torch.deg2rad(torch.from_numpy(table).float())[e[:, column]].to(self.device)
        self.stage.scene += count
        self.source.ring.head[0] = self.stage.scene

    def refresh(self):
        """Before a step: new scenes every few of them.  A GPU does not wait for the processes that draw."""
        if self.stage.step % self.plan['refresh_steps'] == 0 and (
                self.device.type == 'cpu' or self.source.ring.ready(self.stage.scene, self.plan['refresh'])):
            self.add()


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
    """Of every pair of elevations, numbered photo's * ELEVATIONS + views': masks [n, N, T, T / 8] at the largest side, rays by
    side of the views [n, N, 6, s, s], of the photo [n, 1, 6, s, s]."""
    N, side, sides = config['model']['view_num'], config['model']['image_size'] // 8, spad_sides(config, plan)
    e_in, e_target = (np.deg2rad(e) for e in np.meshgrid(scenes.ELEVATIONS_IN, scenes.ELEVATIONS, indexing='ij'))
    e_in, e_target = e_in.reshape(-1), e_target.reshape(-1)

    def make():
        rows = in_processes(pair_rows, [(e_target[k], e_in[k], N, side, max(sides), sides) for k in slices(len(e_in), 12)])
        out = dict(masks=np.concatenate([r[0] for r in rows]))
        for i, s in enumerate(sides):
            out.update({'views%d' % s: np.concatenate([r[1][i][0] for r in rows]), 'photo%d' % s: np.concatenate([r[1][i][1] for r in rows])})
        return out
    return cached(os.path.join(work, 'pairs-%s.npz' % '-'.join(map(str, sides))), make) if sides else {}


def tell_elevation(denoiser, vit, photos, e_in):
    """Make the last two numbers of the embedding the sine and cosine of the photo's elevation, as well as they follow from
    photos [n, 3, s, s] with elevations [n], and change nothing else: an embedding that is longer than what it is a
    projection of has a row to spare, so those two are told by the others, and cc_projection takes them from there."""
    n = vit.proj.shape[1] - 2
    assert n >= vit.proj.shape[0]
    with torch.no_grad():
        f = torch.cat([vit.features(p) for p in photos.split(256)]).double()
        wanted = torch.stack([e_in.sin(), e_in.cos()], 1).double()
        one = torch.cat([f, torch.ones_like(f[:, :1])], 1)              # LayerNorm's output has a constant direction, too
        told = torch.linalg.solve(one.T @ one + 1e-3 * len(f) * torch.eye(one.shape[1], device=f.device, dtype=f.dtype), one.T @ wanted)
        # A constant in terms of the features: ln_post's are bias + weight * (a unit-length x), which sums to 0.
        bias, weight = vit.ln_post.bias.double(), vit.ln_post.weight.double()
        normal = 1 / weight
        constant = normal / (normal @ bias)                             # constant . f = 1 whatever the photo
        rows = told[:-1] + constant[:, None] * told[-1]
        proj, take = vit.proj.double(), denoiser.cc_projection.weight.double()
        instead = torch.linalg.pinv(proj[:, :n]) @ proj[:, n:]          # proj[:, n:] = proj[:, :n] instead
        take[:, :n] += take[:, n:n + 2] @ instead.T
        take[:, n:n + 2] = 0
        proj[:, n:] = rows
        vit.proj.copy_(proj)
        denoiser.cc_projection.weight.copy_(take)
        found = f @ rows
        error = torch.rad2deg((torch.atan2(found[:, 0], found[:, 1]) - e_in).abs())
    return error.median().item(), (error <= 12).double().mean().item()


def export(to, config, denoiser, vae, vit):
    """config.yaml and weights.safetensors, each file replaced in one go."""
    os.makedirs(to, exist_ok=True)
    with open(os.path.join(to, 'config.yaml.part'), 'w') as f:
        f.write('# The model that ships: made by tests/reference/train.py.  pf-config(5) describes the keys.\n')
        for section, keys in config.items():
            f.write('%s: %s\n' % (section, yaml.safe_dump(keys, default_flow_style=True, width=1000, sort_keys=False).strip()))
    weights = {k: v if k == 'alphas_cumprod' else v.half() for k, v in networks.state_dict(denoiser, vae, vit).items() if not networks.dead(k)}
    networks.write_safetensors(os.path.join(to, 'weights.safetensors.part'), weights, {'pf.format': '1', 'pf.kind': 'weights'})
    for name in ('config.yaml', 'weights.safetensors'):
        os.rename(os.path.join(to, name + '.part'), os.path.join(to, name))


def sample_views(config, denoiser, vae, vit, photos, e_in, e_target, seed=6033, steps=None, scale=None, trailing=False):
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
                          x, denoiser.alphas_cumprod, steps or sampler['steps'], sampler['eta'], g, trailing=trailing)
        y = vae.decode(x.flatten(0, 1) / m['scale_factor']).clamp(-1, 1)
    return ((y + 1) / 2).view(*x.shape[:2], *y.shape[1:])


def psnr(a, b):
    """Mean over views of [..., 3, S, S] in 0..1."""
    return (-10 * (a - b).pow(2).mean((-3, -2, -1)).log10()).mean().item()


def latent_statistics(pool):
    """Mean and deviation of the latents' channels [C] over the pool's views."""
    x = pool.data['mean'][:, 1:].float().movedim(2, 0).flatten(1)
    return x.mean(1), x.std(1)


def diffusion_vae(config, o, device):
    """The VAE of an exported file, or of the stage before."""
    vae = networks.VAE(config['vae'])
    if o.start:
        load_part(vae, o.start, 'first_stage_model.')
    else:
        vae.load_state_dict(torch.load(os.path.join(o.work, 'vae.pt'), map_location='cpu')['average'])
    return channels_last(vae).to(device).eval()


def freeze(unet, vae, plan):
    """What does nothing; the finest layer1s, which stay zero and are skipped everywhere; and what encodes."""
    for m in unet.transformers():
        m.without_layer1 = m.side > plan['layer1_up_to_side']
        if m.without_layer1:
            m.layer1.requires_grad_(False)
    for name, p in unet.named_parameters():
        if networks.dead(name):
            p.requires_grad_(False)
    for m in (vae.encoder, vae.quant_conv):                     # latents stay what they are, for the pool and for whoever goes on
        m.requires_grad_(False)


def train_diffusion(config, o, plan, device, source):
    scale, size = config['model']['scale_factor'], config['model']['image_size']
    torch.manual_seed(6033)
    model = Model(config, diffusion_vae(config, o, device))
    if o.start and not o.start_vae_only:
        load_part(model.denoiser, o.start, '')
        load_part(model.vit, o.start, 'clip_image_encoder.model.visual.')
        if o.start_output:
            for p in model.denoiser.model.diffusion_model.out[2].parameters():
                nn.init.zeros_(p)
    model.denoiser.alphas_cumprod.copy_(networks.noise_alone_from(networks.alphas_bar(), plan['noise_alone_from']))
    denoiser, unet = model.denoiser, model.denoiser.model.diffusion_model
    if not denoiser.velocity:
        raise SystemExit('a model of v is trained; of eps there was one until November 29, 2026')
    freeze(unet, model.vae, plan)
    channels_last(model).to(device)
    sides = spad_sides(config, plan)
    pairs = {k: torch.from_numpy(v).to(device) for k, v in pair_data(config, o.work, plan).items()}
    vae = copy.deepcopy(model.vae)                              # encodes; before the stage, which sets the random state
    s = Stage('diffusion', model, o.work, plan, device)
    s.scene = s.scene or o.scene
    pool = Pool(config, source, vae, plan, device, s)
    check_set = source.held_out(plan['held_out'], plan['held_out_procedural'])
    pool.fill()
    log('diffusion', 'a pool of %d scenes' % plan['pool'])
    standard = os.path.join(o.work, 'latents.pt')               # what the latents were shifted and divided by
    if not os.path.exists(standard):
        mu, std = latent_statistics(pool)
        # Latents of an exported VAE have their deviation already: its UNet knows them so.
        torch.save((mu * 0, std * 0 + 1) if o.start and not o.start_vae_only else (mu.cpu(), std.cpu() * scale), standard)
    mu, std = (x.to(device) for x in torch.load(standard))
    log('diffusion', 'latents less %s by %s' % (mu.tolist(), std.tolist()))
    flat_mu, flat_std = mu, std
    mu, std = mu.view(1, 1, -1, 1, 1), std.view(1, 1, -1, 1, 1)

    abar, N, K, B = denoiser.alphas_cumprod, denoiser.views, plan['views'], plan['batch']
    rep, numbers, data = lambda y: y.repeat_interleave(K, 0), torch.arange(B, device=device), pool.data
    bits = torch.arange(7, -1, -1, device=device)

    def predict(x, t, e_in, e_target, pair, pick, photo, concat, keep):
        rep, chosen = lambda y: y.repeat_interleave(pick.shape[1], 0), lambda y: y[numbers[:len(pick), None], pick].flatten(0, 1)
        kept = lambda y, k: y * rep(keep[k]).view(-1, *[1] * (y.ndim - 1)).to(y.dtype)
        v, pose, of_pair = networks.viewpoint(e_in, e_target, N), networks.poses(e_target, N), lambda y: y[pair[:, None], pick].flatten(0, 1)
        rays = [torch.stack([of_pair(pairs['views%d' % i]), rep(pairs['photo%d' % i][pair, 0])], 1).float() for i in sides]
        seen = ((of_pair(pairs['masks'])[..., None] >> bits) & 1).bool().flatten(-2) if sides else None
        clip = model.vit(photo).float()
        hint = model.hint(torch.cat([clip, e_target.sin()[:, None], e_target.cos()[:, None]], 1))
        te = denoiser.time_embed(networks.sinusoid(t, denoiser.time_embed[0].in_features))
        volume = denoiser.spatial_volume.spatial(x, te, v, pose)
        volumes = denoiser.spatial_volume.frustum(rep(volume), rep(te), chosen(v), chosen(pose))
        volumes = {k: kept(y, 1) for k, y in volumes.items()}
        context = kept(denoiser.context(rep(clip), chosen(v)), 2)
        biases = {k: networks.additive(seen[:, ::(max(sides) // k) ** 2, ::(max(sides) // k) ** 2]) for k in sides}
        return unet(torch.cat([chosen(x), kept(rep(concat), 0)], 1), rep(t), context, volumes, biases, dict(zip(sides, rays))).float(), hint.float()
    predict = mixed(predict, device)

    # Objects of a batch: the first `begun` at the sampler's first time; the next `rolled` at its second, in what the first step makes
    # of them, so that steps learn to correct each other; the others, stratified, at all times.
    begun, rolled, (first, second) = plan['begun'], plan['rolled'], plan['sampler_times']
    every_view, whole = torch.arange(N, device=device).expand(rolled, N), torch.ones(rolled, dtype=torch.bool, device=device)
    decode = mixed(lambda z: model.vae.decode(z / scale * std[0] + mu[0]), device)

    def rolled_out(x, e_in, e_target, pair, photo, concat):
        """All views at the second time, as DDIM without added noise makes them of noise x [rolled, N, C, h, w] at the first."""
        a, b = abar[first], abar[second]
        with torch.no_grad():
            t = torch.full((rolled,), first, device=device)
            v = predict(x, t, e_in, e_target, pair, every_view, photo, concat, [whole] * 3)[0].view_as(x)
            return b.sqrt() * (a.sqrt() * x - (1 - a).sqrt() * v) + (1 - b).sqrt() * (a.sqrt() * v + (1 - a).sqrt() * x)

    def one_step():
        k = torch.randint(plan['pool'], (B,), device=device)
        pick = torch.rand(B, N, device=device).argsort(1)[:, :K]                                        # [B, K]
        t = ((numbers - begun - rolled + torch.rand(B, device=device)) * (1000 / (B - begun - rolled))).long().clamp(max=999)
        t = torch.where(numbers < begun, first, torch.where(numbers < begun + rolled, second, t))
        mean, deviation = (data['mean'][k].float() - mu) / std, data['std'][k].float() / std
        z = mean + deviation * torch.randn_like(mean)                                                   # [B, 17, 4, h, w]
        x0, noise = z[:, 1:] * scale, torch.randn_like(z[:, 1:])
        a = abar[t].view(B, 1, 1, 1, 1)
        x = a.sqrt() * x0 + (1 - a).sqrt() * noise
        r = torch.rand(B, device=device)
        keep = [~((r <= 0.05) | ((lo < r) & (r <= lo + 0.05))) for lo in (0.05, 0.10, 0.15)]            # training.md, 3
        e_in, e_target, pair, photo, concat = data['e_in'][k], data['e_target'][k], data['pair'][k], data['photo'][k].float(), z[:, 0]
        if rolled:
            at = slice(begun, begun + rolled)
            y = rolled_out(noise[at], *(c[at] for c in (e_in, e_target, pair, photo, concat)))
            x = torch.cat([x[:begun], y, x[begun + rolled:]])
        out, hint = predict(x, t, e_in, e_target, pair, pick, photo, concat, keep)
        chosen = lambda y: y[numbers[:, None], pick].flatten(0, 1)
        x, x0 = chosen(x), chosen(x0)
        a = rep(a[:, 0])
        # v's error is that of x0 over 1 - abar, whatever made x.
        error = (out - (a.sqrt() * x - x0) / (1 - a).sqrt()).pow(2).mean((1, 2, 3))
        guess = (hint[:, :-2] - F.avg_pool2d(mean[:, 1:].flatten(0, 1) * scale, 2).reshape(B, -1)).pow(2).mean()
        guess = guess + (hint[:, -2:] - torch.stack([e_in.sin(), e_in.cos()], 1) * 2).pow(2).mean()
        loss = error.mean() + plan['hint'] * guess
        shown = dict(error=error.mean(), first=error.view(B, K)[:begun].mean(), second=error.view(B, K)[begun:begun + rolled].mean(), hint=guess)
        if plan['pixel']:                                       # one view of each object as people see it; the decoder learns along
            made = (a.sqrt() * x - (1 - a).sqrt() * out).view(B, K, *out.shape[1:])[:, 0]
            wrong = decode(made).float() - to_input(data['rgb'][k, 1 + pick[:, 0]])
            pixel = wrong.pow(2).mean((1, 2, 3))
            loss = loss + plan['pixel'] * (pixel.mean() + 0.1 * wrong.abs().mean())
            shown.update(pixel=pixel[:begun].mean())
        return dict(loss=loss, **shown)

    def check():
        views, e = (torch.from_numpy(x) for x in check_set)
        views = to_input(views).to(device)
        e_in, e_target = (torch.deg2rad(torch.from_numpy(t).float())[x].to(device)
                          for t, x in ((scenes.ELEVATIONS_IN, e[:, 0]), (scenes.ELEVATIONS, e[:, 1])))
        s.average.denoiser.model.diffusion_model.skip_zero_layers()
        true, real = (views[:, 1:] + 1) / 2, plan['held_out']
        exported = copy.deepcopy(s.average.vae)
        standardise(exported, flat_mu, flat_std)
        sample = lambda steps, trailing, *of: sample_views(config, s.average.denoiser, exported, s.average.vit, *of, steps=steps, scale=1.0, trailing=trailing)
        for steps, trailing in ((20, False), (1, True), (2, True)):
            y = sample(steps, trailing, views[:, 0], e_in, e_target)
            log('diffusion', 'step %d: PSNR %.2f dB on %d held-out models, %.2f on %d objects (%d steps)' % (
                s.step, psnr(y[:real], true[:real]), real, psnr(y[real:], true[real:]), len(y) - real, steps))
        seen = to_input(data['rgb'][:64])
        z = sample(2, True, seen[:, 0], data['e_in'][:64], data['e_target'][:64])
        log('diffusion', 'step %d: PSNR %.2f dB on scenes of the pool (2 steps)' % (s.step, psnr(z, (seen[:, 1:] + 1) / 2)))
        photos = (views[:, :1] + 1) / 2
        rows = [torch.cat([photos, x[:, 1::3]], 1) for x in (y, true)]
        sheet = torch.stack(rows, 1).flatten(0, 1)                                                      # [2 n, 6, 3, S, S]
        from PIL import Image
        Image.fromarray(objects.to_bytes(sheet.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).cpu().numpy())).save(
            os.path.join(o.work, 'check.png'))
        told, vit = copy.deepcopy(s.average.denoiser), copy.deepcopy(s.average.vit)
        log('diffusion', 'the encoder tells the elevation: median error %.1f degrees, %.2f within 12' % tell_elevation(
            told, vit, data['photo'].float(), data['e_in']))
        clip = dict(config['clip'], elevation=config['clip']['output_dim'] - 2)
        export(o.export, dict(config, clip=clip), told, exported, vit)

    return s.run(one_step, o.minutes, check, pool.refresh)


def main():
    p = argparse.ArgumentParser(description='Train the demo model.')
    p.add_argument('--work', required=True, metavar='DIR')
    p.add_argument('--models', required=True, metavar='FILE', help='made by models.py')
    p.add_argument('--config', default=os.path.join(HERE, 'demo.yaml'))
    p.add_argument('--export', default=os.path.join(HERE, '..', '..', 'configs', 'demo'), metavar='DIR')
    p.add_argument('--stage', default='all', choices=['all', 'pairs', 'vae', 'diffusion'])
    p.add_argument('--start', metavar='WEIGHTS', help='networks of an exported file to begin with')
    p.add_argument('--scene', type=int, default=0, help='begin with scene number N: what one run has seen, the next should not')
    p.add_argument('--start-vae-only', action='store_true', help='of that file, the VAE alone')
    p.add_argument('--start-output', action='store_true', help='of that file, not the last convolution: it predicts something else')
    p.add_argument('--ring', type=int, default=1024, help='how many scenes wait, 0.8 MB each (default %(default)s)')
    p.add_argument('--workers', type=int, default=max(1, len(os.sched_getaffinity(0)) // WORLD - 1), help='processes that draw')
    p.add_argument('--minutes', type=float, help='stop then, to be resumed')
    p.add_argument('--steps', type=int, help='of the stage, instead of the plan')
    p.add_argument('--seconds', type=float, help='as many steps as fit in this time, after 200 to see how long one takes')
    o = p.parse_args()
    with open(o.config) as f:
        config = yaml.safe_load(f)
    plans = config.pop('training')
    os.makedirs(o.work, exist_ok=True)
    if o.stage == 'pairs':
        pair_data(config, o.work, plans['diffusion'])
        return 0
    source = Source(o, config['model']['image_size'])
    torch.backends.cudnn.benchmark = True
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if WORLD > 1:
        torch.cuda.set_device(RANK)
        dist.init_process_group('nccl', device_id=torch.device('cuda', RANK))
    for name, stage in dict(vae=train_vae, diffusion=train_diffusion).items():
        if o.stage in ('all', name):
            torch.manual_seed(6033)
            plan = dict(plans[name], seconds=o.seconds)
            if o.steps is not None:
                plan['steps'] = o.steps
            if not stage(config, o, plan, device, source):
                return 0
    return 0


if __name__ == '__main__':
    sys.exit(main())
