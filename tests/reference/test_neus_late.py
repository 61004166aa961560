"""That tests/data/neus/late.safetensors is what neus_late.py makes of its own parameters and rays."""
import os
import unittest

import numpy as np

import neus_late

FILE = os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', 'data', 'neus', 'late.safetensors')


class Late(unittest.TestCase):
    def test_file(self):
        stored = neus_late.read(FILE)
        rays = {n[4:]: t for n, t in stored.items() if n.startswith('ray.')}
        params = {n[6:]: t for n, t in stored.items() if n.startswith('param.')}
        made = neus_late.compute(params, rays, stored['perturb_u'])
        self.assertEqual(set(stored), set(made) | {'param.' + n for n in params} | {'ray.' + n for n in rays}
                         | {'perturb_u', 'ratio'})
        for name, t in made.items():
            np.testing.assert_allclose(stored[name], t, rtol=1e-5, atol=1e-6 * max(1, np.abs(t).max()), err_msg=name)

    def test_late(self):
        stored = neus_late.read(FILE)
        self.assertAlmostEqual(float(np.exp(10 * stored['param.deviation_network.variance'])), 250, places=2)
        self.assertAlmostEqual(float(stored['ratio']), 0.75)


if __name__ == '__main__':
    unittest.main()
