// The panel "Colors": places with a color, the picker, lasso, brush and gray.

import { Latest, newId, sendBitmap, sendJson } from "./api.js";
import { hexOf, labOf, nameOf, parseHex, rgbOf } from "./color.js";
import { $, allow, fail, icon, make, speak, tell } from "./dom.js";
import { Disc, swatch } from "./picker.js";

const FEWEST_STEP = 3; // CSS pixels between the points of a lasso or brush
const NUDGE = 0.005; // of the photo's long side, for Shift and an arrow key

export class Colors {
  constructor(doc, view) {
    this.doc = doc;
    this.view = view;
    this.selected = null; // id of a stroke
    this.suggestions = { key: "", list: [] };
    this.disc = new Disc($("disc"));
    this.asker = new Latest((...args) => this.#fetchSwatches(...args), fail);
    this.#listen();
  }

  #fresh = null; // a place whose color was not chosen yet: choosing it is one step
  #lastTool = "hint";
  #hexOf = ""; // the stroke and color that the text field shows

  #listen() {
    const { view, doc } = this;
    view.addEventListener("tap", ({ detail }) => (view.tool === "hint" ? this.place(detail) : this.select(null)));
    view.addEventListener("hinttap", ({ detail }) => this.select(detail.id));
    view.addEventListener("hintdrag", ({ detail }) => this.#drag(detail));
    view.addEventListener("trace", ({ detail }) => this.#traced(detail.points));
    view.addEventListener("pick", ({ detail }) => this.#picked(this.#colorAt(detail), detail.done));
    this.disc.addEventListener("color", ({ detail }) => this.paint(detail.color, detail.done));
    doc.addEventListener("state", ({ detail }) => this.show(detail.kind));
    doc.addEventListener("opened", () => this.select(null));
    $("picker-close").addEventListener("click", () => this.select(null));
    $("delete").addEventListener("click", () => this.remove(this.selected));
    $("clear").addEventListener("click", () => {
      this.select(null);
      doc.history.commit({ strokes: [] }, "Removed all colors");
    });
    $("hex").addEventListener("change", () => this.#typed());
    $("hex").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.#typed()) $("photo").focus(); // its keys work again
    });
    $("pick").addEventListener("click", () => this.togglePick());
    $("pick-other").addEventListener("click", () => this.#pickOther());
    $("pick-reference").addEventListener("click", () => this.#pickReference());
    this.#listenToPickCanvas();
  }

  get strokes() {
    return this.doc.history.shown.strokes;
  }

  stroke(id = this.selected) {
    return this.strokes.find((stroke) => stroke.id === id) ?? null;
  }

  /** Places a color at a pixel: the present one, so that nothing changes until one is chosen. */
  async place({ x, y }, color = null) {
    const { id } = this.doc;
    if (this.doc.color === null) await this.doc.previews.done; // the first colors are on their way
    if (this.doc.color === null || id !== this.doc.id) return;
    if (!this.doc.can.hints) {
      tell(this.doc.can.why_not?.hints ?? "This colorizer only takes colors of an area.");
      return;
    }
    const stroke = {
      kind: "hint", id: newId(), x, y, color: color ?? this.#colorAt({ x, y }), region: null, lightness: this.#lightnessAt({ x, y }),
    };
    this.#add(stroke, color === null ? "Placed a color" : `Colored a place ${this.#name(stroke)}`);
    if (color === null) {
      this.#fresh = stroke.id;
      this.select(stroke.id);
    }
  }

  #add(stroke, label) {
    this.doc.history.commit({ strokes: [...this.strokes, stroke] }, label);
  }

  /** Gives the selected place a color; `done` ends the change. */
  paint(color, done = true) {
    const stroke = this.stroke();
    if (stroke === null || stroke.kind !== "hint") return;
    const strokes = this.strokes.map((one) => (one.id === stroke.id ? { ...one, color } : one));
    const { history } = this.doc;
    if (!done) return history.preview({ strokes });
    const label = `Colored a place ${this.#name({ ...stroke, color })}`;
    if (this.#fresh === stroke.id) history.amend({ strokes }, label);
    else history.commit({ strokes }, label);
    this.#fresh = null;
  }

  remove(id) {
    if (this.stroke(id) === null) return;
    const strokes = this.strokes.filter((stroke) => stroke.id !== id);
    this.doc.history.commit({ strokes }, "Removed a color");
    if (id === this.selected) this.select(null);
  }

  select(id) {
    if (id !== this.selected) this.#fresh = id === this.#fresh ? this.#fresh : null;
    this.selected = id;
    if (id === null) this.#endPick();
    this.show();
  }

  /** Moves the selected place by steps of the keyboard. */
  nudge(dx, dy) {
    const stroke = this.stroke();
    if (stroke === null || stroke.kind !== "hint") return false;
    const { width, height } = this.doc.photo;
    const step = Math.max(1, Math.round(NUDGE * Math.max(width, height)));
    this.#move(stroke, {
      x: Math.min(Math.max(stroke.x + dx * step, 0), width - 1),
      y: Math.min(Math.max(stroke.y + dy * step, 0), height - 1),
    }, true);
    return true;
  }

  #drag({ id, x, y, done, isCancelled }) {
    const stroke = this.doc.state.strokes.find((one) => one.id === id);
    if (stroke === undefined) return;
    if (isCancelled) return this.doc.history.cancel();
    if (!done) this.selected = id;
    this.#move(stroke, { x, y }, done);
  }

  #move(stroke, { x, y }, done) {
    const moved = { ...stroke, x, y, lightness: this.#lightnessAt({ x, y }) };
    if (stroke.region) moved.region = shifted(stroke.region, x - stroke.x, y - stroke.y);
    const strokes = this.strokes.map((one) => (one.id === stroke.id ? moved : one));
    if (done) this.doc.history.commit({ strokes }, "Moved a color");
    else this.doc.history.preview({ strokes });
  }

  #traced(points) {
    const { view, doc } = this;
    const { width, height } = doc.photo;
    const thin = thinned(points, FEWEST_STEP / view.scale).map(({ x, y }) => [Math.round(10 * x) / 10, Math.round(10 * y) / 10]);
    const isLasso = view.tool === "lasso";
    if (isLasso && thin.length < 3) return this.place(wholePixel(points[0], width, height));
    const region = isLasso
      ? { polygon: thin }
      : { brush: thin, width: Math.max(1, Math.round((2 * view.brush) / view.scale)) };
    if (view.tool === "eraser") {
      const stroke = { kind: "erase", id: newId(), region };
      this.#add(stroke, "Made an area gray");
      return;
    }
    const selected = this.stroke();
    const isBounding = selected?.kind === "hint" && !selected.region && isInside(thin, selected.x + 0.5, selected.y + 0.5);
    if (isLasso && isBounding) {
      const strokes = this.strokes.map((one) => (one.id === selected.id ? { ...one, region } : one));
      doc.history.commit({ strokes }, "Bounded a color");
      return;
    }
    const at = isLasso ? innerPoint(thin, width, height) : wholePixel({ x: thin[0][0], y: thin[0][1] }, width, height);
    if (at === null) return tell("This area is too small. Draw around a larger one.");
    const stroke = {
      kind: "hint", id: newId(), ...at, color: this.#colorAt(at), region, lightness: this.#lightnessAt(at),
    };
    if (!isLasso && selected?.kind === "hint" && selected.region?.brush) {
      stroke.color = selected.color; // the brush goes on with its color
      this.#add(stroke, "Painted an area");
    } else {
      this.#add(stroke, "Marked an area");
      this.#fresh = stroke.id;
    }
    this.select(stroke.id);
  }

  #typed() {
    const rgb = parseHex($("hex").value);
    $("hex-error").hidden = rgb !== null;
    $("hex").setAttribute("aria-invalid", String(rgb === null));
    if (rgb !== null && hexOf(rgb) !== this.stroke()?.color) this.paint(hexOf(rgb));
    return rgb !== null;
  }

  // What is on the screen

  #colorAt(at) {
    return hexOf(sample(this.doc.color, this.#onPreview(at, this.doc.color)));
  }

  #lightnessAt(at) {
    const [lightness] = labOf(sample(this.doc.gray, this.#onPreview(at, this.doc.gray)));
    return Math.round(10 * lightness) / 10;
  }

  #onPreview({ x, y }, image) {
    const { width, height } = this.doc.photo;
    return { x: Math.floor(((x + 0.5) * image.width) / width), y: Math.floor(((y + 0.5) * image.height) / height) };
  }

  #name(stroke) {
    if (stroke.kind === "erase") return "gray";
    const [, a, b] = labOf(parseHex(stroke.color));
    return nameOf([stroke.lightness ?? 50, a, b]);
  }

  #shown(stroke) { // the color at the lightness of its place
    if (stroke.kind === "erase") return "#808080";
    const [l, a, b] = labOf(parseHex(stroke.color));
    return hexOf(rgbOf([stroke.lightness ?? l, a, b]));
  }

  /** Shows the strokes on the photo, in the list and in the picker. */
  show() {
    if (this.selected !== null && this.stroke() === null) this.selected = null;
    const strokes = this.strokes;
    this.view.hints = strokes.filter(({ kind }) => kind === "hint").map((stroke) => ({ ...stroke, shown: this.#shown(stroke) }));
    this.view.area = this.stroke()?.region ?? null;
    this.view.selected = this.selected;
    this.view.redraw();
    this.#list(strokes);
    this.#showPicker();
  }

  #list(strokes) {
    const list = $("hints");
    const focused = document.activeElement?.closest?.("#hints li")?.dataset.id;
    $("no-hints").hidden = strokes.length > 0;
    $("clear").hidden = strokes.length < 2;
    list.replaceChildren(...strokes.map((stroke, i) => this.#row(stroke, i)));
    if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"] button`)?.focus();
  }

  #row(stroke, i) {
    const kind = stroke.kind === "erase" ? "gray area" : stroke.region ? "area" : "place";
    const chip = make("span", { className: "chip" });
    chip.style.backgroundColor = this.#shown(stroke);
    chip.setAttribute("aria-hidden", "true");
    const label = make("span", {}, stroke.kind === "erase" ? "Gray" : this.#name(stroke));
    const choose = make("button", { type: "button", className: "plain choose" }, chip, label, make("span", { className: "quiet" }, kind));
    choose.setAttribute("aria-pressed", String(stroke.id === this.selected));
    choose.addEventListener("click", () => this.select(stroke.id === this.selected ? null : stroke.id));
    const bin = make("button", { type: "button", className: "plain small", title: "Remove" }, icon("trash"));
    bin.setAttribute("aria-label", `Remove ${i + 1}: ${label.textContent}, ${kind}`);
    bin.addEventListener("click", () => this.remove(stroke.id));
    const row = make("li", {}, choose, bin);
    row.dataset.id = stroke.id;
    return row;
  }

  #showPicker() {
    const stroke = this.stroke();
    const isShown = stroke?.kind === "hint";
    $("picker").hidden = !isShown;
    document.body.classList.toggle("is-picking", isShown);
    if (!isShown) return;
    $("picker-title").textContent = stroke.region ? "Color of this area" : "Color here";
    this.disc.show(stroke.color, stroke.lightness ?? 50);
    const shown = `${stroke.id} ${stroke.color}`;
    if (shown !== this.#hexOf) { // else what is being typed stays
      this.#hexOf = shown;
      $("hex").value = stroke.color;
      $("hex-error").hidden = true;
      $("hex").removeAttribute("aria-invalid");
    }
    for (const button of $("swatches").children) {
      button.setAttribute("aria-pressed", String(button.dataset.color === stroke.color));
    }
    const { can } = this.doc;
    if (!can.suggest) {
      $("swatches").replaceChildren();
      $("swatches-text").textContent = can.why_not?.suggest ?? "This colorizer cannot suggest colors.";
      return;
    }
    const key = `${this.doc.id} ${stroke.x} ${stroke.y}`;
    if (key === this.suggestions.key || this.doc.history.draft !== null) return;
    this.suggestions = { key, list: [] };
    $("swatches").replaceChildren();
    $("swatches-text").textContent = "Likely here:";
    this.asker.push(key, stroke);
  }

  async #fetchSwatches(key, stroke) {
    const others = this.doc.state.strokes.filter((one) => one.id !== stroke.id);
    const body = this.doc.body({ x: stroke.x, y: stroke.y, k: 6 });
    body.state = { ...body.state, strokes: others };
    const { lightness, suggestions } = await sendJson("POST", this.doc.path("suggest"), body);
    if (key !== this.suggestions.key) return;
    this.suggestions.list = suggestions;
    $("swatches").replaceChildren(...suggestions.map(({ color }, i) =>
      swatch(color, lightness, i + 1, (chosen) => this.paint(chosen))));
    this.#showPicker();
  }

  /** Chooses one of the six swatches by its digit. */
  choose(digit) {
    $("swatches").children[digit - 1]?.click();
  }

  // Eyedropper

  togglePick() {
    if (this.view.tool === "pick") return this.#endPick();
    if (this.stroke() === null) return;
    this.#lastTool = this.view.tool;
    this.view.tool = "pick";
    $("pick").setAttribute("aria-pressed", "true");
    $("pick-from").hidden = false;
    $("pick-reference").hidden = this.doc.state.reference === null;
    $("photo").classList.add("is-pick");
    speak("Click in the photo to take a color.");
  }

  #endPick() {
    if (this.view.tool !== "pick") return;
    this.view.tool = this.#lastTool;
    $("pick").setAttribute("aria-pressed", "false");
    $("pick-from").hidden = true;
    $("pick-canvas").hidden = true;
    $("photo").classList.remove("is-pick");
  }

  #picked(color, done) {
    this.paint(color, done);
    if (done) this.#endPick();
  }

  #pickOther() {
    const input = make("input", { type: "file", accept: "image/*" });
    input.addEventListener("change", async () => {
      try {
        this.#showPickPhoto(await createImageBitmap(input.files[0]));
      } catch {
        tell("This photo cannot be shown here. Choose a JPEG, PNG or WebP.", { isError: true });
      }
    });
    input.click();
  }

  async #pickReference() {
    try {
      this.#showPickPhoto(await sendBitmap("GET", `/api/references/${this.doc.state.reference.digest}/thumbnail?side=512`));
    } catch (error) {
      fail(error);
    }
  }

  #showPickPhoto(image) {
    const canvas = $("pick-canvas");
    const scale = Math.min(1, 560 / Math.max(image.width, image.height));
    canvas.width = Math.round(scale * image.width);
    canvas.height = Math.round(scale * image.height);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.hidden = false;
    canvas.focus();
    this.pickPhoto = { image: canvas, x: canvas.width >> 1, y: canvas.height >> 1 };
  }

  #listenToPickCanvas() {
    const canvas = $("pick-canvas");
    let isDown = false;
    const take = (event, done) => {
      const box = canvas.getBoundingClientRect();
      const x = Math.floor(((event.clientX - box.left) * canvas.width) / box.width);
      const y = Math.floor(((event.clientY - box.top) * canvas.height) / box.height);
      this.#picked(hexOf(sample(canvas, { x, y })), done);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      isDown = true;
      take(event, false);
    });
    canvas.addEventListener("pointermove", (event) => isDown && take(event, false));
    canvas.addEventListener("pointerup", (event) => {
      if (isDown) take(event, true);
      isDown = false;
    });
    canvas.addEventListener("keydown", (event) => {
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
      const at = this.pickPhoto;
      if (event.key !== "Enter" && dx === 0 && dy === 0) return;
      event.preventDefault();
      event.stopPropagation();
      at.x = Math.min(Math.max(at.x + 8 * dx, 0), canvas.width - 1);
      at.y = Math.min(Math.max(at.y + 8 * dy, 0), canvas.height - 1);
      this.#picked(hexOf(sample(canvas, at)), event.key === "Enter");
    });
  }

  /** Switches the tools off that the weights cannot do. */
  showAbilities() {
    const { can } = this.doc;
    allow(document.querySelector('[data-tool="hint"]'), can.hints !== false, can.why_not?.hints);
    for (const tool of ["lasso", "brush", "eraser"]) {
      allow(document.querySelector(`[data-tool="${tool}"]`), can.regions !== false, can.why_not?.regions);
    }
  }
}

/** Mean color of 3 x 3 pixels around a pixel of a bitmap or canvas, 8-bit sRGB. */
function sample(image, { x, y }) {
  const canvas = new OffscreenCanvas(3, 3);
  const context = canvas.getContext("2d");
  const left = Math.min(Math.max(x - 1, 0), Math.max(image.width - 3, 0));
  const top = Math.min(Math.max(y - 1, 0), Math.max(image.height - 3, 0));
  const width = Math.min(3, image.width);
  const height = Math.min(3, image.height);
  context.drawImage(image, left, top, width, height, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const sums = [0, 0, 0];
  data.forEach((v, i) => i % 4 < 3 && (sums[i % 4] += v));
  return sums.map((v) => Math.round(v / (width * height)));
}

function thinned(points, step) {
  const kept = [points[0]];
  for (const point of points) {
    const before = kept.at(-1);
    if (Math.hypot(point.x - before.x, point.y - before.y) >= step) kept.push(point);
  }
  const most = 2000;
  return kept.length <= most ? kept : kept.filter((_, i) => i % Math.ceil(kept.length / most) === 0);
}

const wholePixel = ({ x, y }, width, height) => ({
  x: Math.min(Math.max(Math.floor(x), 0), width - 1),
  y: Math.min(Math.max(Math.floor(y), 0), height - 1),
});

const shifted = (region, dx, dy) => {
  const key = region.polygon ? "polygon" : "brush";
  return { ...region, [key]: region[key].map(([x, y]) => [x + dx, y + dy]) };
};

/** Whether a point is inside a polygon, by crossings. */
function isInside(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/** A pixel of the photo far inside a polygon: the best of a grid; null if none is inside. */
function innerPoint(polygon, width, height) {
  const xs = polygon.map(([x]) => x);
  const ys = polygon.map(([, y]) => y);
  const [left, right] = [Math.max(Math.min(...xs), 0), Math.min(Math.max(...xs), width)];
  const [top, bottom] = [Math.max(Math.min(...ys), 0), Math.min(Math.max(...ys), height)];
  let best = null;
  const number = 24;
  for (let i = 0; i < number; i++) {
    for (let j = 0; j < number; j++) {
      const at = wholePixel({
        x: left + ((i + 0.5) * (right - left)) / number,
        y: top + ((j + 0.5) * (bottom - top)) / number,
      }, width, height);
      if (!isInside(polygon, at.x + 0.5, at.y + 0.5)) continue;
      const room = Math.min(...polygon.map(([x, y]) => Math.hypot(x - at.x, y - at.y)));
      if (best === null || room > best.room) best = { at, room };
    }
  }
  return best?.at ?? null;
}
