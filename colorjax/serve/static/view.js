// The photo on a canvas: zoom, pan, before and after, veil, hints, lasso and brush.

const HIT = 16; // CSS pixels around a hint that still hit it; 24 for a finger
const STILL = 5; // CSS pixels that a click may move

const between = (p, q) => Math.hypot(p.x - q.x, p.y - q.y);

/**
 * Shows one photo. Coordinates of events and hints are pixels of the photo.
 * Events: "tap" {x, y}, "hinttap" {id}, "hintdrag" {id, x, y, done}, "trace" {points} of the lasso
 * or brush, "pick" {x, y, done} of the eyedropper, "split" {share}, "zoom".
 */
export class View extends EventTarget {
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.photo = null; // { width, height }
    this.layers = { color: null, gray: null, veil: null, detail: null };
    this.hints = [];
    this.selected = null;
    this.area = null; // region of the selected stroke
    this.questions = [];
    this.tool = "hint"; // hint | lasso | brush | eraser | pick
    this.brush = 24; // radius in CSS pixels
    this.split = null; // share of the photo's width that is shown gray
    this.showGray = false;
    this.cursor = null; // crosshair of the keyboard
    this.scale = 1;
    this.origin = { x: 0, y: 0 };
    this.isFitted = true;
    this.isPanKey = false;
    this.trace = null;
    this.#pointers = new Map();
    new ResizeObserver(() => this.#resized()).observe(canvas);
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      canvas.addEventListener(type, (event) => this.#pointer(event));
    }
    canvas.addEventListener("pointerleave", () => {
      this.hover = null;
      this.redraw();
    });
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  #pointers;
  #press = null;
  #isDue = false;

  open(width, height) {
    this.photo = { width, height };
    this.layers = { color: null, gray: null, veil: null, detail: null };
    this.trace = null;
    this.cursor = null;
    this.fit();
  }

  fit() {
    this.isFitted = true;
    if (this.photo === null) return;
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const margin = w < 600 ? 0 : 24;
    const below = w < 600 ? 0 : 64; // room of the zoom buttons
    const room = { width: w - 2 * margin, height: h - margin - below };
    this.scale = Math.max(Math.min(room.width / this.photo.width, room.height / this.photo.height), 1e-3);
    this.origin = {
      x: (w - this.scale * this.photo.width) / 2,
      y: margin + Math.max((room.height - this.scale * this.photo.height) / 2, 0),
    };
    this.#moved();
  }

  /** Zooms to CSS pixels per photo pixel, around a point of the canvas (its middle by default). */
  zoom(scale, around = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    if (this.photo === null) return;
    const at = this.toPhoto(around);
    this.scale = Math.min(Math.max(scale, this.#least()), 16);
    this.isFitted = false;
    this.origin = { x: around.x - this.scale * at.x, y: around.y - this.scale * at.y };
    this.#moved();
  }

  pan(dx, dy) {
    this.isFitted = false;
    this.origin = { x: this.origin.x + dx, y: this.origin.y + dy };
    this.#moved();
  }

  /** Scale at which one photo pixel is one pixel of the screen. */
  get actualSize() {
    return 1 / (window.devicePixelRatio || 1);
  }

  toPhoto({ x, y }) {
    return { x: (x - this.origin.x) / this.scale, y: (y - this.origin.y) / this.scale };
  }

  toCanvas({ x, y }) {
    return { x: this.origin.x + this.scale * x, y: this.origin.y + this.scale * y };
  }

  contains({ x, y }) {
    return this.photo !== null && x >= 0 && y >= 0 && x < this.photo.width && y < this.photo.height;
  }

  /** The part of the photo that is on the canvas. */
  visible() {
    const from = this.toPhoto({ x: 0, y: 0 });
    const to = this.toPhoto({ x: this.canvas.clientWidth, y: this.canvas.clientHeight });
    const x = Math.max(0, Math.floor(from.x));
    const y = Math.max(0, Math.floor(from.y));
    return {
      x,
      y,
      width: Math.min(this.photo.width, Math.ceil(to.x)) - x,
      height: Math.min(this.photo.height, Math.ceil(to.y)) - y,
    };
  }

  /** Pans so that a point of the photo is on the canvas. */
  reveal(point) {
    const { x, y } = this.toCanvas(point);
    const { clientWidth: w, clientHeight: h } = this.canvas;
    if (x < 24 || y < 24 || x > w - 24 || y > h - 24) this.pan(w / 2 - x, h / 2 - y);
  }

  redraw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #least() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    return Math.min(w / this.photo.width, h / this.photo.height, this.actualSize) / 2;
  }

  #moved() {
    if (!this.isFitted && this.photo !== null) { // some of the photo stays in sight
      const { clientWidth: w, clientHeight: h } = this.canvas;
      const keep = 48;
      const clamp = (v, size, room) => Math.min(Math.max(v, keep - size), room - keep);
      this.origin.x = clamp(this.origin.x, this.scale * this.photo.width, w);
      this.origin.y = clamp(this.origin.y, this.scale * this.photo.height, h);
    }
    if (this.photo !== null) { // for scripts: left, top, width, height in CSS pixels
      const { width, height } = this.photo;
      this.canvas.dataset.box = [this.origin.x, this.origin.y, this.scale * width, this.scale * height].join(" ");
    }
    this.dispatchEvent(new CustomEvent("zoom"));
    this.redraw();
  }

  #resized() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.isFitted) this.fit();
    this.#draw();
  }

  // Pointers

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #hintAt(point, reach) {
    let best = null;
    for (const hint of this.hints) {
      const distance = between(this.toCanvas({ x: hint.x + 0.5, y: hint.y + 0.5 }), point);
      if (distance <= reach && (best === null || distance <= best.distance)) best = { hint, distance };
    }
    return best?.hint ?? null;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #inside(point) { // whole pixels of the photo, moved into it
    const { x, y } = this.toPhoto(point);
    return {
      x: Math.min(Math.max(Math.floor(x), 0), this.photo.width - 1),
      y: Math.min(Math.max(Math.floor(y), 0), this.photo.height - 1),
    };
  }

  #pointer(event) {
    if (this.photo === null) return;
    const point = this.#at(event);
    if (event.type === "pointerdown") this.#down(event, point);
    else if (event.type === "pointermove") this.#move(event, point);
    else this.#up(event, point);
  }

  #down(event, point) {
    this.cursor = null;
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, point);
    if (this.#pointers.size === 2) return this.#startPinch();
    if (this.#pointers.size > 2) return;
    const isPan = event.button === 1 || event.button === 2 || this.isPanKey;
    const reach = event.pointerType === "touch" ? HIT * 1.5 : HIT;
    const hint = this.tool === "pick" || this.tool === "eraser" ? null : this.#hintAt(point, reach);
    this.#press = { kind: "tap", from: point, last: point, hint, button: event.button };
    if (isPan) this.#press.kind = "pan";
    else if (this.split !== null && Math.abs(point.x - this.#splitX()) < HIT) this.#press.kind = "split";
    else if (this.tool === "pick") {
      this.#press.kind = "pick";
      this.#emit("pick", { ...this.#inside(point), done: false });
    } else if (this.tool !== "hint") {
      this.#press.kind = "trace";
      this.trace = [this.toPhoto(point)];
    }
    this.redraw();
  }

  #move(event, point) {
    this.hover = point;
    if (this.#pointers.has(event.pointerId)) this.#pointers.set(event.pointerId, point);
    const press = this.#press;
    if (press === null) {
      if (this.split !== null && event.pointerType === "mouse") this.#followSplit(point);
      return this.redraw();
    }
    if (press.kind === "pinch") return this.#pinch();
    if (press.kind === "tap" && between(point, press.from) > STILL) {
      press.kind = press.hint === null ? "pan" : "drag";
    }
    if (press.kind === "pan") this.pan(point.x - press.last.x, point.y - press.last.y);
    else if (press.kind === "drag") this.#emit("hintdrag", { id: press.hint.id, ...this.#inside(point), done: false });
    else if (press.kind === "split") this.#followSplit(point);
    else if (press.kind === "pick") this.#emit("pick", { ...this.#inside(point), done: false });
    else if (press.kind === "trace") {
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length > 0 ? steps : [event]) this.trace.push(this.toPhoto(this.#at(step)));
    }
    press.last = point;
    this.redraw();
  }

  #up(event, point) {
    this.#pointers.delete(event.pointerId);
    const press = this.#press;
    if (press === null) return;
    if (press.kind === "pinch") {
      if (this.#pointers.size === 0) this.#press = null;
      return;
    }
    this.#press = null;
    const isCancelled = event.type === "pointercancel";
    const at = this.#inside(point);
    if (press.kind === "drag") {
      this.#emit("hintdrag", { id: press.hint.id, ...at, done: true, isCancelled });
    } else if (press.kind === "pick" && !isCancelled) {
      this.#emit("pick", { ...at, done: true });
    } else if (press.kind === "trace") {
      const points = this.trace;
      this.trace = null;
      if (press.hint !== null && between(point, press.from) <= STILL) this.#emit("hinttap", { id: press.hint.id });
      else if (!isCancelled) this.#emit("trace", { points });
    } else if (press.kind === "tap" && !isCancelled) {
      if (press.hint !== null) this.#emit("hinttap", { id: press.hint.id });
      else if (this.contains(this.toPhoto(point))) this.#emit("tap", at);
    }
    this.redraw();
  }

  #startPinch() {
    if (this.#press?.kind === "drag") this.#emit("hintdrag", { id: this.#press.hint.id, isCancelled: true, done: true });
    this.trace = null;
    const [p, q] = [...this.#pointers.values()];
    this.#press = { kind: "pinch", distance: between(p, q), scale: this.scale, middle: middleOf(p, q) };
  }

  #pinch() {
    if (this.#pointers.size < 2) return;
    const [p, q] = [...this.#pointers.values()];
    const middle = middleOf(p, q);
    this.pan(middle.x - this.#press.middle.x, middle.y - this.#press.middle.y);
    this.#press.middle = middle;
    this.zoom((this.#press.scale * between(p, q)) / Math.max(this.#press.distance, 1), middle);
  }

  #wheel(event) {
    if (this.photo === null) return;
    event.preventDefault();
    const factor = Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015));
    this.zoom(this.scale * factor, this.#at(event));
  }

  #splitX() {
    return this.origin.x + this.split * this.photo.width * this.scale;
  }

  #followSplit(point) {
    this.split = Math.min(Math.max(this.toPhoto(point).x / this.photo.width, 0), 1);
    this.#emit("split", { share: this.split });
    this.redraw();
  }

  // Drawing

  #draw() {
    const { context, canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    if (this.photo === null) return;
    const { width, height } = this.photo;
    const box = [this.origin.x, this.origin.y, this.scale * width, this.scale * height];
    context.imageSmoothingEnabled = this.scale * ratio < 4;
    context.imageSmoothingQuality = "high";
    const { color, gray, veil, detail } = this.layers;
    const first = this.showGray ? gray : color ?? gray;
    if (first) context.drawImage(first, ...box);
    if (detail) this.#drawDetail(detail, this.showGray ? detail.gray : detail.color);
    if (veil && !this.showGray) {
      context.imageSmoothingEnabled = true;
      context.drawImage(veil, ...box);
    }
    if (this.split !== null && gray && !this.showGray) this.#drawSplit(gray, box);
    if (!this.showGray) {
      if (this.area) this.#drawArea(this.area);
      this.questions.forEach((question, i) => this.#drawQuestion(question, i));
      for (const hint of this.hints) this.#drawHint(hint);
    }
    if (this.trace !== null) this.#drawTrace();
    if (this.cursor !== null) this.#drawCrosshair();
    const isBrush = this.tool === "brush" || this.tool === "eraser";
    if (isBrush && this.hover && this.#press?.kind !== "pan") this.#ring(this.hover, this.brush);
  }

  #drawDetail({ x, y, width, height }, image) {
    const from = this.toCanvas({ x, y });
    this.context.drawImage(image, from.x, from.y, this.scale * width, this.scale * height);
  }

  #drawSplit(gray, [x, y, width, height]) {
    const { context } = this;
    const at = this.#splitX();
    context.save();
    context.beginPath();
    context.rect(x, y, at - x, height);
    context.clip();
    context.drawImage(gray, x, y, width, height);
    if (this.layers.detail) this.#drawDetail(this.layers.detail, this.layers.detail.gray);
    context.restore();
    this.#stroke(() => {
      context.moveTo(at, y);
      context.lineTo(at, y + height);
    });
    const middle = Math.min(Math.max(y + height / 2, 24), this.canvas.clientHeight - 24);
    this.#disc({ x: at, y: middle }, 13, "#fff");
    context.strokeStyle = "#222";
    context.lineWidth = 1.8;
    context.beginPath();
    for (const side of [-1, 1]) {
      context.moveTo(at + side * 4, middle - 4);
      context.lineTo(at + side * 8, middle);
      context.lineTo(at + side * 4, middle + 4);
    }
    context.stroke();
  }

  #stroke(path, width = 1.5) { // dark below, light above: seen on any photo
    const { context } = this;
    for (const [style, extra] of [["rgb(0 0 0 / 0.65)", 2], ["#fff", 0]]) {
      context.strokeStyle = style;
      context.lineWidth = width + extra;
      context.beginPath();
      path();
      context.stroke();
    }
  }

  #disc({ x, y }, radius, fill) {
    const { context } = this;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = fill;
    context.fill();
    this.#ring({ x, y }, radius);
  }

  #ring({ x, y }, radius) {
    this.#stroke(() => this.context.arc(x, y, radius, 0, 2 * Math.PI));
  }

  #drawHint(hint) {
    const point = this.toCanvas({ x: hint.x + 0.5, y: hint.y + 0.5 });
    const isSelected = hint.id === this.selected;
    if (isSelected) this.#ring(point, 15);
    this.#disc(point, isSelected ? 10 : 8, hint.shown ?? hint.color);
  }

  #drawArea({ polygon, brush, width }) {
    const { context } = this;
    if (polygon) {
      context.setLineDash([6, 5]);
      this.#stroke(() => this.#path(polygon, true), 1.2);
      context.setLineDash([]);
      return;
    }
    const { width: w, height: h } = this.canvas;
    const ring = new OffscreenCanvas(w, h).getContext("2d"); // its rim: the color inside stays in sight
    ring.setTransform(context.getTransform());
    this.#paintLine(brush, width * this.scale + 5, "rgb(0 0 0 / 0.65)", ring);
    this.#paintLine(brush, width * this.scale + 3, "#fff", ring);
    ring.globalCompositeOperation = "destination-out";
    this.#paintLine(brush, width * this.scale, "#000", ring);
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(ring.canvas, 0, 0);
    context.restore();
  }

  #paintLine(points, width, style, context = this.context) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    this.#path(points, points.length === 1, context);
    context.stroke();
  }

  #path(points, isClosed, context = this.context) {
    points.forEach((point, i) => {
      const { x, y } = this.toCanvas(Array.isArray(point) ? { x: point[0], y: point[1] } : point);
      if (i === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    });
    if (isClosed) context.closePath();
  }

  #drawTrace() {
    const { context } = this;
    if (this.tool === "lasso") {
      this.#stroke(() => this.#path(this.trace, false));
      return;
    }
    context.save();
    context.globalAlpha = 0.55;
    this.#paintLine(this.trace, 2 * this.brush, this.tool === "eraser" ? "#888" : "#fff");
    context.restore();
  }

  #drawQuestion(question, i) {
    const { context } = this;
    const point = this.toCanvas({ x: question.x + 0.5, y: question.y + 0.5 });
    if (!question.isCurrent) return this.#disc(point, 5, "rgb(255 255 255 / 0.8)");
    this.#ring(point, 14); // the place itself stays in sight
    const below = point.y < 44 ? 1 : -1;
    const mark = { x: point.x, y: point.y + 28 * below };
    this.#disc(mark, 11, "#fff");
    context.fillStyle = "#111";
    context.font = "600 15px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText("?", mark.x, mark.y + 0.5);
  }

  #drawCrosshair() {
    const { x, y } = this.toCanvas({ x: this.cursor.x + 0.5, y: this.cursor.y + 0.5 });
    this.#stroke(() => {
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        this.context.moveTo(x + 5 * dx, y + 5 * dy);
        this.context.lineTo(x + 20 * dx, y + 20 * dy);
      }
    }, 2);
  }
}

const middleOf = (p, q) => ({ x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 });
