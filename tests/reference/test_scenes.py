#!/usr/bin/python3
"""Self-tests of models.py, game_models.py and scenes.py (make check-reference)."""
import tempfile
import unittest

import numpy as np

import game_models
import models
import objects
import scenes

SIZE = 64
# A light that is all around and colours nothing.
PLAIN = np.array([0, 0, 1, 0, 1, 0, 0, 1], np.float32)


def made_of(p, faces, colour=(0.5, 0.5, 0.5)):
    """A thing of one colour (linear light), with what scenes.load adds."""
    p, faces = np.asarray(p, np.float32), np.asarray(faces, np.int32)
    return dict(name='x', held=False, p=p, uv=np.zeros((len(p), 2), np.float32), faces=faces, material=np.zeros(len(faces), np.int32),
                materials=[(np.array(colour), None)], n=scenes.normals(p, faces), outer=p)


def picture(m, elevation=0.3, azimuths=(0.5,), samples=2, light=PLAIN):
    return scenes.draw(m, m['materials'], light, scenes.cameras(elevation, list(azimuths), SIZE), SIZE, samples)


class Models(unittest.TestCase):
    def test_split_bytes_are_joined_again(self):
        a = np.random.default_rng(1).integers(-30000, 30000, (3, 50)).astype(np.int16)
        b, end = models.joined(b'xx' + models.split(a), 2, np.int16, a.shape)
        self.assertTrue(np.array_equal(a, b))
        self.assertEqual(end, 2 + a.nbytes)

    def test_corners_that_meet_are_one_vertex(self):
        square = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]],
                           [[0, 0, 0], [1e-4, 0, 0], [1, 1, 0]]], np.float32)                        # the third is a line on a grid of 100
        v, uv, faces, material = models.merged(square, np.zeros((3, 3, 2), np.int64), np.array([2, 2, 2]), 100)
        self.assertEqual((len(v), len(faces), material.tolist()), (4, 2, [2, 2]))
        corners = {tuple(map(tuple, sorted(v[f].tolist()))) for f in faces}
        self.assertEqual(corners, {tuple(map(tuple, sorted((np.rint(t * 100)).astype(int).tolist()))) for t in square[:2]})

    def test_texture_coordinates_keep_corners_apart(self):
        t = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]], np.float32)
        uv = np.zeros((2, 3, 2), np.int64)
        uv[1] = 7
        self.assertEqual(len(models.merged(t, uv, np.zeros(2, int), 100)[0]), 6)

    def test_what_is_written_is_read_again(self):
        """A textured triangle with holes and a plain one, in two models; the second has a weight."""
        t = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0, 0.5], [0.5, 0, 0.5], [0, 0.25, 0.5]]], np.float32)
        leaf = np.full((4, 4, 4), (10, 200, 30, 255), np.uint8)
        leaf[:2, :, 3] = 0
        m = dict(p=t, uv=np.array([[[0.0, 0], [1, 0], [0, 1]]] * 2), index=np.array([0, 1]), materials=[((1, 1, 1), leaf), ((0.25, 0.5, 0.75), None)])
        heads, bodies, pictures = zip(*[models.packed(m, models.GAME_GRIDS, texture) for texture in (models.TEXTURE, models.GAME_TEXTURE)])
        heads = [dict(h, name=name, held=False, **more) for h, name, more in zip(heads, 'ab', ({}, {'weight': 0.25}))]
        with tempfile.NamedTemporaryFile(suffix='.bin') as f:
            models.write(f.name, heads, bodies, pictures)
            a, b = models.read(f.name)
        self.assertEqual((a['name'], a['weight'], b['name'], b['weight']), ('a', 1.0, 'b', 0.25))
        for r in (a, b):
            order = r['material']
            self.assertEqual(sorted(order.tolist()), [0, 1])
            self.assertLess(np.abs(r['p'][r['faces']][np.argsort(order)] - t).max(), 1e-6)
            self.assertEqual((r['materials'][1][0].tolist(), r['materials'][1][1]), ([0.25, 0.5, 0.75], None))
            self.assertTrue(np.array_equal(r['materials'][0][1], leaf) or np.array_equal(r['materials'][0][1][2:], leaf[2:]))


class Games(unittest.TestCase):
    """game_models.py reads what is written here by hand."""

    TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0]], np.float32)

    def test_g3d(self):
        """Two frames: the second is one higher."""
        numbers = lambda kind, *v: np.array(v, kind).tobytes()
        head = b'G3D\x04' + numbers('<u2', 1) + b'\0' + b'mesh'.ljust(64, b'\0') + numbers('<u4', 2, 3, 3)
        head += numbers('<f4', 0.25, 0.5, 0.75, 0, 0, 0, 0, 1) + numbers('<u4', 1, 1) + b'skin.png'.ljust(64, b'\0')
        frames = np.stack([self.TRIANGLE, self.TRIANGLE + [0, 1, 0]]).astype('<f4')
        data = head + frames.tobytes() + frames.tobytes() + numbers('<f4', 0, 0, 1, 0, 0, 1) + numbers('<u4', 0, 1, 2)
        for when, lift in ((0, 0), (1, 1)):
            (p, uv, faces, colour, picture, player), = game_models.g3d(data, when)
            self.assertEqual(p.tolist(), (self.TRIANGLE + [0, lift, 0]).tolist())
            self.assertEqual((uv.tolist(), faces.tolist(), colour.tolist(), picture, player),
                             ([[0, 0], [1, 0], [0, 1]], [[0, 1, 2]], [0.25, 0.5, 0.75], 'skin.png', 1))

    def test_spm_is_mirrored(self):
        data = b'SP\x0a\x01' + np.zeros(6, '<f4').tobytes() + b'\1\0\5a.png\0' + b'\1\0\1\0' + np.array([3, 3], '<u4').tobytes() + b'\0\0'
        for p, uv in zip(self.TRIANGLE, [[0, 0], [1, 0], [0, 0.5]]):
            data += p.astype('<f4').tobytes() + b'nnnn' + np.array(uv, '<f2').tobytes()
        (p, uv, faces, _, picture), = game_models.spm(data + b'\0\1\2')
        self.assertEqual(p.tolist(), (self.TRIANGLE * [-1, 1, 1]).tolist())
        self.assertEqual((uv.tolist(), faces.tolist(), picture), ([[0, 0], [1, 0], [0, -0.5]], [[0, 1, 2]], 'a.png'))

    def test_bones_and_points_of_pmd_and_psa(self):
        """A quarter turn about z, and one along x: x becomes y."""
        turn = np.array([1, 0, 0, 0, 0, 0.5 ** 0.5, 0.5 ** 0.5], '<f4').tobytes()
        vertex = np.array([1, 0, 0, 0, 0, 1, 0.5, 0.25], '<f4').tobytes() + b'\0\xff\xff\xff' + np.array([1, 0, 0, 0], '<f4').tobytes()
        one = np.array(1, '<u4').tobytes()
        data = b'PSMD\4\0\0\0size' + one + one + vertex + one + bytes(6) + one + turn + one + b'\4\0\0\0head' + turn + b'\0'
        p, uv, faces, bones, weights, rest, points = game_models.pmd(data)
        self.assertEqual((p.tolist(), uv.tolist(), faces.tolist(), bones.tolist()), ([[1, 0, 0]], [[0.5, 0.25]], [[0, 0, 0]], [[0, 255, 255, 255]]))
        self.assertTrue(np.allclose(rest[0] @ [1, 0, 0, 1], [1, 1, 0, 1]))
        self.assertTrue(np.allclose(points['head'][0], rest[0]) and points['head'][1] == 0)
        still = np.array([0, 0, 0, 0, 0, 0, 1], '<f4').tobytes()
        moving = b'PSSA\1\0\0\0size' + b'\2\0\0\0xx' + bytes(4) + one + np.array(2, '<u4').tobytes() + still + turn
        self.assertTrue(np.allclose(game_models.psa(moving, 0)[0], np.eye(4)))
        self.assertTrue(np.allclose(game_models.psa(moving, 1)[0], rest[0]))

    def test_only_free_licences(self):
        for licence, answer in (('CC-BY-SA-3.0', True), ('GPL-2+ or CC-BY-4.0', True), ('CC0 and CC-BY-SA-4.0', True), ('GPL-3+', False),
                                ('GPL and CC-BY-SA-3.0', False), ('CC-BY-NC-3.0', False), ('', False)):
            self.assertEqual(game_models.free(licence), answer, licence)

    def test_the_last_paragraph_that_matches_counts(self):
        with tempfile.NamedTemporaryFile('w', suffix='copyright') as f:
            f.write('Format: x\n\nFiles: *\nCopyright: All\nLicense: GPL-3+\n text\n\nFiles: a/*.png\n b/c\nCopyright:\n 2001 One\n 2002 Two\nLicense: CC0\n')
            f.flush()
            c = game_models.Copyright(f.name)
        self.assertEqual([c.of(n) for n in ('d', 'a/e.png', 'b/c')], [('All', 'GPL-3+')] + 2 * [('2001 One; 2002 Two', 'CC0')])


class Drawing(unittest.TestCase):
    def test_a_mesh_covers_what_its_formula_does(self):
        """objects.c traces rays and scenes.c fills triangles: the same cameras."""
        for seed in (3, 11):
            v, f, _ = objects.mesh(seed, 64)
            white = picture(made_of(v, f), 0.4, objects.AZIMUTHS[:4])
            drawn = white.min(-1) < 200
            true = objects.render(seed, 0.4, objects.AZIMUTHS[:4], SIZE, 2)[..., 3] > 0.5
            self.assertGreater((drawn & true).sum() / (drawn | true).sum(), 0.96)

    def test_a_colour_comes_out_as_it_went_in(self):
        quad = made_of([[0, -0.2, -0.2], [0, 0.2, -0.2], [0, 0.2, 0.2], [0, -0.2, 0.2]], [[0, 1, 2], [0, 2, 3]],
                       np.array([0.2, 0.5, 0.9]) ** 2.2)
        out = picture(quad, 0, (0.0,))[0]
        self.assertLess(np.abs(out[SIZE // 2, SIZE // 2] - np.array([0.2, 0.5, 0.9]) * 255).max(), 1.5)
        self.assertTrue((out[0, 0] == 255).all())
        # 0.4 wide, 1.5 away, focal 70: 18.7 pixels, u from 22.7 to 41.3.
        self.assertEqual([(out[SIZE // 2, k] < 200).any() for k in (22, 23, 41, 42)], [False, True, True, False])

    def test_what_is_nearer_hides_the_rest(self):
        front = [[0.2, -0.1, -0.1], [0.2, 0.1, -0.1], [0.2, 0, 0.1]]
        back = [[-0.2, -0.4, -0.4], [-0.2, 0.4, -0.4], [-0.2, 0, 0.4]]
        for order in ((front, back), (back, front)):
            m = made_of(np.concatenate(order), [[0, 1, 2], [3, 4, 5]])
            m['materials'] = [((1.0, 0, 0), None), ((0, 0, 1.0), None)]
            m['material'] = np.array([0, 1] if order[0] is front else [1, 0], np.int32)
            self.assertEqual(picture(m, 0, (0.0,))[0, SIZE // 2, SIZE // 2].tolist(), [255, 0, 0])

    def test_a_lamp_lights_its_side(self):
        v, f, _ = objects.mesh(3, 48)
        light = np.array([0, 1, 0, 0.8, 0.2, 0, 0, 1], np.float32)                                      # from +y, the photo's right
        out = picture(made_of(v, f), 0, (0.0,), light=light)[0].astype(float).mean(-1)
        cover = out < 250
        columns = np.nonzero(cover.any(0))[0]
        left, right = (out[:, c][cover[:, c]].mean() for c in (columns[3], columns[-4]))
        self.assertGreater(right, left + 30)

    def test_all_views_show_all_of_it(self):
        p = np.random.default_rng(2).uniform(-0.5, 0.5, (40, 3))
        s = scenes.scale_to_show(p)
        at = []
        for e in (-20, 0, 30, 60):
            for pose in objects.poses(np.deg2rad(e), objects.AZIMUTHS):
                x = s * p @ pose[:, :3].T + pose[:, 3]
                at.append(280 * np.abs(x[:, :2] / x[:, 2:]).max())
        self.assertLess(max(at), 124.01)
        self.assertTrue(s == 1 or max(at) > 123.99)

    def test_a_cut_photo_is_as_large_as_pf_crop_makes_it(self):
        m = made_of([[0, -0.1, -0.1], [0, 0.3, -0.1], [0, 0.3, 0.2], [0, -0.1, 0.2]], [[0, 1, 2], [0, 2, 3]])
        camera = scenes.cut_to(scenes.cameras(0.1, [0.2], SIZE)[0], m['outer'], SIZE, np.random.default_rng(1))
        out = scenes.draw(m, m['materials'], PLAIN, camera[None], SIZE, 2)[0]
        rows, columns = (np.nonzero((out < 220).any(-1).any(k))[0] for k in (1, 0))
        self.assertLess(abs(max(np.ptp(rows), np.ptp(columns)) + 1 - SIZE * 200 / 256), 2)


class Drawn:
    """Scenes of nothing, numbered."""
    size = 2

    def __call__(self, n):
        return np.full((17, 2, 2, 3), n % 251, np.uint8), n % 5, n % 7


class Rings(unittest.TestCase):
    def test_scenes_come_in_order_from_any_number_on(self):
        ring = scenes.Ring(8, Drawn(), 2)
        ring.begin(12)
        for n in range(12, 36, 4):
            rgb, angles = ring.take(n, 4)
            self.assertEqual([(int(r.min()), int(r.max())) for r in rgb], [(k, k) for k in range(n, n + 4)])
            self.assertEqual(angles.tolist(), [[k % 5, k % 7] for k in range(n, n + 4)])
            ring.head[0] = n + 4
        self.assertFalse(ring.ready(36, 9))
        for w in ring.workers:
            w.terminate()


if __name__ == '__main__':
    unittest.main()
