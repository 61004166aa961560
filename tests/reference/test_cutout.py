#!/usr/bin/python3
"""Self-tests of train_cutout.py and cutout_data.py (make check-reference); they need python3-torch.  The network is
compared with the author's where there is golden data: PF_GOLDEN or ../shared/golden."""
import contextlib
import io
import os
import sys
import tempfile
import unittest
import zlib
from unittest import mock

import numpy as np

try:
    import torch
except ImportError:
    raise unittest.SkipTest('needs python3-torch')

import cutout_data
import networks
import train_cutout

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.environ.get('PF_GOLDEN', os.path.join(HERE, '..', '..', '..', 'shared', 'golden'))


def golden_noise(seed, count):
    """noise(seed, i) of the golden files' README: four 16-bit fields of a SplitMix64 number."""
    with np.errstate(over='ignore'):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    fields = sum((z >> np.uint64(16 * k)) & np.uint64(65535) for k in range(4)).astype(np.float64)
    return ((fields - 131070) / 37837.0).astype(np.float32)


def golden_tensor(key, shape):
    n = golden_noise(zlib.crc32(key.encode()), int(np.prod(shape))).reshape(shape)
    if key.endswith('running_var'):
        return 1 + 0.25 * np.abs(n)
    if len(shape) == 4:
        gain = 4 if key.startswith('side') else 2
        if key.endswith('.rebnconvin.conv_s1.weight') or key.startswith('outconv'):
            gain = 1
        return n * np.float32(np.sqrt(gain / np.prod(shape[1:])))
    return np.float32(0.125) * n + np.float32(key.endswith('weight'))


class Architecture(unittest.TestCase):
    def test_parameters(self):
        self.assertEqual(sum(p.numel() for p in train_cutout.Network().parameters()), 1131181)

    @unittest.skipUnless(os.path.isdir(GOLDEN), 'needs the golden data')
    def test_against_the_author(self):
        golden, _ = networks.read_safetensors(os.path.join(GOLDEN, 'background', 'u2netp-67x101.safetensors'))
        net = train_cutout.Network().eval()
        state = {k: v for k, v in net.state_dict().items() if v.dtype.is_floating_point}
        made = {k: torch.from_numpy(golden_tensor(k, tuple(v.shape))) for k, v in state.items()}
        net.load_state_dict(made, strict=False)
        with torch.no_grad():
            maps = [torch.sigmoid(m) for m in net(golden['input'])]
        for k in (0, 1, 2, 6):
            self.assertLess((maps[k] - golden['d%d' % k]).abs().max().item(), 1e-5, 'd%d' % k)


class Colours(unittest.TestCase):
    def test_what_is_packed_is_decoded(self):
        """Smooth colours come back; every coefficient is off by half a step at most."""
        y, x = np.mgrid[:16, :24] / 24.0
        rgb = np.stack([255 * x, 255 * y, 255 * (1 - x) * (1 - y)], 2).astype(np.uint8)
        square = np.concatenate([rgb, rgb[:8]], 0)
        back = train_cutout.decoded(cutout_data.encoded(square)[None], 'cpu')[0].permute(1, 2, 0).numpy()
        self.assertLess(np.abs(back.astype(int) - square.astype(int)).mean(), 6)
        np.testing.assert_allclose(train_cutout.steps('cpu').numpy(), cutout_data.steps())

    def test_colours_go_on_beyond_the_object(self):
        rgba = np.zeros((32, 32, 4), np.uint8)
        rgba[8:20, 8:20] = [200, 100, 50, 255]
        out = cutout_data.filled(rgba)
        self.assertTrue((np.abs(out.astype(int) - [200, 100, 50]) <= 1).all())


def pack(folder, rng):
    """Discs as sprites, noise as photographs, half of each held out."""
    y, x = np.mgrid[:224, :224] - 111.5
    disc = np.zeros((224, 224, 4), np.uint8)
    disc[np.hypot(x, y) < 90] = [220, 40, 40, 255]
    sprites = cutout_data.Sprites()
    for k in range(4):
        sprites.add(disc, k % 2 == 1, 'disc %d' % k)
    sprites.save(os.path.join(folder, 'sprites.npz'))
    photos = [cutout_data.encoded(rng.integers(0, 255, (384, 384, 3)).astype(np.uint8)) for _ in range(2)]
    cutout_data.save(os.path.join(folder, 'photos.npz'), photos, [False, True], ['a', 'b'])


class Training(unittest.TestCase):
    def call(self, *args):
        line = ['train_cutout.py', '--side', '64', '--small-side', '64', '--batch', '2', '--held-out', '2', *args]
        with mock.patch.object(sys, 'argv', line), contextlib.redirect_stdout(io.StringIO()):
            train_cutout.main()

    def test_resumes_exactly(self):
        """Two steps and two more leave what four steps leave, but for the rate, which follows the clock."""
        with tempfile.TemporaryDirectory() as d, mock.patch.object(train_cutout.math, 'cos', lambda x: 1.0), \
                contextlib.redirect_stdout(io.StringIO()):
            pack(d, np.random.default_rng(1))
            at = lambda name: os.path.join(d, name)
            common = ['--data', d, '--seconds', '100000', '--plan', '1e9']
            self.call(*common, '--out', at('whole'), '--steps', '4')
            self.call(*common, '--out', at('first'), '--steps', '2')
            self.call(*common, '--out', at('second'), '--steps', '4', '--resume', at('first'))
            a, b, c = (networks.read_safetensors(os.path.join(at(n), 'weights.safetensors'))[0]
                       for n in ('whole', 'second', 'first'))
            self.assertEqual(len(a), 686)
            self.assertTrue(all(torch.equal(a[k], b[k]) for k in a))
            self.assertFalse(all(torch.equal(a[k], c[k]) for k in a))

    def test_weights_are_measured(self):
        """The network of one step, measured again from its file: the same table, and the sheet."""
        with tempfile.TemporaryDirectory() as d:
            pack(d, np.random.default_rng(1))
            at = lambda *name: os.path.join(d, *name)
            self.call('--data', d, '--seconds', '100000', '--plan', '1e9', '--out', at('made'), '--steps', '1')
            self.call('--data', d, '--out', at('again'), '--measure', at('made', 'weights.safetensors'))
            tables = []
            for name in ('made', 'again'):
                with open(at(name, 'table.tsv')) as f:
                    tables.append(f.read())
            self.assertEqual(*tables)
            self.assertTrue(os.path.exists(at('again', 'worst.png')))

    def test_masks_lie_on_the_object(self):
        """A red disc of known size on grey: the mask is where the red is."""
        with tempfile.TemporaryDirectory() as d, contextlib.redirect_stdout(io.StringIO()):
            pack(d, np.random.default_rng(2))
            p = train_cutout.Pictures(d, False, 'cpu')
            c = train_cutout.Composer(p, torch.Generator().manual_seed(3))
            grey = torch.full((4, 3, 64, 64), 0.5)
            o, one = torch.zeros(4), torch.ones(4)
            with mock.patch.object(c, 'lit', lambda rgb, side: rgb):
                canvas, mask = c.layer(grey, torch.zeros(4, dtype=torch.long), o, o, 0.5 * one, one)
        red = (canvas[:, :1] - canvas[:, 1:2]) > 0.35
        self.assertGreater(((red & (mask > 0.5)).sum() / (red | (mask > 0.5)).sum()).item(), 0.97)
        self.assertAlmostEqual((mask > 0.5).float().mean().item(), np.pi * (90 / 224 * 32) ** 2 / 64 ** 2, delta=0.02)


if __name__ == '__main__':
    unittest.main()
