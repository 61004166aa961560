#!/usr/bin/env python3
"""Make the pictures of tests/data/images, which the tests of common/image.c, pf-crop and pf-mask read.

    /usr/bin/python3 tests/data/make_images.py          (Debian: python3-pil; made with Pillow 9.4.0)

Everything is computed from formulas, so the same Pillow gives the same bytes.  Pixels that a test
must find again are stated in the test, not here; resized_* are Pillow's own answers.
"""
import os
import struct
import zlib

from PIL import Image

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "images")


def save(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, interlaced=0, extra=b""):
    """A PNG from filterless rows of bytes: for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra +
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows), 9)) + chunk(b"IEND", b""))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def interlaced(image):
    w, h = image.size
    rows = []
    for x0, y0, dx, dy in ADAM7:
        for y in range(y0, h, dy):
            row = b"".join(bytes(image.getpixel((x, y))) for x in range(x0, w, dx))
            if row:
                rows.append(row)
    return png(w, h, 8, 6, rows, interlaced=1)


def sixteen(image):
    """Sixteen bits a channel; the low byte is noise that a reader has to drop."""
    w, h = image.size
    rows = [b"".join(bytes((v, (37 * x + 11 * y) & 255)) for x in range(w) for v in image.getpixel((x, y)))
            for y in range(h)]
    return png(w, h, 16, {"RGBA": 6, "RGB": 2}[image.mode], rows)


def flag():
    """13 x 9, five colours, alpha 0, 128 and 255: sides that fill no byte, no Adam7 block."""
    colors = [(0, 0, 0, 0), (200, 30, 40, 255), (20, 160, 90, 255), (250, 250, 10, 128), (255, 255, 255, 255)]
    im = Image.new("RGBA", (13, 9))
    for y in range(9):
        for x in range(13):
            im.putpixel((x, y), colors[(x // 2 + 2 * y) % 5])
    return im


def photo(size=(64, 48)):
    """An ellipse with a soft edge and a smooth colour on a transparent ground, off the middle."""
    im = Image.new("RGBA", size)
    for y in range(size[1]):
        for x in range(size[0]):
            r = (((x - 36) / 20) ** 2 + ((y - 22) / 17) ** 2) ** 0.5
            a = min(max((1.05 - r) * 12, 0), 1)
            im.putpixel((x, y), (60 + 3 * x, 220 - 4 * y, (5 * x + 3 * y) % 256, int(255 * a)) if a > 0 else (0, 0, 0, 0))
    return im


def on_white(im):
    ground = Image.new("RGBA", im.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, im).convert("RGB")


def view(k, side=32, fine=8):
    """View k of a toy object over white, with exact coverage: a dark red disc that has a white spot
    inside, and a blue bar that turns around it.  RGBA, straight alpha."""
    im = Image.new("RGBA", (side, side))
    for y in range(side):
        for x in range(side):
            red = blue = white = 0
            for i in range(fine * fine):
                u = x + (i % fine + 0.5) / fine - side / 2
                v = y + (i // fine + 0.5) / fine - side / 2
                if (u * u + v * v) ** 0.5 < side * 0.07:
                    white += 1
                elif (u * u + v * v) ** 0.5 < side * 0.25:
                    red += 1
                elif abs(u - (k - 1.5) * side * 0.1) < side * 0.08 and abs(v) < side * 0.4:
                    blue += 1
            n = red + blue + white
            if n:
                im.putpixel((x, y), tuple((a * red + b * blue + 255 * white) // n for a, b in ((150, 30), (30, 60), (40, 170)))
                            + (255 * n // (fine * fine),))
    return im


def strip(views):
    side = views[0].size[1]
    im = Image.new(views[0].mode, (side * len(views), side))
    for k, v in enumerate(views):
        im.paste(v, (k * side, 0))
    return im


def main():
    os.makedirs(OUT, exist_ok=True)
    path = lambda name: os.path.join(OUT, name)

    f = flag()
    f.save(path("flag.png"))
    save("flag_interlaced.png", interlaced(f))
    save("flag_16bit.png", sixteen(f))
    f.convert("RGB").save(path("flag_rgb.png"))
    save("flag_rgb_16bit.png", sixteen(f.convert("RGB")))
    palette = sorted(set(f.getdata()))
    p = Image.new("P", f.size)
    p.putpalette(sum([list(c[:3]) for c in palette], []))
    p.putdata([palette.index(c) for c in f.getdata()])
    p.save(path("flag_palette.png"), transparency=bytes(c[3] for c in palette), bits=4)
    f.save(path("flag_lossless.webp"), lossless=True, exact=True)
    f.convert("RGB").save(path("flag_rgb_lossless.webp"), lossless=True)
    g = f.convert("RGB").convert("L")
    g.save(path("grey.png"))
    Image.merge("LA", (g, f.getchannel("A"))).save(path("grey_alpha.png"))
    g.point(lambda v: 255 * (v > 99)).convert("1").save(path("grey_1bit.png"))

    o = photo()
    o.save(path("photo.png"))
    on_white(o).save(path("photo_rgb.png"))
    on_white(o).save(path("photo.jpg"), quality=92)
    on_white(o).save(path("photo_progressive.jpg"), quality=92, progressive=True, subsampling=0)
    on_white(o).convert("L").save(path("photo_grey.jpg"), quality=92)
    o.save(path("photo.webp"), quality=92)
    on_white(o).save(path("photo_rgb.webp"), quality=92)
    for w, h in ((17, 29), (100, 75), (64, 20)):
        o.resize((w, h), Image.BICUBIC).save(path("resized_%dx%d.png" % (w, h)))
    on_white(o).resize((23, 48), Image.BICUBIC).save(path("resized_rgb_23x48.png"))
    Image.new("RGBA", (20, 10), (90, 90, 90, 0)).save(path("empty_alpha.png"))
    one = Image.new("RGBA", (20, 10), (90, 90, 90, 0))
    one.putpixel((7, 4), (1, 2, 3, 255))
    one.save(path("one_pixel.png"))

    views = [view(k) for k in range(4)]
    strip(views).save(path("strip_rgba.png"))
    strip([on_white(v) for v in views]).save(path("strip.png"))

    whole = open(path("photo.png"), "rb").read()
    save("not_a_png.png", b"this is a text, whatever its name says\n")
    save("empty.png", b"")
    save("truncated.png", whole[:len(whole) * 2 // 3])
    save("no_end.png", whole[:-12])
    save("bad_crc.png", whole[:-13] + bytes([whole[-13] ^ 1]) + whole[-12:])     # of the pixels, not of the end
    save("giant.png", png(2 ** 31 - 1, 2 ** 31 - 1, 8, 6, [b"\0" * 16]))
    save("promises_too_much.png", png(16384, 16384, 8, 6, [b"\0" * 16]))
    save("no_pixels.png", png(0, 5, 8, 6, [b""]))
    jpeg = open(path("photo.jpg"), "rb").read()
    save("truncated.jpg", jpeg[:len(jpeg) * 2 // 3])
    webp = open(path("photo.webp"), "rb").read()
    save("truncated.webp", webp[:len(webp) * 2 // 3])


main()
