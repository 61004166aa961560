"""Models of Debian's games under free licences, for models.py: megaglest-data, supertuxkart-data, 0ad-data.

A model is triangles with corners p f4 [n, 3, 3] (z up, front +x, longest edge 1, the box's middle at the origin), uv f4
[n, 3, 2], index [n] (rows of materials: (sRGB colour, rgba u1 [h, w, 4] or None)).  What a licence asks for comes
from debian/copyright (DEP-5): a file that it does not give under one of FREE is not used."""
import fnmatch
import glob
import hashlib
import io
import os
import re
import xml.etree.ElementTree as ElementTree
import zipfile

import numpy as np
from PIL import Image

FREE = re.compile(r'(CC0|CC-BY(-SA)?-[\d.]+|public-domain|MIT|Expat)(-US)?', re.I)
SIDE = 128                                                      # textures are read no larger


# ---- licences ----

class Copyright:
    """debian/copyright of a package: who made a file, and its licence.  The last paragraph that matches counts."""

    def __init__(self, path):
        self.rows = []
        with open(path, encoding='utf-8', errors='replace') as f:
            for paragraph in re.split(r'\n\s*\n', f.read()):
                fields = dict(re.findall(r'^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)', paragraph, re.M))
                if 'Files' in fields:
                    people = '; '.join(x.strip() for x in fields.get('Copyright', '').splitlines() if x.strip())
                    self.rows.append((fields['Files'].split(), people, fields.get('License', '').split('\n')[0].strip()))

    def of(self, path):
        for patterns, people, licence in reversed(self.rows):
            if any(fnmatch.fnmatchcase(path, p) for p in patterns):
                return people, licence
        return '', ''


def free(licence):
    """Whether a licence, "A or B and C", allows what is derived to be given on with an attribution: FREE says which do."""
    return any(all(FREE.fullmatch(one.strip(' ,')) for one in re.split(r'\s+and\s+', choice)) for choice in re.split(r'\s+or\s+', licence))


# ---- geometry ----

class Numbers:
    """Numbers out of bytes, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def one(self, kind):
        return self.some(kind, 1)[0].item()

    def some(self, kind, n):
        a = np.frombuffer(self.data, kind, n, self.at)
        self.at += a.nbytes
        return a

    def text(self, n):
        return self.some('u1', n).tobytes().split(b'\0')[0].decode('latin1')


def g3d(data, when=0.0):
    """MegaGlest's G3D version 4 -> parts (p [v, 3], uv [v, 2], faces [m, 3], colour, texture's name, whether its alpha says where
    the player's colour shows); when: of the animation, 0..1."""
    r = Numbers(data)
    if r.some('u1', 4).tobytes() != b'G3D\x04':
        raise ValueError('not G3D version 4')
    count, _ = r.one('<u2'), r.one('u1')
    out = []
    for _ in range(count):
        r.text(64)
        frames, vertices, indices = r.some('<u4', 3).tolist()
        colour = r.some('<f4', 3)
        r.some('<f4', 5)                                        # specular colour and power, opacity
        properties, textures = r.some('<u4', 2).tolist()
        names = [r.text(64) for k in range(32) if textures >> k & 1]
        p = r.some('<f4', 3 * vertices * frames).reshape(frames, vertices, 3)[int(when * (frames - 1))]
        r.some('<f4', 3 * vertices * frames)
        uv = r.some('<f4', 2 * vertices).reshape(-1, 2) if textures else np.zeros((vertices, 2), np.float32)
        out.append((p, uv, r.some('<u4', indices).reshape(-1, 3), colour, names[0] if names and textures & 1 else None, properties & 1))
    return out


def spm(data):
    """SuperTuxKart's SPM -> parts as of g3d, but for the last; x is mirrored, because its axes are left-handed."""
    r = Numbers(data)
    if r.some('u1', 2).tobytes() != b'SP':
        raise ValueError('not SPM')
    kind, flags = r.one('u1'), r.one('u1')
    if kind >> 3 != 1:
        raise ValueError('SPM version %d' % (kind >> 3))
    moves, normals, colours, tangents = kind & 7 == 1, flags & 1, flags & 2, flags & 4
    r.some('<f4', 6)
    names = [[r.text(r.one('u1')) for _ in range(2)] for _ in range(r.one('<u2'))]
    out = []
    for _ in range(r.one('<u2')):                               # sectors
        for _ in range(r.one('<u2')):
            vertices, indices = r.some('<u4', 2).tolist()
            first, second = names[r.one('<u2')]
            p, uv, tint = np.empty((vertices, 3), np.float32), np.zeros((vertices, 2), np.float32), np.ones((vertices, 3))
            for k in range(vertices):
                p[k] = r.some('<f4', 3)
                r.at += 4 * bool(normals)
                if colours and r.one('u1') != 128:
                    tint[k] = r.some('u1', 3) / 255
                if first:
                    uv[k] = r.some('<f2', 2)
                    r.at += 4 * bool(second) + 4 * bool(tangents)
                r.at += 16 * moves
            faces = r.some('u1' if vertices <= 255 else '<u2', indices).reshape(-1, 3)
            out.append((p * [-1, 1, 1], uv * [1, -1], faces, tint.mean(0), first or None))
    return out


def turned(quaternions):
    """Rotations of quaternions x, y, z, w [n, 4] -> [n, 3, 3]."""
    x, y, z, w = quaternions.T
    rows = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
    return np.stack([np.stack(r, -1) for r in rows], -2)


def poses(rows):
    """Translations and quaternions [n, 7] -> matrices [n, 4, 4]."""
    out = np.zeros((len(rows), 4, 4))
    out[:, :3, :3], out[:, :3, 3], out[:, 3, 3] = turned(rows[:, 3:].astype(float)), rows[:, :3], 1
    return out


def pmd(data):
    """0 A.D.'s PMD -> p [v, 3], uv [v, 2], faces [m, 3], bones u1 [v, 4] (255: none), weights [v, 4], rest [b, 4, 4], points: name
    -> (matrix, bone)."""
    r = Numbers(data)
    if r.some('u1', 4).tobytes() != b'PSMD':
        raise ValueError('not PMD')
    version, _ = r.some('<u4', 2).tolist()
    vertices = r.one('<u4')
    sets = r.one('<u4') if version >= 4 else 1
    v = r.some([('p', '<f4', 3), ('n', '<f4', 3), ('uv', '<f4', (sets, 2)), ('bones', 'u1', 4), ('weights', '<f4', 4)], vertices)
    faces = r.some('<u2', 3 * r.one('<u4')).reshape(-1, 3)
    rest = poses(r.some('<f4', 7 * r.one('<u4')).reshape(-1, 7))
    points = {}
    for _ in range(r.one('<u4')):
        name = r.text(r.one('<u4'))
        points[name] = poses(r.some('<f4', 7).reshape(1, 7))[0], r.one('u1')
    return v['p'].astype(float), v['uv'][:, 0], faces, v['bones'], v['weights'], rest, points


def psa(data, when):
    """0 A.D.'s PSA -> matrices of the bones [b, 4, 4] at that part of the animation, 0..1."""
    r = Numbers(data)
    r.some('u1', 12)
    r.text(r.one('<u4'))
    r.one('<f4')
    bones, frames = r.some('<u4', 2).tolist()
    return poses(r.some('<f4', 7 * bones * frames).reshape(frames, bones, 7)[int(when * (frames - 1))])


def thing(parts, axes):
    """Parts (p, uv, faces, colour, rgba or None) -> a model in our axes."""
    parts = [x for x in parts if len(x[2])]
    if not parts:
        raise ValueError('nothing')
    p = np.concatenate([x[0][x[2].astype(int)] for x in parts]) @ np.array(axes, float).T
    low, high = p.min((0, 1)), p.max((0, 1))
    if not (np.isfinite(p).all() and (high - low).max() > 0):
        raise ValueError('no extent')
    return dict(p=((p - (low + high) / 2) / (high - low).max()).astype(np.float32), uv=np.concatenate([x[1][x[2].astype(int)] for x in parts]).astype(np.float32),
                index=np.repeat(np.arange(len(parts)), [len(x[2]) for x in parts]), materials=[(x[3], x[4]) for x in parts])


# y up, front +z, right-handed: as OBJ files.
RIGHT = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def texture(data, holes):
    """Encoded picture -> rgba u1; without holes its alpha means something else."""
    image = Image.open(io.BytesIO(data))
    image = image.convert('RGBA' if holes else 'RGB')
    if max(image.size) > SIDE:
        image = image.resize([max(1, round(s * SIDE / max(image.size))) for s in image.size], Image.BOX)
    return np.asarray(image.convert('RGBA'))


def with_player(rgba, player):
    """A texture whose alpha says where the player's colour shows, in that colour."""
    a = rgba[..., 3:] / 255
    return np.concatenate([rgba[..., :3] * (a + (1 - a) * player / 255), np.full_like(a, 255)], 2).astype(np.uint8)


def read(path):
    with open(path, 'rb') as f:
        return f.read()


def number(text):
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


# ---- the packages ----

class Package:
    """What was unpacked of a Debian package: entries() are names with how often each should be drawn (before somebody has
    looked at them), load(name) is a model, files(name) what it is made of, as far as the copyright tells files apart."""

    def __init__(self, root):
        self.root = os.path.join(root, 'usr/share/games', self.folder)
        self.copyright = Copyright(os.path.join(root, 'usr/share/doc', self.package, 'copyright'))

    def files(self, name):
        return {name}

    def credit(self, name):
        """Who made a file, and its licence; ValueError if that is not a free one."""
        people, licence = self.copyright.of(name)
        if not free(licence):
            raise ValueError('%s: %s' % (name, licence))
        return people, licence


class MegaGlest(Package):
    package, folder = 'megaglest-data', 'megaglest'

    def entries(self):
        for pattern, weight in (('techs/*/factions/*/units/*/models', 1), ('techs/*/resources/*/models', 0.5), ('tilesets/*/models', 0.5)):
            for path in sorted(glob.glob(os.path.join(self.root, pattern, '*.g3d'))):
                if not re.search('none|dying|dead|die|construction|destr|water|grass', os.path.basename(path)):
                    yield os.path.relpath(path, self.root), weight

    def load(self, name):
        """A pose of the middle of its animation, if it walks or works."""
        data, folder, parts = read(os.path.join(self.root, name)), os.path.dirname(os.path.join(self.root, name)), []
        player = np.random.default_rng(number(name)).integers(40, 220, 3)
        for p, uv, faces, colour, picture, coloured in g3d(data, 0.0 if 'stand' in name else 0.4):
            rgba = texture(read(os.path.join(folder, picture)), True) if picture else None
            parts.append((p, uv, faces, colour, with_player(rgba, player) if picture and coloured else rgba))
        return thing(parts, RIGHT)


class SuperTuxKart(Package):
    package, folder = 'supertuxkart-data', 'supertuxkart'

    def __init__(self, root):
        super().__init__(root)
        self.holes, self.used = set(), set()
        for path in glob.glob(os.path.join(self.root, 'data/**/materials.xml'), recursive=True):
            for m in ElementTree.parse(path).iter('material'):
                if re.search('alphatest|alphablend|grass|unlit|additive', m.get('shader', '')) or m.get('transparency') in ('test', 'alpha', 'additive'):
                    self.holes.add((os.path.dirname(path), m.get('name', '')))

    def entries(self):
        for path in sorted(glob.glob(os.path.join(self.root, 'data/karts/*/kart.xml'))):
            yield os.path.relpath(path, self.root), 1
        for path in sorted(glob.glob(os.path.join(self.root, 'data/*/**/*.spm'), recursive=True)):
            name = os.path.relpath(path, self.root)
            if not name.startswith('data/karts') and not re.search('_track|physics|/gfx_|sky|lod', name):
                yield name, 1

    def files(self, name):
        self.used = set()
        self.load(name)
        return self.used

    def picture(self, folder, name):
        """Colour and rgba of a texture; one that is not free is a plain colour instead, and a part that has holes is gone."""
        for at in (folder, os.path.join(self.root, 'data/textures')):
            path = os.path.relpath(os.path.join(at, name), self.root)
            if os.path.exists(os.path.join(at, name)):
                holes = (at, name) in self.holes
                if free(self.copyright.of(path)[1]):
                    self.used.add(path)
                    return (1, 1, 1), texture(read(os.path.join(at, name)), holes)
                return (None if holes else np.random.default_rng(number(path)).uniform(0.1, 0.9, 3)), None
        raise ValueError('no picture %s' % name)

    def parts(self, path, offset=(0, 0, 0)):
        folder = os.path.dirname(path)
        self.credit(os.path.relpath(path, self.root))
        self.used.add(os.path.relpath(path, self.root))
        for p, uv, faces, colour, picture in spm(read(path)):
            colour, rgba = self.picture(folder, picture) if picture else (colour, None)
            if colour is not None:
                yield p + np.array(offset) * [-1, 1, 1], uv, faces, colour, rgba

    def load(self, name):
        path = os.path.join(self.root, name)
        if not name.endswith('.xml'):
            return thing(list(self.parts(path)), RIGHT)
        kart, folder = ElementTree.parse(path).getroot(), os.path.dirname(path)
        parts = list(self.parts(os.path.join(folder, kart.get('model-file'))))
        for wheel in kart.find('wheels') if kart.find('wheels') is not None else []:
            if wheel.get('model'):
                parts += self.parts(os.path.join(folder, wheel.get('model')), [float(x) for x in wheel.get('position').split()])
        return thing(parts, RIGHT)


class ZeroAD(Package):
    package, folder = '0ad-data', '0ad/mods/public'

    def __init__(self, root):
        super().__init__(root)
        self.zip = zipfile.ZipFile(os.path.join(self.root, 'public.zip'))
        self.names = set(self.zip.namelist())
        self.skins = {}                                         # many share one

    def entries(self):
        for name in sorted(self.names):
            for pattern, weight in (('fauna/*', 1), ('units/*/*', 1), ('structures/*/*', 0.5), ('props/special/*', 1), ('props/units/*', 0.7),
                                    ('props/structures/*', 0.7), ('flora/*', 0.5), ('props/geology/*', 0.5), ('props/fauna/*', 1)):
                if fnmatch.fnmatchcase(name, 'art/actors/' + pattern + '.xml'):
                    yield name, weight
                    break

    def variants(self, actor, rng):
        """One variant of each group of an actor, those that a variant's file names first."""
        for group in actor.findall('group'):
            all_ = group.findall('variant')
            chance = np.array([float(v.get('frequency', 0)) for v in all_])
            v = all_[rng.choice(len(all_), p=chance / chance.sum()) if chance.sum() else 0] if all_ else None
            if v is not None:
                if v.get('file'):
                    yield ElementTree.fromstring(self.zip.read('art/variants/' + v.get('file')))
                yield v

    def skin(self, name, material, player):
        """A texture; its alpha says where the player's colour shows or, of leaves and the like, where holes are."""
        coloured = 'player' in material or 'objectcolor' in material
        holes = re.search('(^|/)(basic|alpha).*trans|foliage|tree', material) is not None
        if (name, coloured or holes) not in self.skins:
            self.skins[name, coloured or holes] = texture(self.zip.read('art/textures/skins/' + name + '.cached.dds'), coloured or holes)
        rgba = self.skins[name, coloured or holes]
        return with_player(rgba, player) if coloured else rgba

    def parts(self, name, rng, depth=0):
        """An actor's parts as of g3d, in its own axes; without a mesh none."""
        root = ElementTree.fromstring(self.zip.read(name))
        actor = root if root.tag == 'actor' else root.find('actor')
        mesh, picture, props, moves, player = None, None, {}, [], rng.integers(40, 220, 3)
        for v in self.variants(actor, rng):
            mesh = v.findtext('mesh') or mesh
            for t in v.iter('texture'):
                if t.get('name') == 'baseTex':
                    picture = t.get('file')
            for q in v.iter('prop'):
                props[q.get('attachpoint')] = q.get('actor')
            new = [a.get('file') for a in v.iter('animation') if a.get('file') and re.match('idle|walk|run|attack', a.get('name', ''), re.I)]
            moves = new or moves
        if not mesh:
            return []
        p, uv, faces, bones, weights, rest, points = pmd(self.zip.read('art/meshes/' + mesh + '.cached.pmd'))
        now = rest
        if len(rest):
            if not moves:
                raise ValueError('no animation')
            now = psa(self.zip.read('art/animation/' + moves[rng.integers(len(moves))] + '.cached.psa'), rng.random())
            if len(now) < len(rest):
                raise ValueError('bones')
            skin = now[:len(rest)] @ np.linalg.inv(rest)
            skin = np.concatenate([skin, np.eye(4)[None]])      # a blend of none: as it is
            k = np.minimum(bones, len(rest))
            w = np.where(bones < 255, weights, 0)
            w /= np.maximum(w.sum(1, keepdims=True), 1e-6)
            p = np.einsum('vk,vkij,vj->vi', w, skin[k], np.concatenate([p, np.ones((len(p), 1))], 1))[:, :3]
        rgba = self.skin(picture, actor.findtext('material') or '', player) if picture else None
        out = [(p, uv, faces, (0.7, 0.7, 0.7), rgba)]
        for where, other in sorted(props.items()):
            if not other or depth > 2 or where in ('projectile', 'loaded-projectile') or not (where == 'root' or where in points):
                continue
            matrix, bone = points.get(where, (np.eye(4), 255))
            if bone < len(now):
                matrix = now[bone] @ matrix
            path = 'art/actors/' + other
            if path in self.names:
                for q in self.parts(path, rng, depth + 1):
                    out.append((q[0] @ matrix[:3, :3].T + matrix[:3, 3], *q[1:]))
        return out

    def files(self, name):
        return {name.split('#')[0]}

    def load(self, name):
        """NAME#2, NAME#3, ...: the same in other poses and with other variants."""
        # Left-handed, y up, front -z.
        return thing(self.parts(name.split('#')[0], np.random.default_rng(number(name))), [[0, 0, -1], [1, 0, 0], [0, 1, 0]])


def packages(root):
    out = []
    for kind in (MegaGlest, SuperTuxKart, ZeroAD):
        if os.path.exists(os.path.join(root, 'usr/share/doc', kind.package, 'copyright')):
            out.append(kind(root))
    return out
