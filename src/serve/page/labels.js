// Where what is said of each face is written: beside its box, and neither on a face nor on another's words. Where that
// cannot be had for all, a number stands for the words. As the command's pictures do it (src/compare/labels.rs).

const LETTER_SHARE = 0.2;
const LETTERS = [11, 24];
const LINES = [1.5, 4];
const LINE_SHARE = 0.02;
const SHRINKING = [1, 0.85, 0.7, 0.6, 0.5];
const LEAST_NUMBER = 9;
/** Among more faces than so many, words are at most so many times as wide as their face. */
const FEW = 3;
const MOST_WIDER = 2.5;
const PADDING = 0.35;

export const font = (px) => `600 ${px}px system-ui, sans-serif`;

const bounded = (value, [least, most], unit) => Math.min(Math.max(value, least * unit), most * unit);
const greaterSide = ([x0, y0, x1, y1]) => Math.max(x1 - x0, y1 - y0);

/** Letters' height and lines' width for a face; `unit` is one pixel of the screen in pixels of the canvas. */
export function sizes(face, unit) {
  const side = greaterSide(face);
  return { letters: bounded(side * LETTER_SHARE, LETTERS, unit), line: bounded(side * LINE_SHARE, LINES, unit) };
}

function sizeOf(pen, text, px) {
  pen.font = font(px);
  return [pen.measureText(text).width + 2 * px * PADDING, px * (1 + PADDING)];
}

const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** Places beside a box, the best first: below, above, right, left. */
function spots([x0, y0, x1, y1], [wide, high], gap) {
  const along = [x0, (x0 + x1 - wide) / 2, x1 - wide, x0 - wide / 2, x1 - wide / 2];
  const down = [y0, (y0 + y1 - high) / 2, y1 - high];
  return [...along.map((x) => [x, y1 + gap]), ...along.map((x) => [x, y0 - gap - high]),
    ...down.map((y) => [x1 + gap, y]), ...down.map((y) => [x0 - gap - wide, y])];
}

function fitted(pen, faces, words, letters, [width, height], taken, numbers) {
  const placed = [...taken];
  const labels = faces.map(() => null);
  const order = faces.map((_, i) => i).sort((a, b) => (faces[b][3] - faces[b][1]) - (faces[a][3] - faces[a][1]));
  for (const i of order) {
    const size = sizeOf(pen, words[i], letters[i]);
    // Words far wider than their face reach other faces' places.
    if (!numbers && faces.length > FEW && size[0] > MOST_WIDER * (faces[i][2] - faces[i][0])) continue;
    // A number touches its own frame, or it might be the next one's.
    const gap = numbers ? 0 : Math.max(letters[i] * 0.2, 2);
    for (const [x, y] of spots(faces[i], size, gap)) {
      const edges = [x, y, x + size[0], y + size[1]];
      if (x < 0 || y < 0 || edges[2] > width || edges[3] > height) continue;
      if (faces.some((f) => meet(edges, f)) || placed.some((p) => meet(edges, p))) continue;
      placed.push(edges);
      labels[i] = { text: words[i], edges, letters: letters[i] };
      break;
    }
  }
  return labels;
}

/** A label for every face, in a picture of that size, beside whatever is in `taken`; and whether they are numbers. */
export function place(pen, faces, words, [width, height], unit, taken = []) {
  const wanted = faces.map((f) => sizes(f, unit).letters);
  const tried = (texts, least, share) =>
    fitted(pen, faces, texts, wanted.map((px) => Math.max(px * share, least * unit)), [width, height], taken, texts !== words);
  for (const share of SHRINKING) {
    const labels = tried(words, LETTERS[0], share);
    if (labels.every(Boolean)) return { labels, numbers: false };
  }
  const numbers = faces.map((_, i) => String(i + 1));
  const all = SHRINKING.map((share) => tried(numbers, LEAST_NUMBER, share));
  const missing = (labels) => labels.filter((l) => !l).length;
  const best = all.reduce((a, b) => (missing(b) < missing(a) ? b : a));
  // On the box's own corner, where there is hair at most.
  const corner = (i) => {
    const px = Math.max(wanted[i] * SHRINKING.at(-1), LEAST_NUMBER * unit);
    const [wide, high] = sizeOf(pen, numbers[i], px);
    const [x, y] = [faces[i][0], Math.max(0, faces[i][1] - high / 2)];
    return { text: numbers[i], edges: [x, y, x + wide, y + high], letters: px };
  };
  return { labels: best.map((l, i) => l ?? corner(i)), numbers: true };
}

/** Writes a label: light letters on its colour. */
export function write(pen, { text, edges, letters }, colour, ink = "#fff") {
  pen.fillStyle = colour;
  pen.fillRect(edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]);
  pen.fillStyle = ink;
  pen.font = font(letters);
  pen.textBaseline = "middle";
  pen.fillText(text, edges[0] + letters * PADDING, (edges[1] + edges[3]) / 2 + letters * 0.04);
}

export function frame(pen, [x0, y0, x1, y1], line, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = line;
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
}

/** A square of the picture around a face, as a canvas of that many pixels. */
export function crop(picture, box, scale, side) {
  const half = greaterSide(box) * 0.7 * scale;
  const [x, y] = [(box[0] + box[2]) / 2 * scale, (box[1] + box[3]) / 2 * scale];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(picture, x - half, y - half, 2 * half, 2 * half, 0, 0, side, side);
  return canvas;
}
