// The map's canvas: WebGL2 points that keep zoom and selection over reruns; Python sends packed bytes.
// Three components share one canvas by its name: "points" (places, sent again after a fit only), "paint"
// (colours, symbols, lines, marks) and "tip" (of the point that the pointer rests on). Text of strangers is set by textContent only.
const MAPS = (window.__gapscopeMaps ??= new Map());
const MANY = 200000, WHILE_MOVING = 100000;  // of many points a part is drawn while the map moves: ids are hashes, so any part is a sample

function unpack(bytes) {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
  let at = 4 + size;
  const kinds = { f32: Float32Array, u8: Uint8Array, u16: Uint16Array, i32: Int32Array };
  for (const [name, kind, count] of head.arrays) {
    const length = count * kinds[kind].BYTES_PER_ELEMENT;
    head[name] = new kinds[kind](bytes.slice(at, at + length).buffer);
    at += length;
  }
  return head;
}

const VERTEX = `#version 300 es
in vec3 place; in float group; in float symbol; in float state;
uniform mat3 turn; uniform vec2 scale; uniform vec2 shift; uniform float size; uniform sampler2D palette;
uniform float dim; uniform float deep;  // deep: 1 in three dimensions, where what is far is smaller and paler
out vec4 ink; flat out float shape;
void main() {
  vec3 p = turn * place;
  gl_Position = vec4(p.xy * scale + shift, p.z * 0.2, 1.0);
  gl_PointSize = size * (state > 1.5 ? 2.4 : state > 0.5 ? 1.35 : 1.0) * (1.0 - 0.25 * deep * p.z);
  ink = texelFetch(palette, ivec2(int(group), 0), 0);
  if (state < 0.5 && dim > 0.5) ink = vec4(mix(ink.rgb, vec3(0.5), 0.75), ink.a * 0.35);
  ink.rgb = mix(ink.rgb, vec3(0.6), deep * clamp(0.25 + 0.3 * p.z, 0.0, 0.6));
  shape = symbol;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 ink; flat in float shape; out vec4 colour;
void main() {
  vec2 p = gl_PointCoord * 2.0 - 1.0;
  float d = shape < 0.5 ? length(p) : shape < 1.5 ? max(abs(p.x), abs(p.y)) * 1.15
    : shape < 2.5 ? max(abs(p.x) * 1.2 + p.y * 0.6, -p.y) + 0.1 : abs(p.x) + abs(p.y);
  if (d > 1.0) discard;
  colour = vec4(ink.rgb * ink.a, ink.a);
}`;
const LINE = `#version 300 es
in vec3 place; uniform mat3 turn; uniform vec2 scale; uniform vec2 shift;
void main() { vec3 p = turn * place; gl_Position = vec4(p.xy * scale + shift, p.z * 0.2, 1.0); }`;
const LINE_INK = `#version 300 es
precision mediump float; uniform vec4 ink; out vec4 colour; void main() { colour = ink; }`;

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  return made;
}

class GapscopeMap {
  constructor() {
    this.n = 0; this.zoom = 1; this.pan = [0, 0]; this.angles = [0.5, 0.6]; this.tool = "pan";
    this.chosen = new Set(); this.marks = new Map(); this.lines = null; this.frames = 0;
  }

  mount(root, component) {
    this.component = component;
    if (this.root === root) return;
    this.root = root;
    // Drawn anew after another page was shown: Python says what is selected, and the old context is freed.
    this.chosen.clear(); this.selectSeen = undefined; this.texture = null;
    this.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.canvas = root.querySelector("canvas"); this.over = root.querySelector("svg");
    this.tip = root.querySelector(".tip"); this.note = root.querySelector(".note");
    const gl = this.gl = this.canvas.getContext("webgl2", { antialias: true, premultipliedAlpha: true });
    if (!gl) { this.note.textContent = "This browser shows no WebGL2, which the map is drawn with. The numbers below need none."; return; }
    this.points = program(gl, VERTEX, FRAGMENT); this.lineProgram = program(gl, LINE, LINE_INK);
    this.buffers = {}; this.listen();
    new ResizeObserver(() => this.draw()).observe(root);
    if (this.n) this.upload();
    if (this.paint) this.colour(this.paint);
  }

  load(data) {
    if (this.version === data.version) return;
    const other = this.version !== undefined;
    this.version = data.version; this.n = data.n; this.dims = data.dims;
    this.places = Float32Array.from(data.places, (value, at) => data.low[at % data.dims] + data.step * value);
    this.chosen.clear();
    if (other) { this.zoom = 1; this.pan = [0, 0]; }
    this.upload();
  }

  upload() {
    const gl = this.gl;
    if (!gl) return;
    const low = [1e9, 1e9, 1e9], high = [-1e9, -1e9, -1e9];
    for (let i = 0; i < this.n; i++) for (let a = 0; a < this.dims; a++) {
      const value = this.places[i * this.dims + a];
      if (value < low[a]) low[a] = value;
      if (value > high[a]) high[a] = value;
    }
    const axes = [0, 1, 2].slice(0, this.dims);
    this.middle = low.map((value, a) => (value + high[a]) / 2);
    this.half = Math.max(...axes.map((a) => (high[a] - low[a]) / 2), 1e-6);
    this.three = new Float32Array(this.n * 3);
    for (let i = 0; i < this.n; i++) this.scaled(this.places, i * this.dims, 3 * i, this.three);
    this.fill("place", this.three);
    this.state = new Uint8Array(this.n); this.restate();
    this.draw();
  }

  scaled(from, at, to, into) {
    for (let a = 0; a < this.dims; a++) into[to + a] = (from[at + a] - this.middle[a]) / this.half;
    return into;
  }

  fill(name, values) {
    const gl = this.gl;
    this.buffers[name] ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
  }

  colour(paint) {
    this.paint = paint;
    const gl = this.gl;
    if (!gl || paint.group.length !== this.n) return;
    this.fill("group", paint.group); this.fill("symbol", paint.symbol);
    const texels = new Uint8Array(256 * 4);
    paint.palette.forEach((hex, i) => {
      for (let c = 0; c < 3; c++) texels[4 * i + c] = parseInt(hex.slice(1 + 2 * c, 3 + 2 * c), 16);
      texels[4 * i + 3] = Math.round(255 * paint.opacity);
    });
    this.texture ??= gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, texels);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    if (paint.select && paint.select !== this.selectSeen) {
      this.selectSeen = paint.select; this.chosen = new Set(paint.chosen);
    }
    this.marks = new Set(paint.marked); this.lines = paint.lines; this.extra = paint.extra;
    this.restate(); this.draw();
  }

  restate() {
    if (!this.state) return;
    this.state.fill(0);
    for (const i of this.chosen) this.state[i] = 1;
    for (const i of this.marks) this.state[i] = 2;
    this.fill("state", this.state);
  }

  turn() {
    if (this.dims < 3) return [1, 0, 0, 0, 1, 0, 0, 0, 1];
    const [a, b] = this.angles, [ca, sa, cb, sb] = [Math.cos(a), Math.sin(a), Math.cos(b), Math.sin(b)];
    return [ca, sa * sb, sa * cb, 0, cb, -sb, -sa, ca * sb, ca * cb];
  }

  view() {
    const w = this.canvas.clientWidth, h = this.canvas.clientHeight, fit = 0.94 * Math.min(w, h) * this.zoom;
    return { w, h, scale: [fit / w, fit / h], shift: this.pan, t: this.turn() };
  }

  onScreen(i, v, p = this.three) {
    const x = p[3 * i], y = p[3 * i + 1], z = p[3 * i + 2], t = v.t;
    const gx = (t[0] * x + t[3] * y + t[6] * z) * v.scale[0] + v.shift[0];
    const gy = (t[1] * x + t[4] * y + t[7] * z) * v.scale[1] + v.shift[1];
    return [(gx + 1) / 2 * v.w, (1 - gy) / 2 * v.h];
  }

  draw() {
    if (this.pending || !this.gl) return;
    this.pending = requestAnimationFrame(() => { this.pending = null; this.render(); });
  }

  render() {
    const gl = this.gl, c = this.canvas, ratio = Math.min(2, window.devicePixelRatio || 1);
    if (!this.n || !this.paint || this.paint.group.length !== this.n || !c.clientWidth) return;
    c.width = c.clientWidth * ratio; c.height = c.clientHeight * ratio;
    gl.viewport(0, 0, c.width, c.height); gl.clearColor(0, 0, 0, 0); gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND); gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    if (this.dims === 3) { gl.enable(gl.DEPTH_TEST); gl.depthFunc(gl.LEQUAL); gl.clear(gl.DEPTH_BUFFER_BIT); } else gl.disable(gl.DEPTH_TEST);
    const v = this.view();
    if (this.lines?.length) this.renderLines(v);
    gl.useProgram(this.points); this.uniforms(this.points, v);
    gl.uniform1f(gl.getUniformLocation(this.points, "size"), this.paint.size * ratio * Math.min(3, Math.max(1, Math.sqrt(this.zoom))));
    gl.uniform1f(gl.getUniformLocation(this.points, "dim"), this.chosen.size ? 1 : 0);
    gl.uniform1f(gl.getUniformLocation(this.points, "deep"), this.dims === 3 ? 1 : 0);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const [name, width, kind] of [["place", 3, gl.FLOAT], ["group", 1, gl.UNSIGNED_BYTE], ["symbol", 1, gl.UNSIGNED_BYTE], ["state", 1, gl.UNSIGNED_BYTE]]) {
      const at = gl.getAttribLocation(this.points, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.enableVertexAttribArray(at); gl.vertexAttribPointer(at, width, kind, false, 0, 0);
    }
    gl.drawArrays(gl.POINTS, 0, this.moving && this.n > MANY ? WHILE_MOVING : this.n);
    this.overlay(v); this.frames++;
    this.root.dataset.drawn = `${this.n} ${this.version} ${this.zoom.toFixed(3)}`;
  }

  uniforms(made, v) {
    const gl = this.gl, at = (name) => gl.getUniformLocation(made, name);
    gl.uniformMatrix3fv(at("turn"), false, v.t);
    gl.uniform2fv(at("scale"), v.scale); gl.uniform2fv(at("shift"), v.shift);
  }

  renderLines(v) {
    const gl = this.gl, ends = new Float32Array(this.lines.length * 3);
    this.lines.forEach((i, at) => { for (let a = 0; a < 3; a++) ends[3 * at + a] = this.three[3 * i + a]; });
    this.fill("line", ends);
    gl.useProgram(this.lineProgram); this.uniforms(this.lineProgram, v);
    const ink = this.lines.length > 2000 ? 0.12 : 0.3;
    gl.uniform4f(gl.getUniformLocation(this.lineProgram, "ink"), 0.5 * ink, 0.5 * ink, 0.5 * ink, ink);
    const at = gl.getAttribLocation(this.lineProgram, "place");
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers.line);
    gl.enableVertexAttribArray(at); gl.vertexAttribPointer(at, 3, gl.FLOAT, false, 0, 0);
    gl.drawArrays(gl.LINES, 0, this.lines.length);
  }

  overlay(v) {
    this.over.setAttribute("viewBox", `0 0 ${v.w} ${v.h}`); this.over.replaceChildren();
    const add = (tag, attributes, text) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      if (text) made.textContent = text;
      this.over.append(made);
    };
    if (this.extra) {  // the question, which is no item: where its nearest items are
      const [x, y] = this.onScreen(0, v, this.scaled(this.extra.place, 0, 0, [0, 0, 0]));
      add("path", { d: `M${x - 8},${y}h16M${x},${y - 8}v16`, class: "question" });
      add("text", { x: x + 11, y: y + 4, class: "question" }, this.extra.label);
    }
    if (this.drag?.line?.length > 1)
      add("polygon", { points: this.drag.line.map((p) => p.join(",")).join(" "), class: "lasso" });
  }

  listen() {
    const c = this.canvas, at = (e) => [e.offsetX, e.offsetY];
    c.addEventListener("wheel", (e) => { e.preventDefault(); this.zoomAt(at(e), Math.exp(-e.deltaY / 400)); }, { passive: false });
    c.addEventListener("pointerdown", (e) => {
      c.setPointerCapture(e.pointerId); this.hide();
      const tool = e.shiftKey ? "lasso" : this.tool;
      this.drag = { tool, from: at(e), last: at(e), moved: 0, line: tool === "pan" ? null : [at(e)] };
    });
    c.addEventListener("pointermove", (e) => this.drag ? this.move(at(e)) : this.hover(at(e)));
    c.addEventListener("pointerup", () => this.drop());
    c.addEventListener("pointerleave", () => this.hide());
    this.root.querySelector(".tools").addEventListener("click", (e) => {
      const tool = e.target.closest("button")?.dataset.tool;
      if (!tool) return;
      if (tool === "fit") { this.zoom = 1; this.pan = [0, 0]; this.draw(); return; }
      if (tool === "none") { this.choose([]); return; }
      if (tool === "in" || tool === "out") { this.zoomAt([c.clientWidth / 2, c.clientHeight / 2], tool === "in" ? 1.5 : 1 / 1.5); return; }
      this.setTool(tool);
    });
    this.setTool(this.tool);
  }

  setTool(tool) {
    this.tool = tool; this.canvas.style.cursor = tool === "pan" ? "grab" : "crosshair";
    for (const b of this.root.querySelectorAll(".tools button")) b.setAttribute("aria-pressed", String(b.dataset.tool === tool));
  }

  zoomAt([x, y], factor) {
    const { w, h } = this.view(), gx = x / w * 2 - 1, gy = 1 - y / h * 2;
    factor = Math.min(400, Math.max(0.5, this.zoom * factor)) / this.zoom;
    this.pan = [gx - (gx - this.pan[0]) * factor, gy - (gy - this.pan[1]) * factor];
    this.zoom *= factor; this.keepMoving();
  }

  keepMoving() {
    this.moving = true; clearTimeout(this.still); this.draw();
    this.still = setTimeout(() => { this.moving = false; if (this.n > MANY) this.draw(); }, 250);
  }

  move(p) {
    const d = this.drag, dx = p[0] - d.last[0], dy = p[1] - d.last[1], { w, h } = this.view();
    d.moved += Math.abs(dx) + Math.abs(dy); d.last = p;
    if (d.tool === "pan" && this.dims === 3) this.angles = [this.angles[0] + dx / 150, this.angles[1] + dy / 150];
    else if (d.tool === "pan") this.pan = [this.pan[0] + dx / w * 2, this.pan[1] - dy / h * 2];
    else if (d.tool === "box") d.line = [d.from, [p[0], d.from[1]], p, [d.from[0], p[1]]];
    else d.line.push(p);
    this.keepMoving();
  }

  drop() {
    const d = this.drag;
    this.drag = null;
    if (!d) return;
    if (d.moved < 5) { const i = this.nearest(d.from); if (i >= 0) this.component.setTriggerValue("picked", i); }
    else if (d.line) this.choose(this.inside(d.line));
    this.draw();
  }

  eachOnScreen(visit) {
    const v = this.view(), t = v.t, p = this.three, [sx, sy] = v.scale, [ox, oy] = v.shift, w = v.w / 2, h = v.h / 2;
    for (let i = 0, at = 0; i < this.n; i++, at += 3) {
      const x = p[at], y = p[at + 1], z = p[at + 2];
      visit(i, ((t[0] * x + t[3] * y + t[6] * z) * sx + ox + 1) * w, (1 - (t[1] * x + t[4] * y + t[7] * z) * sy - oy) * h, t[2] * x + t[5] * y + t[8] * z);
    }
  }

  inside(line) {
    const found = [], ends = line.length, [lx, ly] = [0, 1].map((a) => line.map((point) => point[a]));
    const [left, right, top, bottom] = [Math.min(...lx), Math.max(...lx), Math.min(...ly), Math.max(...ly)];
    this.eachOnScreen((i, x, y) => {
      if (x < left || x > right || y < top || y > bottom) return;
      let within = false;
      for (let a = 0, b = ends - 1; a < ends; b = a++)
        if (ly[a] > y !== ly[b] > y && x < (lx[b] - lx[a]) * (y - ly[a]) / (ly[b] - ly[a]) + lx[a]) within = !within;
      if (within) found.push(i);
    });
    return found;
  }

  choose(rows) {
    this.chosen = new Set(rows); this.restate(); this.draw();
    const bits = new Uint8Array(Math.ceil(this.n / 8));
    for (const i of rows) bits[i >> 3] |= 1 << (i & 7);
    let text = "";
    for (let at = 0; at < bits.length; at += 8192) text += String.fromCharCode.apply(null, bits.subarray(at, at + 8192));
    this.component.setStateValue("selection", rows.length ? `${this.version}:${btoa(text)}` : "");
  }

  nearest([x, y]) {
    let best = -1, least = 144;
    this.eachOnScreen((i, px, py, far) => {
      let d = (px - x) ** 2 + (py - y) ** 2;
      if (this.dims === 3 && d < 25) d = far - 10;  // of those under the pointer, the one in front
      if (d < least) { least = d; best = i; }
    });
    return best;
  }

  hover(p) {
    clearTimeout(this.resting);
    this.pointer = p; this.tip.style.display = "none";
    this.resting = setTimeout(() => {  // asked for when the pointer rests: a caption is not sent for every point
      const i = this.nearest(p);
      if (i < 0) return;
      this.asked = i;
      if (this.told?.row === i) this.tell(this.told); else this.component.setTriggerValue("hovered", i);
    }, this.n > MANY ? 250 : 90);
  }

  hide() { clearTimeout(this.resting); this.asked = null; if (this.tip) this.tip.style.display = "none"; }

  tell(tip) {
    if (!tip) return;
    this.told = tip;
    if (tip.row !== this.asked || !this.pointer) return;
    const [picture, name, words] = ["img", "b", "span"].map((tag) => this.tip.querySelector(tag));
    picture.style.display = tip.picture ? "block" : "none";
    if (tip.picture) picture.src = tip.picture;
    name.textContent = tip.name; words.textContent = tip.words;
    const { w, h } = this.view(), [x, y] = this.pointer;
    this.tip.style.display = "block";
    this.tip.style.left = `${Math.min(x + 14, w - this.tip.offsetWidth - 4)}px`;
    this.tip.style.top = `${Math.min(y + 14, h - this.tip.offsetHeight - 4)}px`;
  }
}

export default function (component) {
  const { data, parentElement } = component, sent = unpack(new Uint8Array(data));
  if (!MAPS.has(sent.map)) MAPS.set(sent.map, new GapscopeMap());
  const map = MAPS.get(sent.map);
  if (sent.kind === "points") { map.load(sent); map.mount(parentElement.querySelector(".gs-canvas"), component); }
  else if (sent.kind === "paint") map.colour(sent);
  else map.tell(sent.tip);
}
