#!/usr/bin/python3
"""Things to train on: the models of Debian's sweethome3d-furniture and of games (game_models.py), packed small.

    models.py pack --root DIR --out models.bin          DIR: where the packages were unpacked (dpkg -x)
    models.py attribution --root DIR --out FILE         who made what

What configs/cutout/left-out.txt names is left out: measurements use it.  Of games what game-models.tsv lists is
taken: somebody has looked at it.  Vertices are merged on a grid so coarse that a model has at most MOST triangles, textures
shrink: views of 128 pixels show no more.  Normals are made when the file is read (scenes.py)."""
import argparse
import io
import json
import lzma
import os
import sys

import numpy as np
from PIL import Image

import cutout_data
import game_models

# Grids; of textures the side, that of three or more of them, and the number of colours.
MOST, GRIDS, TEXTURE = 12000, (400, 320, 256, 200, 160, 128, 100, 80), (128, 128, 0)
GAME_GRIDS, GAME_TEXTURE = (200, 160, 128, 100, 80), (96, 64, 48)
CHOSEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'game-models.tsv')
# OBJ: y up, front +z.  Here: z up, front +x.
TURN = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32)


def merged(p, uv, index, grid):
    """Corners p [n, 3, 3], uv i2 [n, 3, 2] -> grid cells i2 [v, 3], uv [v, 2], triangles [m, 3], materials [m]: corners of one
    cell and texture coordinate are one vertex, triangles that became lines are gone."""
    cell = np.rint(p * grid).astype(np.int64)
    flat = [(cell[:, a] == cell[:, b]).all(1) for a, b in ((0, 1), (1, 2), (0, 2))]
    keep = ~(flat[0] | flat[1] | flat[2])
    cell, uv, index = cell[keep], uv[keep], index[keep]
    rows = np.concatenate([cell, uv], 2).reshape(-1, 5)
    order = np.lexsort(rows.T[[3, 4, 0, 1, 2]])
    new = np.r_[True, (rows[order][1:] != rows[order][:-1]).any(1)]
    number = np.empty(len(rows), np.int64)
    number[order] = np.cumsum(new) - 1
    vertices, faces = rows[order][new], number.reshape(-1, 3)
    faces = np.take_along_axis(faces, (faces.argmin(1)[:, None] + np.arange(3)) % 3, 1)
    rows = np.unique(np.concatenate([index[:, None], faces], 1), axis=0)    # the same triangle twice is one
    return vertices[:, :3].astype(np.int16), vertices[:, 3:].astype(np.int16), rows[:, 1:], rows[:, 0]


def picture(rgba, side, colours):
    """A texture of at most that side, encoded: JPEG, or PNG if it has holes, of so many colours (0: of any)."""
    out, holes = io.BytesIO(), rgba[..., 3].min() < 128
    image = Image.fromarray(rgba)
    image.thumbnail((side, side), Image.BOX)
    if holes:
        image = image.quantize(colours, Image.FASTOCTREE) if colours else image
        image.save(out, 'PNG', optimize=True)
    else:
        image.convert('RGB').save(out, 'JPEG', quality=70, optimize=True)
    return out.getvalue()


def furniture(entry):
    """A model of sweethome3d-furniture, as game_models.py describes one."""
    m = cutout_data.Model(entry)
    drawn, rows = m.drawn > 0, {x.ctypes.data: x for x in m.textures}
    materials = [(x.colour, rows.get(x.rgba)) for x in m.materials]
    return dict(p=m.p[drawn] @ TURN.T, uv=m.uv[drawn], index=m.index[drawn], materials=materials)


def packed(m, grids, texture):
    """A model as a header and the bytes of its arrays."""
    p, uv, index, textured = m['p'], m['uv'], m['index'], np.array([rgba is not None for _, rgba in m['materials']] + [False])
    uv = np.where(textured[index][:, None, None], uv, 0)
    uv -= np.floor(uv.min(1, keepdims=True))                                # textures repeat
    uv = np.clip(np.rint(uv * 256), 0, 32767).astype(np.int64)
    for grid in grids:
        vertices, uvs, faces, materials = merged(p, uv, index, grid)
        if len(faces) <= MOST:
            break
    used, materials = np.unique(materials, return_inverse=True)
    one, several, colours = texture
    side = one if np.count_nonzero(textured[used]) <= 2 else several
    head = dict(grid=grid, vertices=len(vertices), faces=len(faces), materials=[])
    pictures = []
    for k in used:
        colour, rgba = m['materials'][k] if k >= 0 else ([0.8] * 3, None)
        head['materials'].append(dict(colour=[round(float(c), 3) for c in colour], bytes=0))
        if rgba is not None:
            pictures.append(picture(rgba, side, colours))
            head['materials'][-1]['bytes'] = len(pictures[-1])
    # Differences along rows pack better; columns lie together.
    delta = lambda a, kind: np.diff(a.astype(np.int64), axis=0, prepend=0).T.astype(kind)
    faces = np.stack([faces[:, 0], faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0]], 1)
    faces[:, 0] = np.diff(faces[:, 0], prepend=0)
    arrays = [delta(vertices, np.int16), uvs.T.astype(np.int16), faces.T.astype(np.int32), materials.astype(np.uint8)]
    return head, b''.join(split(a) for a in arrays), b''.join(pictures)


def split(a):
    """Bytes of an array, its low bytes first and its high bytes last."""
    return np.ascontiguousarray(a).view(np.uint8).reshape(-1, a.itemsize).T.tobytes()


def joined(data, at, kind, shape):
    """Undoes split: the array and where it ends."""
    n, size = int(np.prod(shape)), np.dtype(kind).itemsize
    a = np.frombuffer(data, np.uint8, n * size, at).reshape(size, n).T
    return np.ascontiguousarray(a).view(kind).reshape(shape), at + n * size


def chosen():
    """Weights by package and name of what game-models.tsv lists."""
    out = {}
    with open(CHOSEN) as f:
        for line in f:
            if not line.startswith('#'):
                package, weight, name = line.rstrip('\n').split('\t')
                out.setdefault(package, {})[name] = float(weight)
    return out


def sources(root):
    """All models of the packages that are under root: header's further members, a function that reads it, how it is packed."""
    for e in cutout_data.allowed(root):
        yield dict(name=e['name'], held=e['held']), lambda e=e: furniture(e), GRIDS, TEXTURE
    names = chosen()
    for package in game_models.packages(root):
        for name, weight in names.get(package.package, {}).items():
            head = dict(name='%s:%s' % (package.package, name), held=False, weight=weight)
            yield head, lambda p=package, n=name: p.load(n), GAME_GRIDS, GAME_TEXTURE


def pack(o):
    heads, bodies, pictures = [], [], []
    for more, load, grids, texture in sources(o.root):
        try:
            head, body, textures = packed(load(), grids, texture)
        except (ValueError, KeyError, OSError) as error:
            print('%s: %s' % (more['name'], error))
            continue
        heads.append(dict(head, **more))
        bodies.append(body)
        pictures.append(textures)
    write(o.out, heads, bodies, pictures)
    print('%d models, %d triangles' % (len(heads), sum(h['faces'] for h in heads)))


def write(path, heads, bodies, pictures):
    with open(path, 'wb') as f:
        for part in (json.dumps(heads).encode(), b''.join(bodies)):
            part = lzma.compress(part, preset=9)
            f.write(len(part).to_bytes(8, 'little') + part)
        f.write(b''.join(pictures))


def read(path):
    """Models: name, held, p f4 [v, 3] (longest edge 1, z up, front +x), uv f4 [v, 2], faces [m, 3], material [m], materials:
    (colour, texture u1 [h, w, 4] or None)."""
    with open(path, 'rb') as f:
        data = f.read()
    parts, at = [], 0
    for _ in range(2):
        n = int.from_bytes(data[at:at + 8], 'little')
        parts.append(lzma.decompress(data[at + 8:at + 8 + n]))
        at += 8 + n
    body, where, out = parts[1], 0, []
    for h in json.loads(parts[0]):
        v, where = joined(body, where, np.int16, (3, h['vertices']))
        uv, where = joined(body, where, np.int16, (2, h['vertices']))
        faces, where = joined(body, where, np.int32, (3, h['faces']))
        material, where = joined(body, where, np.uint8, (h['faces'],))
        first = np.cumsum(faces[0])
        materials = []
        for m in h['materials']:
            texture = None
            if m['bytes']:
                texture = np.array(Image.open(io.BytesIO(data[at:at + m['bytes']])).convert('RGBA'))
                at += m['bytes']
            materials.append((np.array(m['colour'], np.float32), texture))
        out.append(dict(name=h['name'], held=h['held'], weight=h.get('weight', 1.0), p=np.cumsum(v, 1).T.astype(np.float32) / h['grid'],
                        uv=uv.T.astype(np.float32) / 256, faces=np.stack([first, faces[1] + first, faces[2] + first], 1).astype(np.int32),
                        material=material.astype(np.int32), materials=materials))
    return out


ABOUT = """weights.safetensors was trained on pictures of the following works; none of them is in this repository.
All were changed: simplified, recoloured, stretched, drawn from random sides under random lights.  held: used to measure only.
Some are under CC-BY-SA.  As far as the weights adapt these works, they are offered under CC-BY-SA 4.0; nothing else in the
repository is touched by that.

Models LIBRARY:NAME: Debian package sweethome3d-furniture 1.8-1 (http://www.sweethome3d.com/importModels.jsp), OBJ
conversions by Emmanuel Puybaret / eTeks.  Others, PACKAGE:FILE: Debian packages megaglest-data (https://megaglest.org),
supertuxkart-data (https://supertuxkart.net) and 0ad-data (https://play0ad.com; Wildfire Games, http://www.wildfiregames.com/),
authors and licences as their debian/copyright has them.
CC0: http://creativecommons.org/publicdomain/zero/1.0/  CC-BY and CC-BY-SA: http://creativecommons.org/licenses/by/3.0/,
.../by/3.0/us/, .../by/4.0/, .../by-sa/3.0/, .../by-sa/4.0/

model	title	author	licence	use
"""


def credits(root):
    """Rows of ABOUT's table."""
    for e in cutout_data.allowed(root):
        author = e['author'] or cutout_data.LIBRARY_AUTHORS.get(e['library'], '')
        yield e['name'], e['title'], author, cutout_data.LICENCES[e['library']], 'held' if e['held'] else 'training'
    names = chosen()
    for package in game_models.packages(root):
        for name in sorted(set().union(*(package.files(name) for name in names.get(package.package, {})))):
            yield '%s:%s' % (package.package, name), os.path.basename(name).split('.')[0], *package.credit(name), 'training'


def attribution(o):
    with open(o.out, 'w') as f:
        f.write(ABOUT)
        for row in credits(o.root):
            f.write('\t'.join(row) + '\n')


def main():
    p = argparse.ArgumentParser(description='The models of sweethome3d-furniture, packed.')
    p.add_argument('what', choices=['pack', 'attribution'])
    p.add_argument('--root', required=True, metavar='DIR', help='where the package was unpacked')
    p.add_argument('--out', required=True, metavar='FILE')
    o = p.parse_args()
    {'pack': pack, 'attribution': attribution}[o.what](o)


if __name__ == '__main__':
    sys.exit(main())
