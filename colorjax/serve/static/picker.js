// Chooses a color at a fixed lightness: swatches, a disc of a and b, #rrggbb.

import { gamutFactor, hexOf, inGamut, labOf, nameOf, parseHex, rgbOf } from "./color.js";

const STEP = { hue: 5, chroma: 4 }; // of the keyboard: degrees, units of Lab

/** Returns a button that shows a color, with its name and, if given, a digit key. */
export function swatch(color, lightness, digit, onChoose) {
  const [, a, b] = labOf(parseHex(color));
  const shown = hexOf(rgbOf([lightness, a, b]));
  const button = document.createElement("button");
  button.type = "button";
  button.className = "swatch";
  button.dataset.color = color;
  button.style.backgroundColor = shown;
  button.style.color = lightness > 49.5 ? "#000" : "#fff";
  button.textContent = digit;
  button.setAttribute("aria-label", `${digit}: ${nameOf([lightness, a, b])}`);
  button.title = nameOf([lightness, a, b]);
  button.addEventListener("click", () => onChoose(color));
  return button;
}

/** The disc of colors. Events: "color" {color, done}: done is false while the pointer is down. */
export class Disc extends EventTarget {
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.lightness = 50;
    this.ab = [0, 0];
    this.frame = { a: 0, b: 0, reach: 100 }; // ab of the middle, Lab units from there to an edge
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      canvas.addEventListener(type, (event) => this.#pointer(event));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #disc = null;
  #drawnAt = null;
  #isDown = false;
  #grayHue = 0; // gray has no hue: the keyboard keeps the last one

  /** Shows a color at a lightness. */
  show(color, lightness) {
    this.lightness = lightness;
    const [, a, b] = labOf(parseHex(color));
    const s = gamutFactor(lightness, a, b);
    this.ab = [s * a, s * b];
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const size = canvas.width;
    const context = canvas.getContext("2d");
    if (this.#drawnAt !== Math.round(this.lightness)) this.#drawDisc(size);
    context.clearRect(0, 0, size, size);
    context.drawImage(this.#disc, 0, 0);
    this.#ring(context, this.#point([0, 0]), 3, 1); // gray
    this.#ring(context, this.#point(this.ab), 12, 3);
    const [a, b] = this.ab;
    const hue = Math.round((Math.atan2(b, a) * 180 / Math.PI + 360) % 360);
    canvas.setAttribute("aria-valuenow", hue);
    canvas.setAttribute("aria-valuetext", nameOf([this.lightness, a, b]));
  }

  #ring(context, { x, y }, radius, width) { // dark below, light above
    for (const [style, extra] of [["#000", 3], ["#fff", 0]]) {
      context.strokeStyle = style;
      context.lineWidth = width + extra;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  #drawDisc(size) {
    this.#drawnAt = Math.round(this.lightness);
    const l = Math.min(Math.max(this.#drawnAt, 2), 98);
    const rim = Array.from({ length: 120 }, (_, i) => {
      const [a, b] = [150 * Math.cos((i * Math.PI) / 60), 150 * Math.sin((i * Math.PI) / 60)];
      const s = gamutFactor(l, a, b, 10);
      return [s * a, s * b];
    });
    const [as, bs] = [rim.map(([a]) => a), rim.map(([, b]) => b)];
    const [left, right, low, high] = [Math.min(...as), Math.max(...as), Math.min(...bs), Math.max(...bs)];
    this.frame = { a: (left + right) / 2, b: (low + high) / 2, reach: Math.max(1.08 * Math.max(right - left, high - low) / 2, 4) };
    this.#disc = new OffscreenCanvas(size, size);
    const context = this.#disc.getContext("2d");
    const image = context.createImageData(size, size);
    for (let y = 0, p = 0; y < size; y++) {
      for (let x = 0; x < size; x++, p += 4) {
        const [a, b] = this.#ab(x + 0.5, y + 0.5);
        if (!inGamut(l, a, b)) continue;
        const rgb = rgbOf([l, a, b]);
        image.data.set([...rgb, 255], p);
      }
    }
    context.putImageData(image, 0, 0);
  }

  #ab(x, y) { // of canvas pixels
    const half = this.canvas.width / 2;
    const { a, b, reach } = this.frame;
    return [a + ((x - half) / half) * reach, b + ((half - y) / half) * reach];
  }

  #point([a, b]) {
    const half = this.canvas.width / 2;
    const { a: a0, b: b0, reach } = this.frame;
    return { x: half + ((a - a0) / reach) * half, y: half - ((b - b0) / reach) * half };
  }

  #set([a, b], done) {
    const s = gamutFactor(this.lightness, a, b);
    this.ab = [s * a, s * b];
    this.draw();
    const color = hexOf(rgbOf([this.lightness, ...this.ab]));
    this.dispatchEvent(new CustomEvent("color", { detail: { color, done } }));
  }

  #pointer(event) {
    if (event.type === "pointerdown") {
      event.preventDefault();
      this.canvas.focus({ preventScroll: true });
      this.canvas.setPointerCapture(event.pointerId);
      this.#isDown = true;
    }
    if (!this.#isDown) return;
    const isLast = event.type === "pointerup" || event.type === "pointercancel";
    if (isLast) this.#isDown = false;
    const box = this.canvas.getBoundingClientRect();
    const factor = this.canvas.width / box.width;
    this.#set(this.#ab((event.clientX - box.left) * factor, (event.clientY - box.top) * factor), isLast);
  }

  #key(event) {
    const turn = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const grow = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if ((turn ?? grow) === undefined || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    let chroma = Math.hypot(...this.ab);
    let hue = chroma > 0.5 ? Math.atan2(this.ab[1], this.ab[0]) : this.#grayHue;
    hue += ((turn ?? 0) * STEP.hue * Math.PI) / 180;
    chroma = Math.max(chroma + (grow ?? 0) * STEP.chroma, 0);
    this.#grayHue = hue;
    this.#set([chroma * Math.cos(hue), chroma * Math.sin(hue)], true);
  }
}
