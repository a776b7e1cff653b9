// What a person does, as verbs of the map: pointer, wheel, keys and the buttons of the toolbar.
import { savePicture } from "./save.js";
import { Drag } from "./select.js";

const BUTTON_ZOOM = 1.5;
const WHEEL_PX = 400; // of scrolling make the map e times as large
const ARROW_PX = 60;
// As on maps of streets: one looks to where the arrow points, so that the points go the other way.
const ARROWS = {
  ArrowLeft: [ARROW_PX, 0],
  ArrowRight: [-ARROW_PX, 0],
  ArrowUp: [0, ARROW_PX],
  ArrowDown: [0, -ARROW_PX],
};
const BUTTONS = {
  in: (map) => map.zoomBy(BUTTON_ZOOM),
  out: (map) => map.zoomBy(1 / BUTTON_ZOOM),
  fit: (map) => map.showAll(),
  none: (map) => map.choose([]),
  save: savePicture,
};
const KEYS = {
  "+": BUTTONS.in,
  "=": BUTTONS.in, // the same key as +, on many keyboards
  "-": BUTTONS.out,
  _: BUTTONS.out,
  0: BUTTONS.fit,
  Home: BUTTONS.fit,
};

// Until the signal aborts, which it does when the map is shown on another canvas.
export function listen(map, signal) {
  const heard = {
    wheel: onWheel,
    pointerdown: onPointerDown,
    pointermove: onPointerMove,
    pointerup: onPointerUp,
    // The system took the pointer away (a gesture, a call, a palm): nothing was meant by it.
    pointercancel: onPointerGone,
    lostpointercapture: onPointerGone,
    pointerleave: () => map.tip.hide(),
    keydown: onKey,
  };
  for (const [name, hear] of Object.entries(heard))
    map.canvas.addEventListener(name, (event) => hear(map, event), { signal, passive: false });
  const tools = map.root.querySelector(".tools");
  tools.addEventListener("click", (event) => onButton(map, event), { signal });
}

const pixelOf = (event) => [event.offsetX, event.offsetY];
const isOfDrag = (map, event) => map.drag?.pointer === event.pointerId;

function onWheel(map, event) {
  event.preventDefault();
  map.zoomAt(pixelOf(event), Math.exp(-event.deltaY / WHEEL_PX));
}

function onPointerDown(map, event) {
  if (map.drag && !isOfDrag(map, event)) return; // a second finger
  map.canvas.setPointerCapture(event.pointerId);
  map.tip.hide();
  map.drag = new Drag(event.shiftKey ? "lasso" : map.tool, event.pointerId, pixelOf(event));
}

function onPointerMove(map, event) {
  if (!map.drag) map.hover(pixelOf(event));
  else if (isOfDrag(map, event)) map.dragTo(pixelOf(event));
}

function onPointerUp(map, event) {
  if (isOfDrag(map, event)) map.drop();
}

// Capture is lost after every pointerup as well, when the drag has already ended.
function onPointerGone(map, event) {
  if (isOfDrag(map, event)) map.abandon();
}

function onKey(map, event) {
  // With these a key is the browser's: Ctrl and + zooms the whole page.
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (Object.hasOwn(ARROWS, event.key)) map.moveBy(ARROWS[event.key]);
  else if (Object.hasOwn(KEYS, event.key)) KEYS[event.key](map);
  else if (event.key === "Escape" && map.drag) map.abandon();
  else return;
  event.preventDefault(); // the page would scroll
}

function onButton(map, event) {
  const tool = event.target.closest("button")?.dataset.tool;
  if (!tool) return;
  if (Object.hasOwn(BUTTONS, tool)) BUTTONS[tool](map);
  else map.setTool(tool);
}
