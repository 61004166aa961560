#!/usr/bin/python3
"""Self-tests of the reference (make check-reference).  Comparisons with golden data need PF_GOLDEN or ../shared/golden."""
import os
import tempfile
import unittest

import numpy as np

import evaluate
import objects

try:
    import torch
    import networks
except ImportError:
    torch = None

BIN = os.environ.get('BIN', os.path.join(evaluate.ROOT, 'build', 'bin'))
GOLDEN = os.environ.get('PF_GOLDEN', os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', 'shared', 'golden'))
needs_torch = unittest.skipUnless(torch, 'needs python3-torch')
needs_tools = unittest.skipUnless(os.path.exists(os.path.join(BIN, 'pf-eval')), 'needs the built tools')
needs_golden = unittest.skipUnless(os.path.isdir(GOLDEN), 'needs the golden data')
TINY = {'model': {'view_num': 16, 'image_size': 256, 'time_embed_dim': 256, 'scale_factor': 0.18215},
        'clip': {'image_size': 224, 'patch_size': 14, 'width': 64, 'layers': 2, 'heads': 1, 'output_dim': 64},
        'vae': {'ch': 32, 'ch_mult': [1, 2, 4, 4], 'num_res_blocks': 2, 'z_channels': 4},
        'volume': {'dims': [16, 32, 64, 128], 'spatial_size': 32, 'spatial_length': 0.5, 'frustum_depth': 48,
                   'frustum_length': 0.86603, 'target_dim': 16},
        'unet': {'in_channels': 8, 'out_channels': 4, 'model_channels': 64, 'channel_mult': [1, 1, 2, 2], 'num_res_blocks': 2,
                 'attention_resolutions': [4, 2, 1], 'num_heads': 4, 'context_dim': 64, 'volume_dims': [16, 32, 64, 128]}}


def golden(name):
    return networks.read_safetensors(os.path.join(GOLDEN, name))[0]


def relative(a, b):
    return ((a - b.float()).abs().max() / b.float().abs().max()).item()


class Objects(unittest.TestCase):
    def test_an_object_fills_the_unit_cube(self):
        for seed in range(40):
            v, f, _ = objects.mesh(seed, 64)
            self.assertTrue(0.94 < (v.max(0) - v.min(0)).max() < 1.001)         # a rounded frustum's rim may be inside its box
            self.assertLess(np.abs(v.max(0) + v.min(0)).max(), 0.06)

    def test_a_seed_gives_the_same_object(self):
        self.assertTrue(np.array_equal(objects.solids(7), objects.solids(7)))
        self.assertFalse(np.array_equal(objects.solids(7), objects.solids(8)))

    def test_the_distance_never_oversteps(self):
        """Distances differ by no more than the way between two points, and the mesh lies on their zero."""
        rng = np.random.default_rng(1)
        a = rng.uniform(-0.7, 0.7, (4000, 3)).astype(np.float32)
        b = (a + rng.normal(0, 0.05, a.shape)).astype(np.float32)
        for seed in range(20):
            step = np.linalg.norm(a - b, axis=1)
            self.assertTrue((np.abs(objects.sdf(seed, a) - objects.sdf(seed, b)) <= step + 1e-4).all())

    def test_a_mesh_is_closed_and_faces_outward(self):
        v, f, _ = objects.mesh(5, 64)
        edges = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]])
        self.assertEqual(set(map(tuple, edges)), set(map(tuple, edges[:, ::-1])))
        volume = (v[f[:, 0]] * np.cross(v[f[:, 1]], v[f[:, 2]])).sum() / 6
        g = np.linspace(-0.55, 0.55, 64)
        p = np.stack(np.meshgrid(g, g, g), -1).reshape(-1, 3)
        self.assertAlmostEqual(volume, (objects.sdf(5, p) < 0).mean() * 1.1 ** 3, delta=0.01)

    def test_views_show_the_silhouette_where_the_rig_puts_it(self):
        """The object's highest visible point projects to the first row that is covered."""
        size, e = 128, np.deg2rad(20)
        view = objects.render(3, e, [0.0], size)[0]
        v = objects.mesh(3, 96)[0]
        pose = objects.poses(e, [0.0])[0]
        c = v @ pose[:, :3].T + pose[:, 3]
        rows = 280 * size / 256 * c[:, 1] / c[:, 2] + size / 2
        self.assertAlmostEqual(np.nonzero(view[..., 3].max(1) > 0.5)[0][0], rows.min(), delta=1.5)


class Evaluation(unittest.TestCase):
    """pf-eval on objects.py's; the formulas have tests of their own in tests/tools/pf-eval."""

    @needs_tools
    def test_a_mesh_equals_itself_and_not_its_shifted_copy(self):
        v, f, c = objects.mesh(5, 160)
        with tempfile.TemporaryDirectory() as work:
            true, made = (os.path.join(work, n) for n in ('true.ply', 'made.ply'))
            evaluate.save_true_mesh(true, 5)
            objects.write_ply(made, v + np.float32([0.05, 0, 0]), f, c)
            same = evaluate.measure(BIN, 'mesh', true, true, '--original')
            moved = evaluate.measure(BIN, 'mesh', true, made, '--original')
        self.assertEqual((same['chamfer'], same['iou']), (0, 1))
        self.assertTrue(np.isnan(same['normals']))
        self.assertTrue(0.01 < moved['chamfer'] < 0.05 and 0.5 < moved['iou'] < 0.95)

    @needs_tools
    def test_parity_agrees_with_the_distance(self):
        g = -1 + (np.arange(64) + 0.5) / 32
        p = np.stack(np.meshgrid(g, g, g, indexing='ij'), -1).reshape(-1, 3)
        with tempfile.TemporaryDirectory() as work:
            cells, mesh = os.path.join(work, 'cells.npz'), os.path.join(work, 'mesh.ply')
            np.savez(cells, pts=objects.mesh(5, 160)[0].astype(np.float32), occ=np.packbits(objects.sdf(5, p) < 0))
            evaluate.save_true_mesh(mesh, 5)
            self.assertGreater(evaluate.measure(BIN, 'mesh', cells, mesh)['iou'], 0.995)


@needs_torch
class Networks(unittest.TestCase):
    def test_safetensors_come_back(self):
        t = {'b': torch.randn(3, 2).half(), 'a': torch.arange(5)}
        with tempfile.NamedTemporaryFile() as f:
            networks.write_safetensors(f.name, t, {'pf.kind': 'weights'})
            back, meta = networks.read_safetensors(f.name)
        self.assertEqual(meta.pop('pf.crc32').count(':'), len(t))                   # a checksum for each
        self.assertEqual(meta, {'pf.kind': 'weights'})
        self.assertTrue(all(torch.equal(t[k], back[k]) for k in t))

    def test_the_elevation_is_told_and_nothing_else_changes(self):
        """An embedding of 40 numbers of 24: its last two become an angle that the features hold, the context stays."""
        import train
        torch.manual_seed(1)
        vit = networks.ViT(dict(image_size=16, patch_size=8, width=24, layers=1, heads=2, output_dim=40))
        denoiser = torch.nn.Module()
        denoiser.cc_projection = torch.nn.Linear(44, 12)
        torch.nn.init.normal_(vit.ln_post.bias)
        photos, view = torch.rand(600, 3, 16, 16) * 2 - 1, torch.randn(600, 4)
        with torch.no_grad():
            f = vit.features(photos)
            angle = torch.atan2(*(f @ torch.randn(24, 2) * 0.02 + torch.tensor([0.2, 1.0])).T)
            context = lambda: denoiser.cc_projection(torch.cat([vit(photos), view], 1))
            before = context()
            median, within = train.tell_elevation(denoiser, vit, photos, angle)
            self.assertLess((context() - before).abs().max(), 1e-4)
            told = torch.rad2deg(torch.atan2(vit(photos)[:, -2], vit(photos)[:, -1]) - angle).abs()
        self.assertLess(told.median(), 1)
        self.assertAlmostEqual(told.median().item(), median, 2)
        self.assertGreater(within, 0.95)

    @needs_golden
    def test_rays_and_masks_are_those_of_the_original(self):
        p = golden('cameras/pairs.safetensors')
        for k in (0, 1, 2, 3, 4, 6, 7):                 # 5 and 8 are degenerate
            e, a = (p['pair%d.%s' % (k, n)].double().numpy() for n in ('elevations', 'azimuths'))
            bits = np.unpackbits(p['pair%d.mask_bits' % k].numpy(), axis=1).astype(bool)
            self.assertLessEqual((networks.epipolar_mask(e[:1], a[:1], e[1:], 32)[0] != bits).sum(), 64)
            for side in (0, 1):
                rays = networks.pluecker(networks.spad_cameras(e[side:side + 1], a[side:side + 1]), 32)[0]
                self.assertLess(np.abs(rays - p['pair%d.plucker' % k][side].numpy()).max(), 1e-6)

    @needs_golden
    def test_the_tiny_model_is_the_original(self):
        denoiser, vae, vit = networks.load(TINY, golden('tiny/weights.safetensors'))
        step, encode, seen = (golden('tiny/%s.safetensors' % n) for n in ('step1', 'encode', 'step1-view3-activations'))
        x = golden('tiny/states.safetensors')['x_T'].reshape(1, 16, 4, 32, 32)
        image = encode['input_image'].permute(0, 3, 1, 2)
        angles, t = torch.tensor([20.0, 50.0]).deg2rad().split(1), torch.tensor([981])
        with torch.no_grad():
            self.assertLess(relative(vit(image), encode['clip_embed'][0]), 1e-5)
            self.assertLess(relative(vae.double().moments(image.double())[0].float(), encode['vae_moments_mean']), 1e-4)
            v, pose, rays, masks = denoiser.cameras(*angles)
            te = denoiser.time_embed(networks.sinusoid(t, 256))
            volume = denoiser.spatial_volume.spatial(x, te, v, pose)
            self.assertLess(relative(volume, step['spatial_volume']), 5e-5)
            volumes = denoiser.spatial_volume.frustum(volume, te, v[:, 3], pose[:, 3])
            self.assertLess(relative(volumes[16], step['view3.frustum_16']), 5e-5)
            unet = denoiser.model.diffusion_model
            unet.trace = {}
            eps = unet(step['view3.unet_input_cond'], t, denoiser.context(encode['clip_embed'][0], v[:, 3]), volumes,
                       {s: networks.additive(m[:, 3]) for s, m in masks.items()}, {s: r[:, 3] for s, r in rays.items()})
            self.assertLess(relative(eps, step['view3.unet_output_cond']), 5e-5)
            for name, y in unet.trace.items():
                self.assertLess(relative(y, seen[name]), 1e-3 if seen[name].dtype == torch.float16 else 5e-5, name)


if __name__ == '__main__':
    unittest.main()
