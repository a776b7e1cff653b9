// Which points are meant: the one at a pixel, or those inside a line that was drawn around them.
import { eachOnScreen } from "./camera.js";

const REACH_PX = 12; // how far from a point the pointer may be
const UNDER_PX = 5; // at which distance the pointer is on a point
const STILL_PX = 5; // what moved less was a click

// A pointer on its way over the canvas. tool: "pan", "lasso" or "box".
export class Drag {
  constructor(tool, pointer, at) {
    Object.assign(this, { tool, pointer, from: at, last: at, way: 0 });
    this.line = tool === "pan" ? null : [at];
  }

  // Returns by how many pixels it moved.
  to(at) {
    const [dx, dy] = [at[0] - this.last[0], at[1] - this.last[1]];
    this.way += Math.abs(dx) + Math.abs(dy);
    this.last = at;
    if (this.tool === "lasso") this.line.push(at);
    if (this.tool === "box")
      this.line = [this.from, [at[0], this.from[1]], at, [this.from[0], at[1]]];
    return [dx, dy];
  }

  get isClick() {
    return this.way < STILL_PX;
  }
}

// The row of the point at a pixel, -1 where there is none.
export function nearest(points, view, [x, y]) {
  let best = -1;
  let least = REACH_PX ** 2;
  eachOnScreen(points, view, (row, px, py, far) => {
    let distance = (px - x) ** 2 + (py - y) ** 2;
    // Of those under the pointer, the one in front: before any that is only near.
    if (points.dims === 3 && distance < UNDER_PX ** 2) distance = far - 10;
    if (distance < least) {
      least = distance;
      best = row;
    }
  });
  return best;
}

// The rows of the points inside a line, which is closed from its end to its start.
export function inside(points, view, line) {
  const xs = line.map((corner) => corner[0]);
  const ys = line.map((corner) => corner[1]);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const found = [];
  eachOnScreen(points, view, (row, x, y) => {
    if (x < left || x > right || y < top || y > bottom) return;
    if (crossings(xs, ys, x, y) % 2) found.push(row);
  });
  return found;
}

// How often the line is met on the way from a pixel to the right: from inside, an odd number.
function crossings(xs, ys, x, y) {
  let count = 0;
  for (let a = 0, b = xs.length - 1; a < xs.length; b = a++) {
    if (ys[a] > y === ys[b] > y) continue;
    if (x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) count++;
  }
  return count;
}
