// One map: holds its points, its look and its selection, and lets the other modules do the work.
// Three components share one by its name: "points" (places, sent again after a fit only), "paint"
// (colours, symbols, lines, marks) and "tip" (words on the point under the pointer). It outlives
// the canvas, so that zoom and selection are kept over reruns.
import { Camera } from "./camera.js";
import { MANY, packedSelection, Points, unpack } from "./data.js";
import { drawOver, Painter } from "./draw.js";
import { listen } from "./input.js";
import { inside, nearest } from "./select.js";
import { Tip } from "./tip.js";

// On the window: each component gets a copy of this script.
const MAPS = (window.__gapscopeMaps ??= new Map());
const WHILE_MOVING = 100_000; // points; ids are hashes, so that the first ones are a fair sample
const REST_MS = 250; // after which all are drawn again
const NO_WEBGL =
  "This browser shows no WebGL2, which the map is drawn with. The numbers below need none.";
const CONTEXT_LOST =
  "The browser took the map's graphics memory away. The map returns as soon as it gives it back.";

class GapscopeMap {
  constructor() {
    this.camera = new Camera();
    this.tool = "pan";
    this.chosen = new Set();
    this.marks = new Set();
    this.lines = [];
  }

  get n() {
    return this.points?.n ?? 0;
  }

  get version() {
    return this.points?.version;
  }

  get extent() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  get view() {
    return this.camera.view(this.extent);
  }

  // --- What Python sends ---

  load(sent) {
    this.file = sent.file;
    if (this.version === sent.version) return;
    if (this.points) this.camera.showAll();
    this.points = new Points(sent);
    this.camera.dims = this.points.dims;
    this.chosen.clear();
    this.tip?.forget();
    this.refresh();
  }

  colour(paint) {
    this.paint = paint;
    this.refresh();
  }

  tell(tip) {
    this.tip?.tell(tip);
  }

  // Hands everything to the painter, once places and paint are both there and of the same map.
  refresh() {
    const { paint, painter, points } = this;
    if (!painter || !points || paint?.group.length !== points.n) return;
    if (paint.select && paint.select !== this.selectSeen) {
      this.selectSeen = paint.select;
      this.chosen = new Set(paint.chosen);
    }
    this.marks = new Set(paint.marked);
    this.lines = paint.lines;
    this.extra = paint.extra; // the question, which is no item: where its nearest items are
    painter.fill("place", points.scaled);
    painter.fill("group", paint.group);
    painter.fill("symbol", paint.symbol);
    painter.fill("line", points.endsOf(paint.lines));
    painter.setPalette(paint.palette, paint.opacity);
    this.restate();
    this.draw();
  }

  restate() {
    const states = new Uint8Array(this.n);
    for (const row of this.chosen) states[row] = 1;
    for (const row of this.marks) states[row] = 2;
    this.painter.fill("state", states);
  }

  // --- The canvas ---

  mount(root, component) {
    this.component = component;
    if (this.root === root) return;
    this.root = root;
    this.leave();
    // Drawn anew after another page was shown: Python says what is selected.
    this.chosen.clear();
    this.selectSeen = undefined;
    this.canvas = root.querySelector("canvas");
    this.over = root.querySelector("svg");
    this.note = root.querySelector(".note");
    const gl = this.canvas.getContext("webgl2", { antialias: true, premultipliedAlpha: true });
    if (!gl) {
      this.note.textContent = NO_WEBGL;
      return;
    }
    this.painter = new Painter(this.canvas, gl);
    this.tip = new Tip(root.querySelector(".tip"), {
      find: (at) => nearest(this.points, this.view, at),
      ask: (row) => this.component.setTriggerValue("hovered", row),
    });
    this.listen();
    this.setTool(this.tool);
    this.refresh();
  }

  leave() {
    this.away?.abort();
    this.tip?.hide();
    this.painter?.free();
    this.painter = this.tip = this.drag = null;
  }

  listen() {
    this.away = new AbortController();
    const { signal } = this.away;
    const resized = new ResizeObserver(() => this.draw());
    resized.observe(this.root);
    signal.addEventListener("abort", () => resized.disconnect());
    listen(this, signal);
    this.canvas.addEventListener("webglcontextlost", (event) => this.lose(event), { signal });
    this.canvas.addEventListener("webglcontextrestored", () => this.restore(), { signal });
  }

  lose(event) {
    event.preventDefault(); // or the browser would never give it back
    this.note.textContent = CONTEXT_LOST;
  }

  restore() {
    this.note.textContent = "";
    this.painter.build();
    this.draw();
  }

  // --- Drawing ---

  // Soon, and once however often it is asked for.
  draw() {
    if (!this.painter) return;
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.render();
    });
  }

  render() {
    const { camera, n, painter, paint } = this;
    if (!painter || !n || paint?.group.length !== n || !this.extent.width) return;
    const view = this.view;
    const drawn = painter.render({
      view,
      zoom: camera.zoom,
      deep: camera.dims === 3,
      dimmed: this.chosen.size > 0,
      size: paint.size,
      count: this.isMoving && n > MANY ? WHILE_MOVING : n,
      ends: this.lines.length,
    });
    const { extra } = this;
    const question = extra && { place: this.points.scale(extra.place), label: extra.label };
    drawOver(this.over, view, question, this.drag?.line);
    if (drawn) this.root.dataset.drawn = `${n} ${this.version} ${camera.zoom.toFixed(3)}`;
  }

  // Draws what has changed its place, of very many points a part until it rests.
  keepMoving() {
    this.isMoving = true;
    clearTimeout(this.resting);
    this.draw();
    this.resting = setTimeout(() => {
      this.isMoving = false;
      if (this.n > MANY) this.draw();
    }, REST_MS);
  }

  // --- What a person does ---

  setTool(tool) {
    this.tool = tool;
    this.canvas.style.cursor = tool === "pan" ? "grab" : "crosshair";
    for (const button of this.root.querySelectorAll("[aria-pressed]"))
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }

  zoomAt(at, factor) {
    this.camera.zoomAt(at, factor, this.extent);
    this.keepMoving();
  }

  zoomBy(factor) {
    const { width, height } = this.extent;
    this.zoomAt([width / 2, height / 2], factor);
  }

  moveBy(way) {
    this.tip.hide(); // its point moves away under it
    this.camera.moveBy(way, this.extent);
    this.keepMoving();
  }

  showAll() {
    this.camera.showAll();
    this.draw();
  }

  hover(at) {
    this.tip.follow(at, this.n > MANY);
  }

  dragTo(at) {
    const way = this.drag.to(at);
    if (this.drag.tool === "pan") this.camera.moveBy(way, this.extent);
    this.keepMoving();
  }

  // The pointer was lifted: a click opens a point, a lasso or a box selects.
  drop() {
    const { drag, points, view } = this;
    this.drag = null;
    if (drag.isClick) {
      const row = nearest(points, view, drag.from);
      if (row >= 0) this.component.setTriggerValue("picked", row);
    } else if (drag.line) {
      this.choose(inside(points, view, drag.line));
    }
    this.draw();
  }

  // The drag ends with nothing selected and nothing opened; what was moved stays where it is.
  abandon() {
    this.drag = null;
    this.draw();
  }

  choose(rows) {
    this.chosen = new Set(rows);
    this.restate();
    this.draw();
    this.component.setStateValue("selection", packedSelection(this.points, rows));
  }
}

export default function (component) {
  const { data, parentElement } = component;
  const sent = unpack(new Uint8Array(data));
  if (!MAPS.has(sent.map)) MAPS.set(sent.map, new GapscopeMap());
  const map = MAPS.get(sent.map);
  if (sent.kind === "points") {
    map.load(sent);
    map.mount(parentElement.querySelector(".gs-canvas"), component);
  } else if (sent.kind === "paint") {
    map.colour(sent);
  } else {
    map.tell(sent.tip);
  }
}
