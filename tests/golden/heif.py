"""Makes HEIC or AVIF files and the pixels that libheif or libavif read from them, in the repository's root:

    python3 -m venv V && V/bin/python -m pip install pillow==13.0.0 pillow-heif==1.8.1 imagecodecs==2026.3.6 numpy
    V/bin/python tests/golden/heif.py heic && V/bin/python tests/golden/heif.py avif

Writes tests/golden/heic/*.heic (or avif), the decoded pixels as PNG beside each, and heic.json: versions, checksums and what
each file is. The grids are put together here, of tiles that the library encoded, since neither pillow-heif nor Pillow writes
any; nor does Pillow write AVIF of ten bits a sample, which imagecodecs does.
"""
import hashlib, io, json, os, struct, sys
import numpy as np
import PIL
from PIL import Image, features

KIND = sys.argv[1]
HEIC = KIND == "heic"
# What Pillow calls the format, and the container a coded picture and its configuration.
FORMAT, CODED, CONFIG = ("HEIF", b"hvc1", b"hvcC") if HEIC else ("AVIF", b"av01", b"av1C")
if HEIC:
    import pillow_heif
    pillow_heif.register_heif_opener()
else:
    import imagecodecs
OUT = f"tests/golden/{KIND}"
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
    """The configuration, the nclx colr, and the coded picture of a file with one item of one extent."""
    inner = dict(boxes(dict(boxes(data))[b"meta"][4:]))
    properties = list(boxes(dict(boxes(inner[b"iprp"]))[b"ipco"]))
    config = next((kind, body) for kind, body in properties if kind == CONFIG)
    colour = next((body for kind, body in properties if kind == b"colr" and body[:4] == b"nclx"), None)
    return config, colour, dict(boxes(data))[b"mdat"]


def grid(image, side, **options):
    """A file of tiles, the last of which reach beyond the picture."""
    columns, rows = -(-image.width // side), -(-image.height // side)
    padded = Image.new("RGB", (columns * side, rows * side))
    padded.paste(image, (0, 0))
    tiles, config, colour = [], None, None
    for y in range(rows):
        for x in range(columns):
            config, colour, data = coded(saved(padded.crop((x * side, y * side, (x + 1) * side, (y + 1) * side)), **options))
            tiles.append(data)
    brands = [b"heic", b"mif1", b"heic"] if HEIC else [b"avif", b"avif", b"mif1", b"miaf"]
    ftyp = box(b"ftyp", brands[0], struct.pack(">I", 0), *brands[1:])
    count = len(tiles)
    ids = list(range(2, 2 + count))
    infe = [full(b"infe", 2, 0, struct.pack(">HH", 1, 0), b"grid", b"\0")]
    infe += [full(b"infe", 2, 1, struct.pack(">HH", i, 0), CODED, b"\0") for i in ids]
    # Of the whole its size, and for AVIF how deep it is and its colours; of a tile its size, its configuration and those.
    properties = [full(b"ispe", 0, 0, struct.pack(">II", image.width, image.height)),
                  full(b"ispe", 0, 0, struct.pack(">II", side, side)), box(*config)]
    properties += [] if HEIC else [full(b"pixi", 0, 0, b"\3\x08\x08\x08")]
    properties += [box(b"colr", colour)] if colour else []
    more = list(range(4, 1 + len(properties)))
    of_whole, of_tile = [1] + ([] if HEIC else more), [2, 3 | 0x80] + more
    ipma = full(b"ipma", 0, 0, struct.pack(">I", 1 + count), struct.pack(">HB", 1, len(of_whole)) + bytes(of_whole),
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
    name = f"{name}.{KIND}"
    with open(f"{OUT}/{name}", "wb") as file:
        file.write(data)
    read = Image.open(io.BytesIO(data))
    read.load()
    pixels = np.asarray(read.convert("RGBA"), dtype=np.float64)
    # Over white, as kith shows transparency.
    alpha = pixels[..., 3:] / 255
    shown = Image.fromarray(np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8))
    # Of AVIF Pillow says the container's turning as an EXIF orientation; pillow-heif has followed it.
    turned = [] if HEIC else {2: [0], 3: [3], 4: [1], 5: [5], 6: [4], 7: [6], 8: [2]}.get(read.getexif().get(0x0112, 1), [])
    for step in turned:
        shown = shown.transpose(Image.Transpose(step))
    png = os.path.splitext(name)[0] + ".png"
    shown.save(f"{OUT}/{png}", optimize=True)
    made[name] = {"what": what, "sha256": hashlib.sha256(data).hexdigest(), "pixels": png, "size": list(shown.size)}


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, format=FORMAT, **options)
    return file.getvalue()


def exif(orientation, taken=None):
    block = Image.Exif()
    block[0x0112] = orientation
    if taken:
        block[0x0132] = taken
    return block.tobytes()


keep("photo", saved(astronaut, quality=80, exif=exif(1, "2024:05:31 12:34:56")), "4:2:0, with a date")
keep("odd", saved(hopper, quality=80), "odd width")
# Of even width and height: libheif turns the halved planes of chroma, which for odd ones moves them by half a pixel.
head = Image.open(f"{PHOTOS}/orientation_1.jpg").convert("RGB")
keep("turned", saved(head.transpose(Image.ROTATE_90), quality=80, exif=exif(6)), "EXIF orientation 6, as irot")
keep("mirrored", saved(head.transpose(Image.TRANSPOSE), quality=80, exif=exif(5)), "EXIF orientation 5, as irot and imir")
faded = astronaut.convert("RGBA")
faded.putalpha(Image.linear_gradient("L").resize(faded.size))
keep("alpha", saved(faded, quality=80), "with an alpha plane")
keep("full_chroma", saved(astronaut, quality=80, **({"chroma": 444} if HEIC else {"subsampling": "4:4:4"})), "4:4:4")
keep("grid", grid(astronaut.crop((0, 0, 170, 150)), 64, quality=80), "a grid of 3 x 3 tiles of 64 x 64")
made_with = {"pillow": PIL.__version__, "numpy": np.__version__}
if HEIC:
    ramp = np.add.outer(np.arange(832), np.arange(832)) * 255 // 1662
    keep("wide", saved(Image.fromarray(ramp.astype(np.uint8)).convert("RGB"), quality=50),
         "169 coding tree blocks, whose addresses have eight bits")
    deep = np.asarray(astronaut).astype(np.uint16) * 257
    deeper = pillow_heif.from_bytes(mode="RGB;16", size=astronaut.size, data=deep.tobytes())
    file = io.BytesIO()
    deeper.save(file, quality=80)
    keep("ten_bit", file.getvalue(), "ten bits a sample")
    made_with |= {"pillow_heif": pillow_heif.__version__, "libheif": pillow_heif.libheif_version()}
else:
    keep("half_chroma", saved(astronaut, quality=80, subsampling="4:2:2"), "4:2:2")
    keep("grey", saved(astronaut, quality=80, subsampling="4:0:0"), "no chroma")
    keep("limited", saved(astronaut, quality=80, range="limited"), "values of the limited range")
    deep = np.asarray(astronaut).astype(np.uint16) * 4
    keep("ten_bit", imagecodecs.avif_encode(deep, 80, bitspersample=10), "ten bits a sample")
    made_with |= {"libavif": features.version("avif"), "imagecodecs": imagecodecs.__version__}

json.dump({"made_with": made_with, "files": made}, open(f"tests/golden/{KIND}.json", "w"), indent=1, sort_keys=True)
for name, facts in made.items():
    print(name, facts["size"], os.path.getsize(f"{OUT}/{name}"), facts["what"])
