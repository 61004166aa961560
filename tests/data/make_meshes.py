#!/usr/bin/python3
"""Writes tests/data/meshes: one tetrahedron in every format that pf-eval reads, points, and files with one mistake each, named
after it.  Needs nothing but Python.  The bytes are the same every time."""
import io
import json
import os
import struct
import zipfile

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'meshes')
V = [(0, 0, 0), (0.25, 0, 0), (0, 0.5, 0), (0, 0, -0.125)]
F = [(0, 1, 2), (0, 3, 1), (0, 2, 3), (1, 3, 2)]


def save(name, data):
    with open(os.path.join(HERE, name), 'wb') as f:
        f.write(data)


# ---- PLY ----

def header(format_, vertices=4, faces=4, extra='', index='property list uchar int vertex_indices'):
    face = '' if faces is None else 'element face %d\n%s\n' % (faces, index)
    return ('ply\nformat %s 1.0\ncomment one tetrahedron\nelement vertex %d\nproperty float x\nproperty float y\nproperty float z\n'
            '%s%send_header\n' % (format_, vertices, extra, face)).encode()


def binary(order, vertices=V, faces=F):
    return b''.join(struct.pack(order + '3f', *v) for v in vertices) + b''.join(struct.pack(order + 'B3i', 3, *f) for f in faces)


def text(vertices=V, faces=F):
    return ''.join('%g %g %g\n' % v for v in vertices).encode() + b''.join(b'3 %d %d %d\n' % f for f in faces)


LE = 'binary_little_endian'
save('little.ply', header(LE) + binary('<'))
save('big.ply', header('binary_big_endian') + binary('>'))
save('text.ply', header('ascii') + text())
save('windows.ply', (header('ascii') + text()).replace(b'\n', b'\r\n'))
save('quad.ply', header('ascii', 4, 1) + ''.join('%g %g %g\n' % v for v in V).encode() + b'4 0 1 2 3\n')
save('more.ply', header('ascii', 4, 4, 'property list uchar int neighbours\nproperty uchar red\n').replace(
    b'element face', b'element material 2\nproperty float gloss\nelement face')
    + ''.join('%g %g %g 2 7 8 255\n' % v for v in V).encode() + b'0.5\n0.25\n' + b''.join(b'3 %d %d %d\n' % f for f in F))
save('points.ply', header(LE, faces=None, extra='property float nx\nproperty float ny\nproperty float nz\n')
     + b''.join(struct.pack('<6f', *v, 0, 0, 1) for v in V))
save('no_faces.ply', header(LE, faces=0) + binary('<', faces=[]))
save('truncated.ply', (header(LE) + binary('<'))[:-5])
save('truncated_text.ply', (header('ascii') + text())[:-8])
save('vertices_1e9.ply', header(LE, 10 ** 9) + binary('<'))
save('faces_1e9.ply', header(LE, 4, 10 ** 9) + binary('<'))
save('rows_of_nothing_1e9.ply', header(LE).replace(b'element face', b'element none 1000000000\nelement face') + binary('<'))
save('index_out_of_range.ply', header(LE) + binary('<', faces=F[:3] + [(1, 3, 4)]))
save('index_negative.ply', header(LE) + binary('<', faces=F[:3] + [(1, 3, -2)]))
save('corners_two.ply', header('ascii', 4, 1) + text(faces=[]) + b'2 0 1\n')
save('corners_more_than_bytes.ply', header(LE, 4, 1, index='property list uint int vertex_indices') + binary('<', faces=[])
     + struct.pack('<I3i', 0xffffffff, 0, 1, 2))
save('vertex_nan.ply', header(LE) + binary('<', V[:3] + [(0, float('nan'), 0)]))
save('vertex_nan_text.ply', header('ascii') + text(V[:3] + [(0, float('nan'), 0)]))
save('vertex_infinite.ply', header(LE) + binary('<', V[:3] + [(0, 0, float('inf'))]))
save('vertex_far.ply', header(LE) + binary('<', V[:3] + [(0, 0, 1e30)]))
save('word_no_number.ply', header('ascii') + text().replace(b'0.25', b'0.2x'))
save('no_z.ply', header(LE).replace(b'float z', b'float w') + binary('<'))
save('x_twice.ply', header(LE).replace(b'float z', b'float x') + binary('<'))
save('type_unknown.ply', header(LE).replace(b'float z', b'half z') + binary('<'))
save('format_unknown.ply', header('binary_middle_endian') + binary('<'))
save('header_without_end.ply', header(LE)[:-11])
save('property_first.ply', header(LE).replace(b'comment one', b'property float a\ncomment one') + binary('<'))
save('vertex_twice.ply', header('ascii', 4, None).replace(b'end_', b'element vertex 4\nproperty float x\nproperty float y\n'
                                                         b'property float z\nend_') + 2 * text(faces=[]))

# ---- OBJ, STL ----

OBJ = ''.join('v %g %g %g 1 0.5 0\n' % v for v in V) + 'vn 0 0 1\nusemtl none\n'
save('slashes.obj', ('# one tetrahedron\n' + OBJ + ''.join('f %s\n' % ' '.join('%d//1' % (i + 1) for i in f) for f in F)).encode())
save('counted_back.obj', (OBJ + ''.join('f %s\n' % ' '.join('%d' % (i - 4) for i in f) for f in F)).encode())
save('index_out_of_range.obj', (OBJ + 'f 1 2 5\n').encode())
save('index_zero.obj', (OBJ + 'f 0 1 2\n').encode())
save('corners_two.obj', (OBJ + 'f 1 2\n').encode())
save('vertex_short.obj', b'v 1 2\nf 1 1 1\n')
save('no_faces.obj', OBJ.encode())
save('prose.obj', b'There is no mesh in this text.\n')
STL = struct.pack('<80sI', b'one tetrahedron', 4) + b''.join(
    struct.pack('<12fH', 0, 0, 0, *(c for i in f for c in V[i]), 0) for f in F)
save('little.stl', STL)
save('truncated.stl', STL[:-1])


# ---- GLB ----

def glb(scene, data):
    j = json.dumps(scene, separators=(',', ':')).encode()
    j += b' ' * (-len(j) % 4)
    return struct.pack('<4sII', b'glTF', 2, 28 + len(j) + len(data)) + struct.pack('<I4s', len(j), b'JSON') + j \
        + struct.pack('<I4s', len(data), b'BIN\0') + data


def gltf(**changed):
    """x of the scene is z of glTF, y is x, z is y."""
    scene = {'asset': {'version': '2.0'}, 'scene': 0, 'scenes': [{'nodes': [0]}],
             'nodes': [{'children': [1], 'scale': [2, 2, 2]}, {'mesh': 0, 'scale': [0.5, 0.5, 0.5]}],
             'meshes': [{'primitives': [{'attributes': {'POSITION': 0}, 'indices': 1}]}], 'buffers': [{'byteLength': 72}],
             'bufferViews': [{'buffer': 0, 'byteLength': 48}, {'buffer': 0, 'byteOffset': 48, 'byteLength': 24}],
             'accessors': [{'bufferView': 0, 'componentType': 5126, 'count': 4, 'type': 'VEC3'},
                           {'bufferView': 1, 'componentType': 5123, 'count': 12, 'type': 'SCALAR'}]}
    scene.update(changed)
    return scene


BIN = b''.join(struct.pack('<3f', y, z, x) for x, y, z in V) + b''.join(struct.pack('<3H', *f) for f in F)
GLB = glb(gltf(), BIN)
ACCESSORS = gltf()['accessors']
save('nodes.glb', GLB)
save('no_scene.glb', glb(gltf(scenes=[], nodes=[]), BIN))
save('truncated.glb', GLB[:-7])
save('index_out_of_range.glb', glb(gltf(), BIN[:-2] + b'\4\0'))
save('node_in_itself.glb', glb(gltf(nodes=[{'children': [0], 'mesh': 0}]), BIN))
save('node_missing.glb', glb(gltf(nodes=[{'children': [7]}]), BIN))
save('no_triangles.glb', glb(gltf(nodes=[{}]), BIN))
save('count_1e9.glb', glb(gltf(accessors=[dict(ACCESSORS[0], count=10 ** 9), ACCESSORS[1]]), BIN))
save('count_overflow.glb', glb(gltf(accessors=[dict(ACCESSORS[0], count=2 ** 62), ACCESSORS[1]]), BIN))
save('offset_negative.glb', glb(gltf(accessors=[dict(ACCESSORS[0], byteOffset=-12), ACCESSORS[1]]), BIN))
save('stride_overflow.glb', glb(gltf(bufferViews=[{'buffer': 0, 'byteLength': 48, 'byteStride': 2 ** 61},
                                                  gltf()['bufferViews'][1]]), BIN))
save('buffer_elsewhere.glb', glb(gltf(bufferViews=[{'buffer': 1, 'byteLength': 48}, gltf()['bufferViews'][1]]), BIN))
save('placed_too_often.glb', glb(gltf(scenes=[{'nodes': list(range(100))}], nodes=[{'mesh': 0}] * 100,
                                      meshes=[{'primitives': [{'attributes': {'POSITION': 0}, 'indices': 1}] * 40}]), BIN))
save('no_json.glb', GLB.replace(b'"asset"', b'"asset'))

# ---- NPZ ----


def npy(descr, shape, data):
    h = ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)).encode()
    h += b' ' * (-(len(h) + 11) % 64) + b'\n'
    return b'\x93NUMPY\1\0' + struct.pack('<H', len(h)) + h + data


def npz(name, **arrays):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        for key, value in arrays.items():
            z.writestr(zipfile.ZipInfo(key + '.npy', (2025, 11, 29, 0, 0, 0)), value, zipfile.ZIP_DEFLATED)
    save(name, out.getvalue())


v32 = npy('<f4', (4, 3), b''.join(struct.pack('<3f', *v) for v in V))
f64 = npy('<i8', (4, 3), b''.join(struct.pack('<3q', *f) for f in F))
pts = npy('<f2', (4, 3), b''.join(struct.pack('<3e', *v) for v in V))
nrm = npy('|i1', (4, 3), struct.pack('12b', *(0, 0, 127) * 4))
half = b''.join(b'\xff' * 256 if x < 32 else b'\0' * 256 for x in range(64) for _ in range(2))       # cells with x < 0
npz('mesh.npz', v=v32, f=f64)
npz('points.npz', pts=pts, nrm=nrm, pts_all=pts, occ=npy('|u1', (32768,), half))
npz('index_negative.npz', v=v32, f=npy('<i8', (1, 3), struct.pack('<3q', 0, 1, -1)))
npz('shape_1e9.npz', v=npy('<f4', (10 ** 9, 3), b'\0' * 12), f=f64)
npz('shape_overflow.npz', v=npy('<f4', (2 ** 62, 2 ** 62), b'\0' * 12), f=f64)
npz('four_columns.npz', pts=npy('<f4', (3, 4), b'\0' * 48))
npz('faces_missing.npz', v=v32)
npz('neither.npz', a=v32)
npz('normals_short.npz', pts=pts, nrm=npy('|i1', (1, 3), b'\0\0\1'))
npz('solid_short.npz', pts=pts, occ=npy('|u1', (100,), b'\0' * 100))
npz('objects.npz', pts=npy('|O', (4, 3), b'\0' * 96))
