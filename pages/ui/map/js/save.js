// The map as it stands into a PNG: points on the page's background, with the question over them.
import { onScreen } from "./camera.js";

export function savePicture(map) {
  map.render(); // in this frame: what WebGL has drawn is gone after it
  const { canvas, root, view } = map;
  const flat = document.createElement("canvas");
  flat.width = canvas.width;
  flat.height = canvas.height;
  const pen = flat.getContext("2d");
  const style = getComputedStyle(root);
  pen.fillStyle = style.getPropertyValue("--st-background-color") || "#ffffff";
  pen.fillRect(0, 0, flat.width, flat.height);
  pen.drawImage(canvas, 0, 0);
  if (map.extra) {
    pen.scale(flat.width / view.width, flat.height / view.height);
    pen.fillStyle = pen.strokeStyle = style.getPropertyValue("--st-text-color") || style.color;
    writeQuestion(pen, onScreen(map.points.scale(map.extra.place), view), map.extra.label);
  }
  flat.toBlob((picture) => hand(picture, `${map.file}.png`));
}

function writeQuestion(pen, [x, y], label) {
  pen.lineWidth = 2.5;
  pen.stroke(new Path2D(`M${x - 8},${y}h16M${x},${y - 8}v16`));
  pen.font = "600 13px sans-serif";
  pen.fillText(label, x + 11, y + 4);
}

function hand(picture, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(picture);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // some browsers read it after the click
}
