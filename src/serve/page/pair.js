// Two photos side by side with their faces: cut to the faces where those would be too small to be seen, with the whole
// in a corner. As the command's picture does it (src/compare/view.rs), but drawn here, so that it goes with the slider.

import { frame, place, sizes, write } from "./labels.js";

const LEAST_SHARE = 0.22;
const LEAST_STRONG = 0.1;
const AROUND = 0.9;
const WORTH_IT = 0.7;
const LONGEST = 1.6;
const INSET_SHARES = [0.34, 0.26, 0.2];
const MOST_FRAMED = 12;
const PLATE = "rgb(16 17 20 / 0.85)";
const BRIGHT = "#f0f2f5";

const boxOf = ({ box }) => [box.x0, box.y0, box.x1, box.y1];
const high = (b) => b[3] - b[1];
const common = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));

/** Red at 0%, yellow at 50%, green at 100%; bright where there is none. */
export function colourOf(percent) {
  if (percent === null) return BRIGHT;
  const s = Math.min(100, Math.max(0, percent));
  return s < 50 ? `rgb(255 ${Math.floor(255 * s / 50)} 0)` : `rgb(${Math.floor(255 * (100 - s) / 50)} 255 0)`;
}

/** The part of a photo to show, in its pixels. */
function partOf({ width, height, faces }, strong) {
  const all = [0, 0, width, height];
  const boxes = faces.map(boxOf).map((b) => [Math.max(0, b[0]), Math.max(0, b[1]), Math.min(width, b[2]), Math.min(height, b[3])]);
  if (!boxes.length || boxes.some((b) => b[0] >= b[2] || b[1] >= b[3])) return all;
  // Panes are as high as wide, about.
  const shownAt = (p) => 1 / Math.max(p[2] - p[0], p[3] - p[1]);
  const judged = high(boxes[strong] ?? boxes.reduce((a, b) => (high(b) > high(a) ? b : a)));
  if (judged * shownAt(all) >= LEAST_SHARE) return all;
  const around = (some) => {
    const space = AROUND * Math.max(...some.map((b) => Math.max(high(b), b[2] - b[0])));
    return shaped([Math.min(...some.map((b) => b[0])) - space, Math.min(...some.map((b) => b[1])) - space,
      Math.max(...some.map((b) => b[2])) + space, Math.max(...some.map((b) => b[3])) + space], all);
  };
  let part = around(boxes);
  if (boxes[strong] && high(boxes[strong]) * shownAt(part) < LEAST_STRONG) part = around([boxes[strong]]);
  return shownAt(all) / shownAt(part) < WORTH_IT ? part : all;
}

function shaped(part, all) {
  const [wide, tall] = [part[2] - part[0], part[3] - part[1]];
  const sides = [Math.min(all[2], Math.max(wide, tall / LONGEST)), Math.min(all[3], Math.max(tall, wide / LONGEST))];
  const start = (i) => Math.min(Math.max(0, (part[i] + part[i + 2] - sides[i]) / 2), all[i + 2] - sides[i]);
  const [x, y] = [start(0), start(1)];
  return [x, y, x + sides[0], y + sides[1]];
}

/** Draws both. `left` and `right`: picture, width, height, faces; `told(isLeft, face)`: words and percent of a face, or
 *  null; `best`: the nearest pair, or null. */
export function drawPair(canvas, left, right, best, told) {
  const dense = Math.min(2, devicePixelRatio || 1);
  const most = Math.min(1600, (canvas.parentElement.clientWidth || 800) * dense);
  const gap = 12 * dense;
  const strong = [best?.left ?? -1, best?.right ?? -1];
  const sides = [left, right].map((s, i) => ({ ...s, part: partOf(s, strong[i]) }));
  const shape = (s) => (s.part[2] - s.part[0]) / (s.part[3] - s.part[1]);
  const height = Math.min((most - gap) / (shape(sides[0]) + shape(sides[1])), Math.max(280, innerHeight * 0.7) * dense);
  let x = 0;
  for (const side of sides) {
    Object.assign(side, { x, wide: height * shape(side), scale: height / (side.part[3] - side.part[1]) });
    side.edges = side.faces.map(boxOf).map(([x0, y0, x1, y1]) => {
      const across = (v) => side.x + Math.min(side.wide, Math.max(0, (v - side.part[0]) * side.scale));
      const down = (v) => Math.min(height, Math.max(0, (v - side.part[1]) * side.scale));
      return [across(x0), down(y0), across(x1), down(y1)];
    });
    side.seen = side.faces.map((f, i) => i).filter((i) => {
      const b = boxOf(side.faces[i]);
      const [mx, my] = [(b[0] + b[2]) / 2, (b[1] + b[3]) / 2];
      return mx >= side.part[0] && mx <= side.part[2] && my >= side.part[1] && my <= side.part[3];
    });
    x += side.wide + gap;
  }
  Object.assign(canvas, { width: Math.max(1, Math.round(x - gap)), height: Math.max(1, Math.round(height)) });
  canvas.style.width = `${canvas.width / dense}px`;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#181a1e";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  sides.forEach((side, i) => {
    const p = side.part;
    const k = side.picture.width / side.width;
    pen.drawImage(side.picture, p[0] * k, p[1] * k, (p[2] - p[0]) * k, (p[3] - p[1]) * k, side.x, 0, side.wide, height);
    side.inset = inset(pen, side, strong[i], height, dense);
  });
  if (best) {
    const [a, b] = [sides[0].edges[best.left], sides[1].edges[best.right]];
    pen.strokeStyle = colourOf(told(true, best.left).percent);
    pen.lineWidth = 2.5 * dense;
    pen.beginPath();
    pen.moveTo(a[2], (a[1] + a[3]) / 2);
    pen.lineTo(b[0], (b[1] + b[3]) / 2);
    pen.stroke();
  }
  sides.forEach((side, i) => marks(pen, side, strong[i], (face) => told(i === 0, face), height, dense));
}

function marks(pen, side, strong, told, height, dense) {
  const order = [...side.seen].sort((a, b) => (a === strong) - (b === strong));
  const local = (e) => [e[0] - side.x, e[1], e[2] - side.x, e[3]];
  const boxes = order.map((i) => local(side.edges[i]));
  const facts = order.map((i) => told(i) ?? { text: `face ${i + 1}`, percent: null });
  order.forEach((face, i) => {
    const { line } = sizes(boxes[i], dense);
    frame(pen, side.edges[face], face === strong ? Math.max(line, 3 * dense) : Math.max(1.5 * dense, line / 2), colourOf(facts[i].percent));
    if (face !== strong) return;
    pen.fillStyle = colourOf(facts[i].percent);
    for (const [px, py] of side.faces[face].landmarks) {
      const [x, y] = [side.x + (px - side.part[0]) * side.scale, (py - side.part[1]) * side.scale];
      pen.beginPath();
      pen.arc(x, y, Math.max(1.5 * dense, line * 0.75), 0, 2 * Math.PI);
      pen.fill();
    }
  });
  const { labels, numbers } = place(pen, boxes, facts.map((f) => f.text), [side.wide, height], dense, side.inset ? [local(side.inset)] : []);
  order.forEach((face, i) => {
    if (numbers && face !== strong) return;
    const { edges, letters } = labels[i];
    const moved = [edges[0] + side.x, edges[1], edges[2] + side.x, edges[3]];
    if (numbers) {
      pen.font = `600 ${letters}px system-ui, sans-serif`;
      moved[2] = moved[0] + pen.measureText(facts[i].text).width + letters * 0.7;
    }
    write(pen, { text: facts[i].text, edges: moved, letters }, PLATE, colourOf(facts[i].percent));
  });
  if (!side.faces.length) {
    const letters = 18 * dense;
    pen.font = `600 ${letters}px system-ui, sans-serif`;
    const text = "no face found";
    const wide = pen.measureText(text).width + letters * 0.7;
    write(pen, { text, edges: [side.x + 8 * dense, height - 2 * letters, side.x + 8 * dense + wide, height - 0.6 * letters], letters }, PLATE, BRIGHT);
  }
}

/** The whole photo, with the part that is shown, in the corner where fewest faces are; its place, or null. */
function inset(pen, side, strong, height, dense) {
  const { part, width, height: tall } = side;
  if (part[0] === 0 && part[1] === 0 && part[2] === width && part[3] === tall) return null;
  for (const share of INSET_SHARES) {
    const scale = Math.min(side.wide, height) * share / Math.max(width, tall);
    const [w, h] = [width * scale, tall * scale];
    const corners = [[0, height - h], [side.wide - w, height - h], [0, 0], [side.wide - w, 0]].map(([x, y]) => [side.x + x, y, side.x + x + w, y + h]);
    const covered = (c) => side.seen.reduce((sum, i) => sum + common(c, side.edges[i]), 0);
    const corner = corners.reduce((a, b) => (covered(b) < covered(a) ? b : a));
    const hides = side.seen.includes(strong) && common(corner, side.edges[strong]) > 0;
    if ((covered(corner) > 0 && share !== INSET_SHARES.at(-1)) || hides) continue;
    pen.drawImage(side.picture, corner[0], corner[1], w, h);
    const inner = (e, line) => frame(pen, [corner[0] + e[0] * scale, corner[1] + e[1] * scale, corner[0] + e[2] * scale, corner[1] + e[3] * scale], line, BRIGHT);
    if (side.faces.length <= MOST_FRAMED) side.faces.map(boxOf).forEach((b) => inner(b, dense));
    inner(part, 2 * dense);
    frame(pen, corner, 2 * dense, BRIGHT);
    return corner;
  }
  return null;
}
