// From where the map is seen: zoom, pan and turn, and the way from scaled places to pixels.

const LEAST_ZOOM = 0.5;
const MOST_ZOOM = 400;
const BORDER = 0.94; // of the shorter side is filled at zoom 1, so that no point is cut
const PX_PER_RADIAN = 150;
const UNTURNED = [1, 0, 0, 0, 1, 0, 0, 0, 1];

export class Camera {
  constructor() {
    this.angles = [0.5, 0.6]; // of a map in three dimensions; kept when everything is shown again
    this.dims = 2;
    this.showAll();
  }

  showAll() {
    this.zoom = 1;
    this.pan = [0, 0];
  }

  // What a dragged pointer does: a flat map moves along, one in three dimensions turns.
  moveBy([dx, dy], { width, height }) {
    if (this.dims === 3) {
      this.angles = [this.angles[0] + dx / PX_PER_RADIAN, this.angles[1] + dy / PX_PER_RADIAN];
    } else {
      this.pan = [this.pan[0] + (dx / width) * 2, this.pan[1] - (dy / height) * 2];
    }
  }

  // What lies under this pixel stays under it.
  zoomAt([x, y], factor, { width, height }) {
    const wanted = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, this.zoom * factor));
    const change = wanted / this.zoom;
    const fixed = [(x / width) * 2 - 1, 1 - (y / height) * 2];
    this.pan = fixed.map((place, axis) => place - (place - this.pan[axis]) * change);
    this.zoom *= change;
  }

  // A matrix of three columns, as WebGL reads it.
  turn() {
    if (this.dims < 3) return UNTURNED;
    const [ca, sa] = [Math.cos(this.angles[0]), Math.sin(this.angles[0])];
    const [cb, sb] = [Math.cos(this.angles[1]), Math.sin(this.angles[1])];
    return [ca, sa * sb, sa * cb, 0, cb, -sb, -sa, ca * sb, ca * cb];
  }

  view({ width, height }) {
    const side = BORDER * Math.min(width, height) * this.zoom;
    const scale = [side / width, side / height];
    return { width, height, scale, shift: this.pan, turn: this.turn() };
  }
}

// Visits every point with its pixel and its nearness. Written out, with no array made per point,
// because it runs over a million of them while a person waits.
export function eachOnScreen({ n, scaled }, { width, height, scale, shift, turn }, visit) {
  const [ax, ay, az, bx, by, bz, cx, cy, cz] = turn;
  const [scaleX, scaleY] = scale;
  const [shiftX, shiftY] = shift;
  for (let row = 0, at = 0; row < n; row++, at += 3) {
    const x = scaled[at];
    const y = scaled[at + 1];
    const z = scaled[at + 2];
    const right = (ax * x + bx * y + cx * z) * scaleX + shiftX;
    const up = (ay * x + by * y + cy * z) * scaleY + shiftY;
    visit(row, ((1 + right) * width) / 2, ((1 - up) * height) / 2, az * x + bz * y + cz * z);
  }
}

export function onScreen(place, view) {
  let pixel;
  eachOnScreen({ n: 1, scaled: place }, view, (row, x, y) => (pixel = [x, y]));
  return pixel;
}
