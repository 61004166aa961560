#!/usr/bin/env python3
"""Seconds per denoising step of pf-sample and of its PyTorch twin: one model, one photo, one machine.

    tests/bench/sample.py [--config YAML] [--weights FILE] [--photo PNG] [--steps N] [--threads N]

By default the small golden model where ../shared/golden is, else the demo model.  The twin gets its
cameras for nothing (they are made once, as in pf-sample).  CPU seconds are those of all threads:
they say more than the wall clock where the machine has other work.
"""
import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

import torch
import yaml

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
sys.path.insert(0, os.path.join(ROOT, 'tests', 'reference'))
import networks  # noqa: E402


def arguments():
    golden = os.environ.get('PF_GOLDEN', os.path.join(ROOT, '..', 'shared', 'golden'))
    tiny = os.path.isdir(golden)
    demo = os.path.join(ROOT, 'configs', 'demo')
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--config', default=os.path.join(ROOT, 'tests/data/tiny/config.yaml') if tiny else demo + '/config.yaml')
    p.add_argument('--weights', default=golden + '/tiny/weights.safetensors' if tiny else demo + '/weights.safetensors')
    p.add_argument('--photo', default=golden + '/crop/alarm.png' if tiny else demo + '/photos/ball-20.png')
    p.add_argument('--steps', type=int, default=3)
    p.add_argument('--threads', type=int, default=len(os.sched_getaffinity(0)))
    return p.parse_args()


def cpu(who):
    r = resource.getrusage(who)
    return r.ru_utime + r.ru_stime


def ours(a):
    """Wall and CPU seconds of a step: the difference of two runs, so that loading and the VAE fall out."""
    env = dict(os.environ, OMP_NUM_THREADS=str(a.threads))
    env['PATH'] = os.environ.get('BIN', os.path.join(ROOT, 'build', 'bin')) + ':' + env['PATH']
    with tempfile.TemporaryDirectory() as d:
        stream, common = os.path.join(d, 'clip.pf'), '-c "%s"' % a.config
        subprocess.run('pf-crop %s "%s" | pf-clip-embed %s -w "%s" -o %s' % (common, a.photo, common, a.weights, stream),
                       shell=True, check=True, env=env)
        seen = []
        for steps in (1, 1 + a.steps):
            before = cpu(resource.RUSAGE_CHILDREN)
            run = subprocess.run(['pf-sample', '-v', '-c', a.config, '-w', a.weights, '--steps', str(steps), '-o', os.path.join(d, 'out.pf'),
                                  stream], check=True, env=env, stderr=subprocess.PIPE, text=True)
            wall = float(re.search(r'sampling: ([0-9.]+) s', run.stderr).group(1))
            seen.append((wall, cpu(resource.RUSAGE_CHILDREN) - before))
        print(re.search(r'memory: .*', run.stderr).group(0))
    return tuple((b - f) / a.steps for f, b in zip(*seen))


def twin(a):
    torch.set_num_threads(a.threads)
    with open(a.config) as f:
        config = yaml.safe_load(f)
    denoiser = networks.load(config, networks.read_safetensors(a.weights)[0])[0]
    cameras = denoiser.cameras(*(torch.tensor([e]).deg2rad() for e in (30.0, 30.0)))
    V, s, z = denoiser.views, denoiser.side, config['unet']['out_channels']
    x, clip, concat = torch.randn(1, V, z, s, s), torch.randn(1, config['clip']['output_dim']), torch.randn(1, z, s, s)
    scale = config['sampler'].get('cfg_scale', 2.0)
    with torch.no_grad():
        for k in range(1 + a.steps):
            if k == 1:                          # the first evaluation warms up
                wall, used = time.monotonic(), cpu(resource.RUSAGE_SELF)
            denoiser.predict(x, torch.tensor([500]), cameras, clip, concat, scale)
    return (time.monotonic() - wall) / a.steps, (cpu(resource.RUSAGE_SELF) - used) / a.steps


def main():
    a = arguments()
    c, p = ours(a), twin(a)
    print('threads: %d, steps: %d, model: %s' % (a.threads, a.steps, a.weights))
    print('%-16s %8.2f s/step  %8.2f CPU s/step' % (('pf-sample',) + c))
    print('%-16s %8.2f s/step  %8.2f CPU s/step' % (('PyTorch ' + torch.__version__.split('a')[0],) + p))
    print('pf-sample is %.1f times as fast (%.1f times by CPU time)' % (p[0] / c[0], p[1] / c[1]))


if __name__ == '__main__':
    main()
