"""The letters and the expected pictures of the first version's layout, drawn by OpenCV.

seed_picture.py letters LETTERS.png            the letters, cut out one by one
seed_picture.py pictures PHOTOS > FILE.json    sha256 of whole pictures (RGB, row by row) and of their JPEG files

Needs opencv-python-headless 4.10.0 and numpy 1.26.
"""
import hashlib, json, os, sys
import cv2, numpy as np

FONT, SCALE, THICKNESS = cv2.FONT_HERSHEY_DUPLEX, 0.8, 2
PREFIX = "Similarity: "
CELL_W, CELL_H, LEFT, ABOVE, PREFIX_W = 26, 32, 4, 24, 144
# Widths of the letters in the font's own units, and one unit in pixels with 16 binary places, as OpenCV rounds it.
UNIT, PREFIX_UNITS, DIGIT_UNITS, DOT_UNITS = round(SCALE * 65536), 175, 20, 11


def mask(text, x=40, y=ABOVE, width=400):
    m = np.zeros((CELL_H, width), np.uint8)
    cv2.putText(m, text, (x, y), FONT, SCALE, 255, THICKNESS)
    return m > 0


def slots(whole):
    """(index in the string after the prefix, letters that may stand there, units before it)"""
    units, out = PREFIX_UNITS, []
    for i in range(whole + 4):
        kind = "." if i == whole else "%" if i == whole + 3 else "0123456789"
        out.append((i, kind, units))
        units += DOT_UNITS if kind == "." else DIGIT_UNITS
    return out


def letters():
    """The prefix, then for 1, 2, 3 digits before the point every letter that may stand in each place.

    A letter's own pixels are those that stay whatever its neighbours are."""
    cells = [mask(PREFIX)[:, 40 - LEFT:40 - LEFT + PREFIX_W]]
    for whole in (1, 2, 3):
        for i, kind, units in slots(whole):
            start = 40 + (units * UNIT >> 16) - LEFT
            for letter in kind:
                stays = None
                for other in "0123456789":
                    text = [other] * (whole + 4)
                    text[whole], text[whole + 3] = ".", "%"
                    text[i] = letter
                    m = mask(PREFIX + "".join(text))
                    stays = m if stays is None else stays & m
                cells.append(stays[:, start:start + CELL_W])
    return cells


def isolated(cells):
    """The cells without what their fixed neighbours (prefix, point, per cent) left in them, and a proof."""
    at, table = 1, {}
    for whole in (1, 2, 3):
        for i, kind, units in slots(whole):
            for letter in kind:
                table[whole, i, letter] = (at, 40 + (units * UNIT >> 16) - LEFT)
                at += 1
    full = lambda text: mask(PREFIX + text)
    for hundredths in range(10001):
        text = f"{hundredths / 100:.2f}%"
        whole = len(text) - 4
        drawn = np.zeros((CELL_H, 400), bool)
        drawn[:, 40 - LEFT:40 - LEFT + PREFIX_W] |= cells[0]
        for i, letter in enumerate(text):
            cell, x = table[whole, i, letter]
            drawn[:, x:x + CELL_W] |= cells[cell]
        assert (drawn == full(text)).all(), text
    return cells


def picture(panes, score):
    out = []
    for photo, boxes in panes:
        img = cv2.resize(cv2.imread(photo), (800, 600))
        color = (0, 255, int(255 * (1 - (score - 50) / 50))) if score >= 50 else (0, int(255 * score / 50), 255)
        for x1, y1, x2, y2 in np.array(boxes, np.float32).reshape(-1, 4).astype(int):
            cv2.rectangle(img, (int(x1), int(y1)), (int(x2), int(y2)), color, 2)
            cv2.putText(img, f"Similarity: {score:.2f}%", (int(x1), int(y2) + 25), FONT, SCALE, color, THICKNESS)
        out.append(img)
    return np.hstack(out)


if sys.argv[1] == "letters":
    cells = isolated(letters())
    cv2.imwrite(sys.argv[2], np.hstack(cells).astype(np.uint8) * 255, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(len(cells), "cells; all of 0.00% to 100.00% are drawn as OpenCV draws them", file=sys.stderr)
else:
    folder = sys.argv[2]
    rng = np.random.default_rng(800600)
    names = ["grace_hopper.jpg", "astronaut.png", "two_faces.jpg", "hopper_small.jpg", "astronaut_grey.jpg",
             "hopper_crop.jpg", "no_face.jpg", "one_pixel.png"]
    cases = []
    for n, score in enumerate([0.0, 0.004, 7.5, 25.0, 44.44, 49.999, 50.0, 50.01, 66.6666, 75.0, 88.88, 99.995, 100.0]):
        panes = []
        for side in range(2):
            name = names[(n + 3 * side) % len(names)]
            boxes = []
            for _ in range(rng.integers(0, 4)):
                x, y = rng.uniform(-60, 800), rng.uniform(-60, 600)
                boxes.append([float(np.float32(v)) for v in (x, y, x + rng.uniform(0, 300), y + rng.uniform(0, 300))])
            panes.append((name, boxes))
        drawn = picture([(os.path.join(folder, p), b) for p, b in panes], score)
        jpeg = cv2.imencode(".jpg", drawn)[1].tobytes()
        sha = lambda data: hashlib.sha256(data).hexdigest()
        cases.append({"score": score, "panes": [{"photo": p, "boxes": b} for p, b in panes],
                      "pixels": sha(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB).tobytes()), "jpeg": sha(jpeg)})
    print(json.dumps({"versions": {"opencv": cv2.__version__, "numpy": np.__version__}, "cases": cases}, indent=1))
