#!/usr/bin/python3
"""Self-tests of evaluate_pick.py: its features by hand, its fit on weights that are known."""
import unittest

import numpy as np

import evaluate_pick


class Pick(unittest.TestCase):
    def table(self, coherence, shape, color):
        rows = [(30, c, h, s, k) for c, h, s, k in zip((-10, 20), coherence, shape, color)]
        return np.array(rows, [(n, float) for n in ('target', 'input', 'coherence', 'shape_pull', 'color_pull')])

    def test_features_by_hand(self):
        """-log(1 - coherence) rises by log 2 over 30 degrees; distances to the views are 40 and 10."""
        bend, shape, color = evaluate_pick.features(self.table((0.9, 0.95), (6, -4), (20, 5)))
        slope = np.log(2) / 30
        self.assertAlmostEqual(bend, slope / (slope + 0.01))
        self.assertAlmostEqual(shape, ((-10 + 6) + (20 - 4)) / 2)
        self.assertAlmostEqual(color, (40 * (-10 + 20) + 10 * (20 + 5)) / 50)

    def test_level_coherence_has_no_bend(self):
        self.assertAlmostEqual(evaluate_pick.features(self.table((0.9, 0.9), (0, 0), (0, 0)))[0], 0)

    def test_ridge_finds_the_weights(self):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(2000, 3)) * [1, 10, 5]
        constant, w = evaluate_pick.ridge(x, 4 + x @ [15, 0.8, 0.7])
        np.testing.assert_allclose([constant, *w], [4, 15, 0.8, 0.7], rtol=0.01)


if __name__ == '__main__':
    unittest.main()
