// Draws points and lines by WebGL2, and as SVG over them the question and the lasso.
// A painter keeps what it was given, for the browser may take the graphics memory away for a while.
import { onScreen } from "./camera.js";
import { LINE_FRAGMENT, LINE_VERTEX, POINT_FRAGMENT, POINT_VERTEX } from "./shaders.js";

const PALETTE_SIZE = 256; // MOST_GROUPS of component.py
const MOST_PIXEL_RATIO = 2; // finer pixels are not seen, and four times as many to fill
const MOST_ENLARGED = 3; // points grow with the zoom, slower than it, and no further
const MANY_ENDS = 2000; // ends of lines from which on each is fainter
const SVG = "http://www.w3.org/2000/svg";

// One program of the card. Its locations are looked up here, once: a lookup makes the browser wait
// for the card, and would do so several times in every frame.
class Program {
  constructor(gl, vertex, fragment) {
    this.made = gl.createProgram();
    gl.attachShader(this.made, compiled(gl, gl.VERTEX_SHADER, vertex));
    gl.attachShader(this.made, compiled(gl, gl.FRAGMENT_SHADER, fragment));
    gl.linkProgram(this.made);
    this.attributes = {};
    this.uniforms = {};
    for (let at = 0; at < gl.getProgramParameter(this.made, gl.ACTIVE_ATTRIBUTES); at++) {
      const { name } = gl.getActiveAttrib(this.made, at);
      this.attributes[name] = gl.getAttribLocation(this.made, name);
    }
    for (let at = 0; at < gl.getProgramParameter(this.made, gl.ACTIVE_UNIFORMS); at++) {
      const { name } = gl.getActiveUniform(this.made, at);
      this.uniforms[name] = gl.getUniformLocation(this.made, name);
    }
  }
}

function compiled(gl, kind, source) {
  const shader = gl.createShader(kind);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost())
    throw new Error(gl.getShaderInfoLog(shader));
  return shader;
}

export class Painter {
  constructor(canvas, gl) {
    this.canvas = canvas;
    this.gl = gl;
    this.kept = new Map(); // the values of each buffer by its name
    this.texels = null;
    this.frames = 0;
    this.build();
  }

  // All that lies in the memory of the card; called again when a lost context comes back.
  build() {
    const gl = this.gl;
    if (gl.isContextLost()) return;
    this.pointProgram = new Program(gl, POINT_VERTEX, POINT_FRAGMENT);
    this.lineProgram = new Program(gl, LINE_VERTEX, LINE_FRAGMENT);
    this.buffers = {};
    for (const name of this.kept.keys()) this.upload(name);
    this.texture = gl.createTexture();
    if (this.texels) this.fillTexture();
  }

  fill(name, values) {
    if (this.kept.get(name) === values) return; // places, at every new colour
    this.kept.set(name, values);
    if (!this.gl.isContextLost()) this.upload(name);
  }

  upload(name) {
    const gl = this.gl;
    this.buffers[name] ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, this.kept.get(name), gl.DYNAMIC_DRAW);
  }

  // hexes: "#rrggbb" of each group.
  setPalette(hexes, opacity) {
    this.texels = new Uint8Array(4 * PALETTE_SIZE);
    hexes.forEach((hex, group) => {
      const colour = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
      this.texels.set([...colour, Math.round(255 * opacity)], 4 * group);
    });
    if (!this.gl.isContextLost()) this.fillTexture();
  }

  fillTexture() {
    const gl = this.gl;
    const size = [PALETTE_SIZE, 1, 0];
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, ...size, gl.RGBA, gl.UNSIGNED_BYTE, this.texels);
    // A colour is looked up by its number, and must not be mixed with its neighbours'.
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  }

  // look: view, zoom, deep, dimmed, size of a point in pixels, count of points, ends of lines.
  // Returns whether anything was drawn: there is nothing to draw on while the context is lost.
  render(look) {
    if (this.gl.isContextLost()) return false;
    const ratio = Math.min(MOST_PIXEL_RATIO, window.devicePixelRatio || 1);
    this.clear(look, ratio);
    if (look.ends) this.renderLines(look);
    this.renderPoints(look, ratio);
    this.frames++;
    return true;
  }

  clear({ view, deep }, ratio) {
    const { canvas, gl } = this;
    canvas.width = view.width * ratio;
    canvas.height = view.height * ratio;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.depthFunc(gl.LEQUAL);
    if (deep) gl.enable(gl.DEPTH_TEST);
    else gl.disable(gl.DEPTH_TEST);
  }

  renderPoints({ view, zoom, deep, dimmed, size, count }, ratio) {
    const gl = this.gl;
    const { uniforms } = this.pointProgram;
    const enlarged = Math.min(MOST_ENLARGED, Math.max(1, Math.sqrt(zoom)));
    this.use(this.pointProgram, view);
    gl.uniform1f(uniforms.size, size * ratio * enlarged);
    gl.uniform1f(uniforms.dim, dimmed ? 1 : 0);
    gl.uniform1f(uniforms.deep, deep ? 1 : 0);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    this.read(this.pointProgram, "place", "place", 3, gl.FLOAT);
    for (const name of ["group", "symbol", "state"])
      this.read(this.pointProgram, name, name, 1, gl.UNSIGNED_BYTE);
    gl.drawArrays(gl.POINTS, 0, count);
  }

  renderLines({ view, ends }) {
    const gl = this.gl;
    const ink = ends > MANY_ENDS ? 0.12 : 0.3;
    this.use(this.lineProgram, view);
    gl.uniform4f(this.lineProgram.uniforms.ink, 0.5 * ink, 0.5 * ink, 0.5 * ink, ink);
    this.read(this.lineProgram, "place", "line", 3, gl.FLOAT);
    gl.drawArrays(gl.LINES, 0, ends);
  }

  use({ made, uniforms }, { turn, scale, shift }) {
    const gl = this.gl;
    gl.useProgram(made);
    gl.uniformMatrix3fv(uniforms.turn, false, turn);
    gl.uniform2fv(uniforms.scale, scale);
    gl.uniform2fv(uniforms.shift, shift);
  }

  // Lets an attribute of a program be read from a buffer.
  read({ attributes }, attribute, buffer, width, kind) {
    const gl = this.gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[buffer]);
    gl.enableVertexAttribArray(attributes[attribute]);
    gl.vertexAttribPointer(attributes[attribute], width, kind, false, 0, 0);
  }

  // Gives the graphics memory back at once: a browser has contexts for some 16 canvases only.
  free() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

// question: {"place": scaled, "label"} or nothing; line: the corners of a lasso, or nothing.
export function drawOver(svg, view, question, line) {
  svg.setAttribute("viewBox", `0 0 ${view.width} ${view.height}`);
  svg.replaceChildren();
  if (question) {
    const [x, y] = onScreen(question.place, view);
    svg.append(shape("path", { d: `M${x - 8},${y}h16M${x},${y - 8}v16`, class: "question" }));
    const label = shape("text", { x: x + 11, y: y + 4, class: "question" });
    label.textContent = question.label; // a stranger's words: never as HTML
    svg.append(label);
  }
  if (line?.length > 1) {
    const points = line.map((corner) => corner.join(",")).join(" ");
    svg.append(shape("polygon", { points, class: "lasso" }));
  }
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
