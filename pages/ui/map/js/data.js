// What Python sends, unpacked, and what goes back to it. Only numbers: no canvas, no document.

// Of more points than these, places come in 16 bits and only a part is drawn while the map moves.
export const MANY = 200_000;

const KINDS = { f32: Float32Array, u8: Uint8Array, u16: Uint16Array, i32: Int32Array };

// The bytes of pack() in component.py: the length of a JSON head, the head, its arrays in order.
export function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  let at = 4 + length;
  for (const [name, kind, count] of head.arrays) {
    const size = count * KINDS[kind].BYTES_PER_ELEMENT;
    // A copy, because a typed array must begin at a multiple of its element's size.
    head[name] = new KINDS[kind](bytes.slice(at, at + size).buffer);
    at += size;
  }
  return head;
}

// The places of a map, scaled so that the longest axis of what there is goes from -1 to 1.
export class Points {
  constructor({ version, n, dims, places, low, step }) {
    Object.assign(this, { version, n, dims });
    const exact = new Float32Array(n * dims);
    for (let row = 0, at = 0; row < n; row++)
      for (let axis = 0; axis < dims; axis++, at++) exact[at] = low[axis] + step * places[at];
    this.measure(exact);
    this.scaled = new Float32Array(3 * n);
    for (let row = 0; row < n; row++) this.scaleInto(this.scaled, 3 * row, exact, dims * row);
  }

  measure(places) {
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (let at = 0; at < places.length; )
      for (let axis = 0; axis < this.dims; axis++, at++) {
        if (places[at] < low[axis]) low[axis] = places[at];
        if (places[at] > high[axis]) high[axis] = places[at];
      }
    const axes = [0, 1, 2].slice(0, this.dims);
    this.middle = axes.map((axis) => (low[axis] + high[axis]) / 2);
    // Points that all lie in one place would be divided by zero.
    this.half = Math.max(...axes.map((axis) => (high[axis] - low[axis]) / 2), 1e-6);
  }

  scaleInto(into, to, places, from) {
    for (let axis = 0; axis < this.dims; axis++)
      into[to + axis] = (places[from + axis] - this.middle[axis]) / this.half;
    return into;
  }

  // Where a place that is no point of the map lies among them: a question's.
  scale(place) {
    return this.scaleInto([0, 0, 0], 0, place, 0);
  }

  // Both ends of each line, x, y, z after x, y, z.
  endsOf(rows) {
    const ends = new Float32Array(3 * rows.length);
    rows.forEach((row, at) => ends.set(this.scaled.subarray(3 * row, 3 * row + 3), 3 * at));
    return ends;
  }
}

// The rows of a selection as one bit each, which selected_rows() in component.py reads.
export function packedSelection({ version, n }, rows) {
  if (!rows.length) return "";
  const bits = new Uint8Array(Math.ceil(n / 8));
  for (const row of rows) bits[row >> 3] |= 1 << (row & 7);
  let text = "";
  // In parts: a call takes only so many arguments.
  for (let at = 0; at < bits.length; at += 8192)
    text += String.fromCharCode.apply(null, bits.subarray(at, at + 8192));
  return `${version}:${btoa(text)}`;
}
