// The card beside the pointer: asked for when it rests on a point, shown when Python answers.

const TIP_MS = 90; // a caption is not sent for every point that the pointer passes
const TIP_MS_OF_MANY = 250; // to find the point takes longer, too
const ASIDE_PX = 14;
const EDGE_PX = 4;

export class Tip {
  // find(at) gives the row at a pixel or -1; ask(row) asks Python for its words.
  constructor(element, { find, ask }) {
    Object.assign(this, { element, find, ask });
    this.asked = null;
    this.told = null;
  }

  // The pointer came to a pixel; isMany: of a map of very many points.
  follow(at, isMany) {
    this.hide();
    this.at = at;
    this.resting = setTimeout(() => this.rest(), isMany ? TIP_MS_OF_MANY : TIP_MS);
  }

  rest() {
    const row = this.find(this.at);
    if (row < 0) return;
    this.asked = row;
    if (this.told?.row === row) this.tell(this.told);
    else this.ask(row);
  }

  hide() {
    clearTimeout(this.resting);
    this.asked = null;
    this.element.style.display = "none";
  }

  // The rows are those of another map from now on.
  forget() {
    this.hide();
    this.told = null;
  }

  // tip: {"row", "picture", "name", "words"}; shown if the pointer is still where it was asked for.
  tell(tip) {
    if (!tip) return;
    this.told = tip;
    if (tip.row !== this.asked) return;
    const [picture, name, words] = ["img", "b", "span"].map((tag) =>
      this.element.querySelector(tag),
    );
    picture.style.display = tip.picture ? "block" : "none";
    if (tip.picture) picture.src = tip.picture;
    name.textContent = tip.name; // words of strangers: never as HTML
    words.textContent = tip.words;
    this.show();
  }

  // Beside the pointer, and inside the map.
  show() {
    const { element } = this;
    const { clientWidth, clientHeight } = element.parentElement;
    element.style.display = "block";
    const left = Math.min(this.at[0] + ASIDE_PX, clientWidth - element.offsetWidth - EDGE_PX);
    const top = Math.min(this.at[1] + ASIDE_PX, clientHeight - element.offsetHeight - EDGE_PX);
    element.style.left = `${left}px`;
    element.style.top = `${top}px`;
  }
}
