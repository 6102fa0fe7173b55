"""Makes a folder of mixed photos for `kith library`, from any folder of photos (of people, one folder each, or not):

    python3 -m venv V && V/bin/pip install pillow pillow-heif
    V/bin/python benches/photo_folder.py FROM TO 2000 [--heic 0.15] [--avif 0.1] [--seed 1]

    V/bin/python benches/photo_folder.py FROM TO 100 --megapixels 12

Of the photos one in ten is stored turned with an EXIF orientation, one in twenty has a copy in another folder, one in
twenty is saved a second time at quality 40 and one at half its size, and the shares said with --heic and --avif are HEIC and AVIF. All have a
date of their own. Beside them are a film, half of a live photo, an empty file, a text and a photo that breaks off.
In TO-people.csv are the folder that each photo came from, and which photo each copy is of.

With --megapixels all are JPEGs of that size and 4:3, cut out of the photos at different places, enlarged, with grain of
their own as sensors have it, so that their files are as large as cameras make them; nothing is turned or copied.
"""
import argparse, csv, os, random, shutil
from PIL import Image, ImageOps

# Standard deviation of the grain, in levels: files of 12 megapixels have 3 to 6 MB.
GRAIN = 6.0
ORIENTATIONS = {3: Image.ROTATE_180, 6: Image.ROTATE_90, 8: Image.ROTATE_270}


def large(source, target, megapixels, rng):
    """A part of a photo, enlarged, with grain."""
    import numpy as np
    photo = ImageOps.exif_transpose(Image.open(source)).convert("RGB")
    wide = photo.width >= photo.height
    short = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    size = (short * 4 // 3, short) if wide else (short, short * 4 // 3)
    photo = ImageOps.fit(photo, size, Image.Resampling.BICUBIC, rng.uniform(0, 0.1), (rng.random(), rng.uniform(0, 0.5)))
    # A tile of it, laid anew for each photo, is as good as twelve million numbers.
    tile = np.random.default_rng(rng.randrange(1 << 32)).normal(0, GRAIN, (1000, 1000)).astype(np.int16)
    grain = np.tile(tile, (size[1] // 1000 + 1, size[0] // 1000 + 1))[:size[1], :size[0]]
    photo = Image.fromarray(np.clip(np.asarray(photo) + grain[..., None], 0, 255).astype(np.uint8))
    photo.save(target, format="JPEG", quality=92)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("count", type=int)
    parser.add_argument("--heic", type=float, default=0.15)
    parser.add_argument("--avif", type=float, default=0.1)
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    if said.heic > 0 and not said.megapixels:
        import pillow_heif
        pillow_heif.register_heif_opener()
    rng = random.Random(said.seed)
    folders = {}
    for folder, _, names in sorted(os.walk(said.source)):
        photos = [os.path.join(folder, n) for n in sorted(names) if n.lower().endswith((".jpg", ".jpeg", ".png"))]
        if photos:
            folders[folder] = photos
    # Folders with several photos first: a library has many photos of some people and one of others.
    order = sorted(folders, key=lambda f: (-min(len(folders[f]), 3), rng.random()))
    sources = [photo for folder in order for photo in folders[folder]]
    if said.megapixels:
        os.makedirs(said.target, exist_ok=True)
        for number in range(said.count):
            source = sources[number % len(sources)]
            large(source, os.path.join(said.target, f"IMG_{number:04}.jpg"), said.megapixels, rng)
        return
    listed = []
    made = {"turned": 0, "copies": 0, "quality 40": 0, "half size": 0, "HEIC": 0, "AVIF": 0}
    files = 0
    for number, source in enumerate(sources):
        if files >= said.count:
            break
        folder = os.path.join(said.target, f"{2015 + number % 10}")
        os.makedirs(folder, exist_ok=True)
        photo = ImageOps.exif_transpose(Image.open(source)).convert("RGB")
        exif = Image.Exif()
        exif[0x0132] = f"{2015 + number % 10}:{1 + number % 12:02}:{1 + number % 28:02} 12:00:00"
        draw = rng.random()
        kind = "HEIC" if draw < said.heic else "AVIF" if draw < said.heic + said.avif else "JPG"
        shown = photo
        if rng.random() < 0.1:
            exif[0x0112] = rng.choice(sorted(ORIENTATIONS))
            shown = photo.transpose(ORIENTATIONS[exif[0x0112]])
            made["turned"] += 1
        at = os.path.join(folder, f"IMG_{number:04}.{kind}")
        shown.save(at, format={"HEIC": "HEIF", "AVIF": "AVIF", "JPG": "JPEG"}[kind], quality=90, exif=exif.tobytes())
        if kind in made:
            made[kind] += 1
        files += 1
        person = os.path.basename(os.path.dirname(source))
        listed.append((at, person, kind, "", ""))
        draw = rng.random()
        if draw < 0.05:
            how, again = "copies", os.path.join(said.target, "copies", os.path.basename(at))
            os.makedirs(os.path.dirname(again), exist_ok=True)
            shutil.copy(at, again)
        elif draw < 0.10:
            how, again = "quality 40", os.path.join(folder, f"IMG_{number:04}_sent.jpg")
            photo.save(again, quality=40)
        elif draw < 0.15:
            how, again = "half size", os.path.join(folder, f"IMG_{number:04}_small.jpg")
            photo.resize((photo.width // 2, photo.height // 2)).save(again)
        if draw < 0.15:
            made[how] += 1
            files += 1
            listed.append((again, person, kind if how == "copies" else "JPG", how, at))
    film = b"\0\0\0\x14ftypqt  \0\0\0\0qt  "
    first = os.path.join(said.target, "2015")
    half = next(n for n in sorted(os.listdir(first)) if n.startswith("IMG_") and n.endswith((".JPG", ".HEIC")))
    for name, data in ((os.path.splitext(half)[0] + ".MOV", film), ("birthday.mov", film), ("empty.jpg", b""),
                       ("notes.txt", b"milk\n"), ("broken.jpg", open(sources[0], "rb").read()[:3000])):
        with open(os.path.join(first, name), "wb") as file:
            file.write(data)
    with open(os.path.normpath(said.target) + "-people.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file", "person", "kind", "again", "of"), *listed])
    print(f"{files} photos:", ", ".join(f"{count} {what}" for what, count in made.items()))


main()
