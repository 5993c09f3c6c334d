// The open photo: its state and history, its pictures from the server, its journal.

import { client, Latest, newId, nextSeq, send, sendBitmap, sendBlob, sendJson } from "./api.js";
import { History } from "./history.js";

export const PLAIN = Object.freeze({
  strokes: Object.freeze([]), saturation: 1, warmth: 0, strength: 1, reference: null, variant: null,
});
const MOST_EDITOR = 1_500_000; // characters of undo and redo in the journal
const DETAIL_DELAY = 250; // ms without a change before the sharp part is fetched
const MOST_DETAIL = 2048; // px of a side, as the server allows

/** The state as the server reads it. */
const stateOf = ({ strokes, saturation, warmth, strength, reference, variant }) =>
  ({ version: 1, strokes, saturation, warmth, strength, reference, variant });

/** Undo and redo as JSON: each stroke is written once, states are lists of their numbers. */
function packHistory({ past, future }) {
  const strokes = [];
  const numbers = new Map();
  const number = (stroke) => {
    if (!numbers.has(stroke)) numbers.set(stroke, strokes.push(stroke) - 1);
    return numbers.get(stroke);
  };
  const pack = ({ state, label }) => ({ ...stateOf(state), version: undefined, strokes: state.strokes.map(number), label });
  return { past: past.map(pack), future: future.map(pack), strokes };
}

function unpackHistory({ past = [], future = [], strokes = [] } = {}) {
  const unpack = ({ label, ...state }) => ({ label, state: { ...PLAIN, ...state, strokes: state.strokes.map((i) => strokes[i]) } });
  return { past: past.map(unpack), future: future.map(unpack) };
}

/** Events: "opened", "picture", "state" {kind, label}, "detail", "uncertainty", "failed" {error}. */
export class Document extends EventTarget {
  constructor() {
    super();
    this.photo = null; // what the server says of the open photo
    this.history = new History(PLAIN);
    this.history.addEventListener("change", ({ detail }) => this.#changed(detail));
    const fail = (error) => this.#emit("failed", { error });
    this.previews = new Latest((...args) => this.#fetchPreview(...args), fail);
    this.journal = new Latest((...args) => this.#write(...args), fail);
    this.veils = new Latest((...args) => this.#fetchUncertainty(...args), fail);
    this.details = new Latest((...args) => this.#fetchDetail(...args), fail);
    for (const queue of [this.previews, this.journal]) queue.onChange = () => this.#emit("busy");
    this.wantsVeil = false;
  }

  #timer = null;
  #isOpening = false;

  /** Whether the preview or the journal lacks the last change. */
  get isBusy() {
    return this.previews.isBusy || this.journal.isBusy;
  }

  get id() {
    return this.photo?.id ?? null;
  }

  get state() {
    return this.history.state;
  }

  get can() {
    return this.photo?.can ?? {};
  }

  path(tail) {
    return `/api/photos/${this.id}/${tail}`;
  }

  /** Opens a photo: the server runs the network on it. */
  async open(id) {
    await this.journal.done;
    this.previews.drop();
    const opened = await sendJson("POST", `/api/photos/${id}/open`, {});
    const gray = await sendBitmap("GET", `/api/photos/${id}/before?side=1024`);
    this.photo = opened;
    this.gray = gray;
    this.color = null;
    this.detail = null;
    const { editor, strokes = [], ...state } = opened.state ?? {};
    const named = strokes.map((stroke) => ({ id: newId(), ...stroke })); // of other programs
    this.#isOpening = true;
    this.history.reset({ ...PLAIN, ...state, strokes: named });
    Object.assign(this.history, unpackHistory(editor));
    this.#isOpening = false;
    this.#emit("opened");
    this.#changed({ kind: "reset", label: "" });
    await this.previews.done;
  }

  /** Returns a request body with the state that is finished, or the one that is shown. */
  body(more = {}) {
    return { state: stateOf(this.state), seq: nextSeq(), client, ...more };
  }

  refreshVeil() {
    if (this.wantsVeil && this.id !== null) this.veils.push(this.id);
  }

  /** Fetches the visible part at full size, once nothing changed for a moment. */
  sharpen(box) {
    clearTimeout(this.#timer);
    if (this.id === null) return;
    this.#timer = setTimeout(() => {
      const width = Math.min(box.width, MOST_DETAIL);
      const height = Math.min(box.height, MOST_DETAIL);
      const x = Math.round(box.x + (box.width - width) / 2);
      const y = Math.round(box.y + (box.height - height) / 2);
      if (width > 0 && height > 0) this.details.push(this.id, [x, y, width, height]);
    }, DETAIL_DELAY);
  }

  blur() {
    clearTimeout(this.#timer);
    this.detail = null;
  }

  #changed({ kind, label }) {
    if (this.id === null || this.#isOpening) return;
    this.detail = null;
    this.previews.push(this.id, stateOf(this.history.shown), kind);
    if (kind === "commit" || kind === "step") {
      this.journal.push(this.id, stateOf(this.state));
    }
    if (kind !== "preview") this.refreshVeil();
    this.#emit("state", { kind, label });
  }

  async #fetchPreview(id, state, kind) {
    const seq = nextSeq();
    const color = await sendBitmap("POST", `/api/photos/${id}/preview`, { state, seq, client });
    if (id !== this.id) return color.close();
    const old = this.color;
    this.color = color;
    this.#emit("picture", { kind });
    old?.close(); // else a long drag keeps hundreds of bitmaps until they are collected
  }

  async #write(id, state) {
    let { past, future } = this.history;
    let editor = packHistory({ past, future });
    while (past.length > 0 && JSON.stringify(editor).length > MOST_EDITOR) { // the oldest steps go
      past = past.slice(Math.ceil(past.length / 2));
      future = [];
      editor = packHistory({ past, future });
    }
    await send("PUT", `/api/photos/${id}/session`, { state: { ...state, editor }, seq: nextSeq(), client });
  }

  async #fetchUncertainty(id) {
    const image = await createImageBitmap(await sendBlob("POST", `/api/photos/${id}/uncertainty`, this.body()));
    if (id === this.id) this.#emit("uncertainty", { image });
  }

  async #fetchDetail(id, box) {
    const state = this.state;
    const [x, y, width, height] = box;
    const color = await sendBitmap("POST", `/api/photos/${id}/region`, this.body({ box }));
    const gray = await sendBitmap("GET", `/api/photos/${id}/before?box=${box.join(",")}`);
    if (id !== this.id || state !== this.history.shown) return;
    this.detail = { color, gray, x, y, width, height };
    this.#emit("detail");
  }

  #emit(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
