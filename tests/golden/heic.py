"""Makes HEIC files and the pixels that libheif reads from them: heic.py, run in the repository's root.

    python3 -m venv V && V/bin/pip install pillow-heif==1.8.1 pillow==13.0.0 numpy
    V/bin/python tests/golden/heic.py

Writes tests/golden/heic/*.heic, the decoded pixels as PNG beside each, and heic.json: versions, checksums and what
each file is. The grid is put together here, of tiles that libheif encoded, since pillow-heif writes none.
"""
import hashlib, io, json, os, struct
import numpy as np
import PIL, pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
OUT = "tests/golden/heic"
PHOTOS = "tests/fixtures/photos"
os.makedirs(OUT, exist_ok=True)
hopper = Image.open(f"{PHOTOS}/hopper_small.jpg").convert("RGB")
astronaut = Image.open(f"{PHOTOS}/astronaut.png").convert("RGB").resize((192, 192), Image.LANCZOS)
made = {}


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full(kind, version, flags, *parts):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def boxes(data):
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8:at + size]
        at += size


def coded(data):
    """The hvcC, the nclx colr, and the coded picture of a file with one item of one extent."""
    meta = dict(boxes(data))[b"meta"][4:]
    inner = dict(boxes(meta))
    properties = list(boxes(dict(boxes(inner[b"iprp"]))[b"ipco"]))
    config = next((kind, body) for kind, body in properties if kind == b"hvcC")
    colour = next((body for kind, body in properties if kind == b"colr" and body[:4] == b"nclx"), None)
    mdat = dict(boxes(data))[b"mdat"]
    return config, colour, mdat


def grid(image, side, **options):
    """A file of tiles, the last of which reach beyond the picture."""
    columns, rows = -(-image.width // side), -(-image.height // side)
    padded = Image.new("RGB", (columns * side, rows * side))
    padded.paste(image, (0, 0))
    tiles, config, colour = [], None, None
    for y in range(rows):
        for x in range(columns):
            tile = padded.crop((x * side, y * side, (x + 1) * side, (y + 1) * side))
            config, colour, data = coded(saved(tile, **options))
            tiles.append(data)
    ftyp = box(b"ftyp", b"heic", struct.pack(">I", 0), b"mif1", b"heic")
    count = len(tiles)
    ids = list(range(2, 2 + count))
    infe = [full(b"infe", 2, 0, struct.pack(">HH", 1, 0), b"grid", b"\0")]
    infe += [full(b"infe", 2, 1, struct.pack(">HH", i, 0), b"hvc1", b"\0") for i in ids]
    properties = [full(b"ispe", 0, 0, struct.pack(">II", image.width, image.height)),
                  full(b"ispe", 0, 0, struct.pack(">II", side, side)), box(*config)]
    properties += [box(b"colr", colour)] if colour else []
    of_tile = [2, 3 | 0x80] + ([4] if colour else [])
    ipma = full(b"ipma", 0, 0, struct.pack(">I", 1 + count), struct.pack(">HBB", 1, 1, 1),
                *[struct.pack(">HB", i, len(of_tile)) + bytes(of_tile) for i in ids])
    shape = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, image.width, image.height)

    def meta(start):
        extents, at = struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(shape)), start
        for i, tile in zip(ids, tiles):
            extents += struct.pack(">HHHHII", i, 0, 0, 1, at, len(tile))
            at += len(tile)
        return full(b"meta", 0, 0,
                    full(b"hdlr", 0, 0, b"\0\0\0\0pict", b"\0" * 13),
                    full(b"pitm", 0, 0, struct.pack(">H", 1)),
                    full(b"iinf", 0, 0, struct.pack(">H", 1 + count), *infe),
                    full(b"iref", 0, 0, box(b"dimg", struct.pack(f">HH{count}H", 1, count, *ids))),
                    box(b"iprp", box(b"ipco", *properties), ipma),
                    full(b"iloc", 1, 0, struct.pack(">BBH", 0x44, 0, 1 + count), extents),
                    box(b"idat", shape))

    start = len(ftyp) + len(meta(0)) + 8
    return ftyp + meta(start) + box(b"mdat", *tiles)


def keep(name, data, what):
    with open(f"{OUT}/{name}", "wb") as file:
        file.write(data)
    read = Image.open(io.BytesIO(data))
    read.load()
    pixels = np.asarray(read.convert("RGBA"), dtype=np.float64)
    # Over white, as kith shows transparency.
    alpha = pixels[..., 3:] / 255
    shown = np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    png = os.path.splitext(name)[0] + ".png"
    Image.fromarray(shown).save(f"{OUT}/{png}", optimize=True)
    made[name] = {"what": what, "sha256": hashlib.sha256(data).hexdigest(), "pixels": png,
                  "size": [read.width, read.height]}


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, format="HEIF", **options)
    return file.getvalue()


def exif(orientation, taken=None):
    block = Image.Exif()
    block[0x0112] = orientation
    if taken:
        block[0x0132] = taken
    return block.tobytes()


keep("photo.heic", saved(astronaut, quality=80, exif=exif(1, "2024:05:31 12:34:56")), "4:2:0, with a date")
keep("odd.heic", saved(hopper, quality=80), "odd width")
# Of even width and height: libheif turns the halved planes of chroma, which for odd ones moves them by half a pixel.
head = Image.open(f"{PHOTOS}/orientation_1.jpg").convert("RGB")
keep("turned.heic", saved(head.transpose(Image.ROTATE_90), quality=80, exif=exif(6)), "EXIF orientation 6, as irot")
keep("mirrored.heic", saved(head.transpose(Image.TRANSPOSE), quality=80, exif=exif(5)),
     "EXIF orientation 5, as irot and imir")
faded = astronaut.convert("RGBA")
faded.putalpha(Image.linear_gradient("L").resize(faded.size))
keep("alpha.heic", saved(faded, quality=80), "with an alpha plane")
keep("full_chroma.heic", saved(astronaut, quality=80, chroma=444), "4:4:4")
keep("grid.heic", grid(astronaut.crop((0, 0, 170, 150)), 64, quality=80), "a grid of 3 x 3 tiles of 64 x 64")
ramp = np.add.outer(np.arange(832), np.arange(832)) * 255 // 1662
keep("wide.heic", saved(Image.fromarray(ramp.astype(np.uint8)).convert("RGB"), quality=50),
     "169 coding tree blocks, whose addresses have eight bits")
deep = np.asarray(astronaut).astype(np.uint16) * 257
deeper = pillow_heif.from_bytes(mode="RGB;16", size=astronaut.size, data=deep.tobytes())
file = io.BytesIO()
deeper.save(file, quality=80)
keep("ten_bit.heic", file.getvalue(), "ten bits a sample")

json.dump({"made_with": {"pillow": PIL.__version__, "pillow_heif": pillow_heif.__version__,
                         "libheif": pillow_heif.libheif_version(), "numpy": np.__version__},
           "files": made}, open("tests/golden/heic.json", "w"), indent=1, sort_keys=True)
for name, facts in made.items():
    print(name, facts["size"], os.path.getsize(f"{OUT}/{name}"), facts["what"])
