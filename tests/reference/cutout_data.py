#!/usr/bin/python3
"""The pictures that train_cutout.py learns from: cut-outs of 3D models, photographs, textures.

    cutout_data.py sprites --root DIR --out FILE.npz [--pass N] [--views N]   views of sweethome3d-furniture's models
    cutout_data.py made --out FILE.npz [--count N]                            views of objects.py's procedural objects
    cutout_data.py photos --root DIR --out FILE.npz                           wallpapers, and textures of the models
    cutout_data.py pictures --out FILE.npz --pictures PICTURE...           photographs to look at, which have no truth
    cutout_data.py attribution --root DIR --out FILE                          who made what

DIR is a folder into which the Debian packages were unpacked (`dpkg -x`): sweethome3d-furniture, and for photos
plasma-workspace-wallpapers, lomiri-wallpapers-16.04, lomiri-wallpapers-20.04, gnome-backgrounds, mate-backgrounds and
ukui-wallpapers.  Models named in configs/cutout/left-out.txt are not drawn: other measurements use them.

Colours are kept as the coefficients of 8 x 8 cosine transforms, rounded as JPEG does: a fifth of the size that
lossless compression needs, and a matrix product decodes them.  A file holds
    colours i1 [n, 3, 64, blocks]   luma and two colour differences of each block, coefficient 8 v + u
    alpha   u1 [n, side, side]      coverage in steps of 17 (sprites only)
    held    bool [n]                kept for measurements: no training may see it
    names   [n]                     library:folder of the model, or the file's name"""
import argparse
import ctypes
import glob
import hashlib
import io
import json
import os
import re
import sys
import zipfile

import numpy as np
from PIL import Image, ImageFilter

import objects

HERE = os.path.dirname(os.path.abspath(__file__))
LEFT_OUT = os.path.join(HERE, '..', '..', 'configs', 'cutout', 'left-out.txt')
SIDE, PHOTO_SIDE, MARGIN = 224, 384, 4
GCC = ('gcc', '-D_GNU_SOURCE', '-std=c11', '-O3', '-march=native', '-ffast-math', '-fno-finite-math-only', '-shared',
       '-fPIC')
# Wallpapers that show one thing in their middle, which a cutter ought to find: no backgrounds.
SUBJECTS = ('FlyingKonqui OneStandsOut LadyBird YellowFlower FreshFlower Fossa Dragonfly Kleiber goldfish the-mouse '
            'Elephants calla Aqua TwoWings Kite Bridge Picture_0B firstgeneration free_by friends_by greentock Garden '
            'SafeLanding Float-into screenshot').split()


# ---- colours as cosine transforms ----

def cosines():
    """The orthonormal cosine transform of eight values, [frequency, position]."""
    k = np.arange(8)
    m = np.cos((2 * k + 1) * k[:, None] * np.pi / 16) / 2
    m[0] /= np.sqrt(2)
    return m


def steps():
    """What the coefficients of luma and the colour differences are multiples of, [3, 64]."""
    k = np.arange(8)
    luma = (9 + 2.5 * (k[:, None] + k)).reshape(64)
    return np.stack([luma, 2 * luma, 2 * luma])


TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def encoded(rgb):
    """u1 [h, w, 3], sides multiples of 8 -> i1 [3, 64, blocks]."""
    h, w = rgb.shape[:2]
    ycc = np.einsum('ck,hwk->chw', TO_YCC, rgb.astype(np.float32) - [128, 128, 128])
    blocks = ycc.reshape(3, h // 8, 8, w // 8, 8)
    c = np.einsum('vi,kyixj,uj->kvuyx', cosines(), blocks, cosines(), optimize=True).reshape(3, 64, -1)
    return np.clip(np.rint(c / steps()[:, :, None]), -127, 127).astype(np.int8)


def filled(rgba):
    """Colours continued beyond the object, each pixel from the finest average that has some of it, so that neither the
    cosine transform nor bilinear samples mix in black."""
    a = rgba[..., 3:].astype(np.float32) / 255
    colour, weight = rgba[..., :3] * a, a
    levels = [(colour, weight)]
    while colour.shape[0] % 2 == 0:
        half = [x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).mean((1, 3)) for x in levels[-1]]
        colour, weight = half
        levels.append((colour, weight))
    out = np.broadcast_to(colour.sum((0, 1)) / max(float(weight.sum()), 1e-6), colour.shape)
    for colour, weight in reversed(levels):
        if out.shape != colour.shape:
            out = out.repeat(2, 0).repeat(2, 1)
        k = np.minimum(weight * 4, 1)
        out = out * (1 - k) + k * colour / np.maximum(weight, 1e-6)
    return np.clip(np.rint(np.where(a >= 1, rgba[..., :3], out)), 0, 255).astype(np.uint8)


def save(path, colours, held, names, alpha=None):
    arrays = {'colours': np.stack(colours), 'held': np.array(held, bool), 'names': np.array(names)}
    if alpha is not None:
        arrays['alpha'] = np.stack(alpha)
    # np.load reads what bzip2 packed, a quarter smaller here than numpy's own compression.
    with zipfile.ZipFile(path + '.part', 'w', zipfile.ZIP_BZIP2) as archive:
        for name, a in arrays.items():
            with archive.open(name + '.npy', 'w', force_zip64=True) as f:
                np.lib.format.write_array(f, a)
    os.rename(path + '.part', path)
    print('%s: %d, %d of them held out, %.1f MB' % (path, len(names), sum(held), os.path.getsize(path) / 1e6))


def number(text):
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


# ---- the models ----

def catalogue(root):
    """The models of all libraries: library, folder, archive, path in it, rotation, author; in order of their names."""
    out = []
    for path in sorted(glob.glob(os.path.join(root, 'usr/share/sweethome3d/furniture/*.sh3f'))):
        archive, library = zipfile.ZipFile(path), os.path.basename(path)[:-5]
        text = archive.read('PluginFurnitureCatalog.properties').decode('latin1')
        entries = {}
        for key, k, value in re.findall(r'^(\w+)#(\d+)\s*=\s*(.*?)\s*$', text, re.M):
            entries.setdefault(int(k), {})[key] = value.encode().decode('unicode_escape')
        for e in entries.values():
            model = e['model'].lstrip('/')
            out.append(dict(library=library, archive=archive, model=model,
                            name='%s:%s' % (library, model.split('/')[-2]),
                            file='%s:%s' % (library, os.path.splitext(os.path.basename(model))[0]),
                            rotation=e.get('modelRotation'), title=e.get('name', ''), author=e.get('creator', '')))
    return sorted(out, key=lambda e: (e['name'], e['model']))


def allowed(root):
    """The models that may be drawn, and whether each is held out: one in ten, by its name."""
    with open(LEFT_OUT) as f:
        names = {line.strip() for line in f if line.strip() and not line.startswith('#')}
    models = [e for e in catalogue(root) if e['name'] not in names and e['file'] not in names]
    for e in models:
        e['held'] = number(e['name']) % 10 == 0
    return models


def read_materials(text):
    """Colour, opacity and texture by name, from an MTL file."""
    out, m = {}, {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(' ')
        value = value.strip()
        if not value:
            continue
        if key == 'newmtl':
            m = out.setdefault(value, {})
        elif key == 'Kd':
            m['colour'] = [float(x) for x in value.split()[:3]]
        elif key == 'd':
            m['opacity'] = float(value.split()[-1])
        elif key.lower() == 'map_kd':
            m['texture'] = re.sub(r'^(-\w+\s+([\d.-]+\s+)+)+', '', value)
    return out


class Material(ctypes.Structure):
    _fields_ = [('colour', ctypes.c_float * 3), ('w', ctypes.c_int), ('h', ctypes.c_int), ('holes', ctypes.c_int),
                ('rgba', ctypes.c_void_p)]


def pointer(a):
    return a.ctypes.data_as(ctypes.c_void_p)


class Model:
    """A model's triangles and materials, its bounding box's middle at the origin, its longest edge 1."""

    def __init__(self, entry):
        self.archive, self.folder = entry['archive'], os.path.dirname(entry['model'])
        self.members = {n.lower(): n for n in self.archive.namelist()}
        c = self.c = objects.library('cutout_data.c', GCC)
        for f in (c.mesh_read, c.mesh_material, c.mesh_positions, c.mesh_normals, c.mesh_uv, c.mesh_indices):
            f.restype = ctypes.c_void_p
        c.mesh_count.restype = ctypes.c_long
        text = self.archive.read(entry['model'])
        temporary = '/dev/shm/cutout-%d.obj' % os.getpid()
        with open(temporary, 'wb') as f:
            f.write(re.sub(rb'\\\r?\n', b' ', text))
        self.mesh = ctypes.c_void_p(c.mesh_read(temporary.encode()))
        os.unlink(temporary)
        n = c.mesh_count(self.mesh)
        if n == 0:
            raise ValueError('no triangles')
        view = lambda f, kind, shape: np.ctypeslib.as_array(ctypes.cast(f(self.mesh), ctypes.POINTER(kind)), shape)
        self.p, self.n = (view(f, ctypes.c_float, (n, 3, 3)) for f in (c.mesh_positions, c.mesh_normals))
        self.uv = view(c.mesh_uv, ctypes.c_float, (n, 3, 2))
        self.index = index = view(c.mesh_indices, ctypes.c_int, (n,))
        self.drawn = np.ones(n, np.uint8)
        self.set_materials(text, index)
        if entry['rotation']:
            self.turn(np.array([float(x) for x in entry['rotation'].split()]).reshape(3, 3))
        seen = self.p[self.drawn > 0].reshape(-1, 3)
        if not len(seen):
            raise ValueError('nothing opaque')
        low, high = seen.min(0), seen.max(0)
        self.p[:] = (self.p - (low + high) / 2) / (high - low).max()

    def turn(self, r):
        for v in (self.p, self.n):
            v[:] = v @ r.T.astype(np.float32)

    def member(self, name):
        return self.members.get(os.path.normpath(os.path.join(self.folder, name.replace('\\', '/').strip())).lower())

    def set_materials(self, text, index):
        known = {}
        for name in re.findall(rb'^mtllib\s+(.*?)\s*$', text, re.M):
            at = self.member(name.decode('latin1'))
            if at:
                known.update(read_materials(self.archive.read(at).decode('latin1')))
        count = self.c.mesh_materials(self.mesh)
        self.materials, self.textures = (Material * max(count, 1))(), []
        for i in range(count):
            m = known.get(ctypes.string_at(self.c.mesh_material(self.mesh, i)).decode('latin1').strip(), {})
            self.materials[i].colour = (ctypes.c_float * 3)(*m.get('colour', [0.8] * 3))
            if m.get('opacity', 1) < 0.3:                       # glass is not drawn, other transparency is opaque
                self.drawn[index == i] = 0
            at = self.member(m['texture']) if 'texture' in m else None
            if at:
                self.set_texture(self.materials[i], self.archive.read(at))

    def set_texture(self, material, data):
        image = Image.open(io.BytesIO(data))
        image.draft('RGB', (512, 512))
        image = image.convert('RGBA')
        if max(image.size) > 512:
            image = image.resize([max(1, round(s * 512 / max(image.size))) for s in image.size], Image.BOX)
        a = np.ascontiguousarray(image)
        self.textures.append(a)
        material.w, material.h, material.rgba = image.size[0], image.size[1], a.ctypes.data
        material.holes = int(a[..., 3].min() < 128)

    def render(self, rng, side=SIDE):
        """A view from a random side and height under a random light: u1 [side, side, 4]."""
        azimuth, elevation = rng.normal(0, 1.0), np.deg2rad(rng.triangular(-10, 18, 65))
        ca, sa, ce, se = np.cos(azimuth), np.sin(azimuth), np.cos(elevation), np.sin(elevation)
        back = np.array([sa * ce, se, ca * ce])                 # from the object to the camera; y up, front +z
        right = np.array([ca, 0, -sa])
        axes = np.ascontiguousarray(np.stack([right, -np.cross(back, right), -back]), np.float32)
        eye = np.ascontiguousarray(back * rng.uniform(1.4, 4), np.float32)
        lamp = np.array([rng.normal(0, 0.8), -rng.uniform(0.2, 1), -rng.uniform(-0.2, 1)])
        light = np.array([*lamp / np.linalg.norm(lamp), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.6),
                          rng.uniform(0.08, 0.3), rng.choice([0, rng.uniform(0.05, 0.5)]), rng.uniform(6, 60)],
                         np.float32)
        out = np.empty((side, side, 4), np.uint8)
        self.c.mesh_render(self.mesh, pointer(self.drawn), self.materials, pointer(axes), pointer(eye), pointer(light),
                           side, 3, MARGIN, pointer(out))
        return out

    def __del__(self):
        if hasattr(self, 'mesh'):
            self.c.mesh_free(self.mesh)


class Sprites:
    def __init__(self):
        self.colours, self.alpha, self.held, self.names = [], [], [], []

    def add(self, rgba, held, name):
        # Wires are no object to cut out: at least 6 % of the frame, a quarter of it more than two pixels inside.
        solid = Image.fromarray(rgba[..., 3]).point(lambda a: 255 * (a > 127))
        area, inner = (np.asarray(i).mean() / 255 for i in (solid, solid.filter(ImageFilter.MinFilter(5))))
        if area < 0.06 or inner < 0.25 * area:
            return
        self.colours.append(encoded(filled(rgba)))
        self.alpha.append(((rgba[..., 3].astype(np.int32) + 8) // 17 * 17).astype(np.uint8))
        self.held.append(held)
        self.names.append(name)

    def save(self, path):
        save(path, self.colours, self.held, self.names, self.alpha)


def make_sprites(o):
    out, failed = Sprites(), []
    for e in allowed(o.root):
        rng = np.random.default_rng([number(e['name'] + e['model']), o.number])
        try:
            model = Model(e)
            for _ in range(o.views):
                out.add(model.render(rng), e['held'], e['name'])
        except (ValueError, KeyError, OSError) as error:
            failed.append('%s: %s' % (e['name'], error))
    print('\n'.join(failed))
    out.save(o.out)


def make_procedural(o):
    out = Sprites()
    for k in range(o.count):
        seed, held = k, k % 10 == 0
        rng = np.random.default_rng([77, seed])
        picture = objects.render(seed + objects.PHOTO_SEED if held else seed, np.deg2rad(rng.uniform(-5, 45)),
                                 [rng.uniform(-1.2, 1.2)], SIDE, 3)[0]
        rows, columns = (np.nonzero(picture[..., 3].max(k))[0] for k in (1, 0))
        box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        image = Image.fromarray(objects.to_bytes(picture)).crop(box)
        scale = (SIDE - 2 * MARGIN) / max(image.size)
        size = [max(1, round(s * scale)) for s in image.size]
        image = image.convert('RGBa').resize(size, Image.BICUBIC).convert('RGBA')
        canvas = Image.new('RGBA', (SIDE, SIDE))
        canvas.paste(image, ((SIDE - image.size[0]) // 2, (SIDE - image.size[1]) // 2))
        out.add(np.asarray(canvas), held, 'objects.py:%d' % seed)
    out.save(o.out)


# ---- photographs and textures ----

def wallpapers(root):
    files = [f for folder in ('wallpapers', 'backgrounds') for f in
             glob.glob(os.path.join(root, 'usr/share', folder, '**', '*'), recursive=True)]
    return sorted(f for f in files if f.lower().endswith(('.jpg', '.png', '.webp')) and not os.path.islink(f)
                  and not any(s in f for s in SUBJECTS))


def squares(image, rng, count):
    """The picture squeezed to a square, and `count` parts of it, each at a scale of its own."""
    w, h = image.size
    k = min(w, h)
    x = (w - k) // 2
    out = [image.crop((x, 0, x + k, k) if w > h else (0, 0, k, k))]
    for _ in range(count):
        side = int(min(k, rng.uniform(1, 2.2) * PHOTO_SIDE))
        x, y = rng.integers(0, w - side + 1), rng.integers(0, h - side + 1)
        out.append(image.crop((x, y, x + side, y + side)))
    return [np.asarray(i.resize((PHOTO_SIDE, PHOTO_SIDE), Image.BOX if i.size[0] > PHOTO_SIDE else Image.BICUBIC))
            for i in out]


def held_out(path):
    """One picture in five, by its folder's or its file's first word: variants of one stay together."""
    word = re.sub(r'.*/(wallpapers|backgrounds)/', '', path)
    word = re.split(r'[-_/.]', re.sub(r'^(gnome|mate/\w+)/', '', word))[0]
    return number(word) % 5 == 0


def plain(picture):
    return picture.std((0, 1)).max() < 4


def model_textures(root):
    """Large textures of the models: wood, cloth, stone, leather.  Name, held, picture."""
    seen = set()
    for e in allowed(root):
        folder = os.path.dirname(e['model'])
        for name in e['archive'].namelist():
            if os.path.dirname(name) != folder or not name.lower().endswith(('.jpg', '.jpeg')):
                continue
            data = e['archive'].read(name)
            key = hashlib.sha256(data).hexdigest()
            if key in seen or len(data) < 20000:
                continue
            seen.add(key)
            image = Image.open(io.BytesIO(data))
            if min(image.size) >= 256:
                yield e['name'], e['held'], image.convert('RGB')


def make_photos(o):
    colours, held, names = [], [], []
    for k, path in enumerate(wallpapers(o.root)):
        image = Image.open(path).convert('RGB')
        if min(image.size) < 400:
            continue
        if max(image.size) > 2600:
            image = image.resize([round(s * 2600 / max(image.size)) for s in image.size], Image.BOX)
        for part in squares(image, np.random.default_rng([5, k]), 4):
            if plain(part):
                continue
            colours.append(encoded(part))
            held.append(held_out(path))
            names.append(os.path.relpath(path, o.root))
    for name, is_held, image in model_textures(o.root):
        part = squares(image, np.random.default_rng([number(name)]), 0)[0]
        if plain(part):
            continue
        colours.append(encoded(part))
        held.append(is_held)
        names.append('texture of ' + name)
    save(o.out, colours, held, names)


def make_pictures(o):
    """Squeezed to 320 x 320, u1 [n, 3, 320, 320]; averaged where they shrink, as the author's preparation does."""
    images = [Image.open(f).convert('RGB').resize((320, 320), Image.BILINEAR) for f in o.pictures]
    np.savez_compressed(o.out, pictures=np.stack([np.asarray(i).transpose(2, 0, 1) for i in images]))


# ---- who made what ----

LICENCES = {'BlendSwap-CC-0': 'CC0 1.0', 'BlendSwap-CC-BY': 'CC-BY 3.0', 'KatorLegaz': 'CC-BY 3.0 US',
            'Reallusion': 'CC-BY 3.0 US', 'Scopia': 'CC-BY 3.0'}


def make_attribution(o):
    with open(o.out, 'w') as f:
        f.write(ABOUT)
        for e in allowed(o.root):
            author = e['author'] or LIBRARY_AUTHORS.get(e['library'], '')
            use = 'held' if e['held'] else 'training'
            f.write('\t'.join([e['name'], e['title'], author, LICENCES[e['library']], use]) + '\n')
        f.write(ABOUT_PICTURES)
        for path in wallpapers(o.root):
            f.write('%s\t%s\n' % (os.path.relpath(path, o.root), '\t'.join(picture_author(o.root, path))))


ABOUT = """weights.safetensors was trained on pictures of the following works; none of them is in this repository.

Models: Debian package sweethome3d-furniture 1.8-1 (http://www.sweethome3d.com/importModels.jsp), OBJ conversions by
Emmanuel Puybaret / eTeks; changed: drawn from random sides under random lights.  held: used to measure only.
CC0: http://creativecommons.org/publicdomain/zero/1.0/  CC-BY 3.0: http://creativecommons.org/licenses/by/3.0/
CC-BY 3.0 US: http://creativecommons.org/licenses/by/3.0/us/

model	title	author	licence	use
"""
ABOUT_PICTURES = """
Photographs and drawings, as backgrounds: authors and licences as the Debian packages state them, in
usr/share/doc/PACKAGE/copyright and the pictures' metadata.json.

picture	author	licence
"""
LIBRARY_AUTHORS = {'KatorLegaz': 'Andrew Kator & Jennifer Legaz',
                   'Reallusion': 'Reallusion (http://www.reallusion.com)',
                   'Scopia': 'Scopia Visual Interfaces Systems, s.l. (http://www.scopia.es)'}


def picture_author(root, path):
    """Author and licence of a wallpaper: of its metadata.json, or of its package's copyright file."""
    about = os.path.join(re.sub(r'/contents/.*', '', path), 'metadata.json')
    if os.path.exists(about):
        with open(about) as f:
            plugin = json.load(f)['KPlugin']
        return ', '.join(a.get('Name', '') for a in plugin.get('Authors', [])), plugin.get('License', '')
    name = os.path.basename(path)
    for copyright_file in sorted(glob.glob(os.path.join(root, 'usr/share/doc/*/copyright'))):
        with open(copyright_file, errors='replace') as f:
            text = f.read()
        for block in re.split(r'\n\s*\n', text):
            if re.search(r'[/ ]%s\s*$' % re.escape(name), block, re.M) and 'License:' in block:
                author = re.search(r'Copyright:(.*?)\nLicense:', block, re.S)
                return (re.sub(r'\s*\n\s*', '; ', author.group(1).strip()) if author else '',
                        re.search(r'License:\s*(\S+)', block).group(1))
    listed = {'ukui': ('Ubuntu Kylin community contributors', 'CC-BY-SA-3.0'),
              'gnome': ('gnome-backgrounds (Jakub Steiner and others)', 'CC-BY-SA-3.0'),
              'mate': ('mate-backgrounds', 'GPL-2+')}
    for key, value in listed.items():
        if '/backgrounds/%s/' % key in path:
            return value
    return listed['ukui'] if '/backgrounds/' in path else ('KDE Visual Design Group', 'GPL-2+')


def main():
    p = argparse.ArgumentParser(description='Pictures for train_cutout.py.')
    p.add_argument('what', choices=['sprites', 'made', 'photos', 'pictures', 'attribution'])
    p.add_argument('--pictures', nargs='+', metavar='PICTURE')
    p.add_argument('--root', metavar='DIR', help='where the packages were unpacked')
    p.add_argument('--out', required=True, metavar='FILE')
    p.add_argument('--pass', dest='number', type=int, default=0, help='another number gives other views')
    p.add_argument('--views', type=int, default=2, help='of each model (default %(default)s)')
    p.add_argument('--count', type=int, default=300, help='of procedural objects (default %(default)s)')
    o = p.parse_args()
    {'sprites': make_sprites, 'made': make_procedural, 'photos': make_photos, 'pictures': make_pictures,
     'attribution': make_attribution}[o.what](o)


if __name__ == '__main__':
    sys.exit(main())
