// Puts the page together: tools, tabs, sliders, zoom, keys.

import { Ask } from "./ask.js";
import { Colors } from "./colors.js";
import { Document } from "./document.js";
import { $, allow, fail, make, speak, tell } from "./dom.js";
import { Folder, Reference, Variants } from "./ideas.js";
import { Saving } from "./saving.js";
import { Setup } from "./setup.js";
import { Strip } from "./strip.js";
import { View } from "./view.js";

const doc = new Document();
const view = new View($("photo"));
const colors = new Colors(doc, view);
const ask = new Ask(doc, view, colors);
const variants = new Variants(doc);
const reference = new Reference(doc);
const strip = new Strip(doc);
const folder = new Folder(doc, strip);
const setup = new Setup(doc, strip);
const saving = new Saving(doc, strip);
const parts = [colors, ask, variants, reference, folder];

// The photo

doc.addEventListener("opened", () => {
  const { name, width, height, weights_differ: differs, has_colors: isColored } = doc.photo;
  view.open(width, height);
  view.layers.gray = doc.gray;
  $("welcome").hidden = true;
  $("zoom-bar").hidden = false;
  $("save").disabled = false;
  $("name").textContent = $("name").title = name;
  document.title = `${name} - colorjax`;
  $("photo").setAttribute("aria-label", `${name}, ${width} by ${height} pixels`);
  parts.forEach((part) => part.showAbilities());
  showVeilAbility();
  if (differs) tell(differs, { seconds: 20 });
  if (isColored) tell("This photo is in color already. Its own colors are replaced; lower Strength to keep some.", { seconds: 12 });
});
doc.addEventListener("picture", () => {
  view.layers.color = doc.color;
  view.redraw();
  sharpen();
});
doc.addEventListener("detail", () => showDetail());
doc.addEventListener("state", ({ detail: { kind, label } }) => {
  showDetail();
  showHistory();
  showSliders();
  if (label && kind !== "preview") speak(label);
});
doc.addEventListener("failed", ({ detail: { error } }) => {
  fail(error);
  if (error.isReferenceLost && doc.state.reference !== null) {
    doc.history.commit({ reference: null }, "Removed the color photo that is lost");
  }
});

function sharpen() {
  if (doc.id === null || doc.history.draft !== null) return;
  const isCoarse = view.scale * (window.devicePixelRatio || 1) * doc.photo.width > 1.2 * doc.photo.preview.width;
  const isEnlargedOnly = doc.photo.preview.width >= doc.photo.width;
  if (isCoarse && !isEnlargedOnly) doc.sharpen(view.visible());
  else doc.blur();
}

function showDetail() {
  view.layers.detail = doc.detail;
  view.redraw();
}

function showHistory() {
  const { past, future } = doc.history;
  for (const [id, steps, verb, keys] of [["undo", past, "Undo", "Ctrl Z"], ["redo", future, "Redo", "Ctrl Shift Z"]]) {
    $(id).disabled = steps.length === 0;
    $(id).title = steps.length === 0 ? `${verb} (${keys})` : `${verb}: ${steps.at(-1).label} (${keys})`;
  }
}

$("undo").addEventListener("click", () => doc.history.undo());
$("redo").addEventListener("click", () => doc.history.redo());

/** Says in the document what is open and whether a request is on its way: for scripts. */
function mark() {
  document.body.dataset.photo = doc.id ?? "";
  document.body.dataset.busy = String(doc.isBusy || !$("progress").hidden);
}
doc.addEventListener("busy", mark);
mark();
new MutationObserver(mark).observe($("progress"), { attributes: true });

// Tools

function useTool(tool) {
  const button = document.querySelector(`[data-tool="${tool}"]`);
  if (button.disabled) return tell(button.title);
  if (view.tool === "pick") colors.togglePick();
  view.tool = tool;
  for (const one of document.querySelectorAll("[data-tool]")) one.setAttribute("aria-pressed", String(one === button));
  $("brush-bar").hidden = tool !== "brush" && tool !== "eraser";
  $("photo").dataset.tool = tool;
  view.redraw();
}

for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => useTool(button.dataset.tool));
$("brush").addEventListener("input", ({ target }) => {
  view.brush = Number(target.value);
  view.redraw();
});

function toggleSplit() {
  view.split = view.split === null ? 0.5 : null;
  $("split").setAttribute("aria-pressed", String(view.split !== null));
  $("split-bar").hidden = view.split === null;
  $("split-at").value = 50;
  view.redraw();
}

$("split").addEventListener("click", toggleSplit);
$("split-at").addEventListener("input", ({ target }) => {
  view.split = Number(target.value) / 100;
  view.redraw();
});
view.addEventListener("split", ({ detail }) => {
  $("split-at").value = Math.round(100 * detail.share);
});

function toggleVeil() {
  if ($("veil").disabled) return tell($("veil").title);
  doc.wantsVeil = !doc.wantsVeil;
  $("veil").setAttribute("aria-pressed", String(doc.wantsVeil));
  $("veil-legend").hidden = !doc.wantsVeil;
  view.layers.veil = null;
  view.redraw();
  doc.refreshVeil();
}

function showVeilAbility() {
  allow($("veil"), doc.can.uncertainty !== false, doc.can.why_not?.uncertainty);
  if ($("veil").disabled && doc.wantsVeil) {
    doc.wantsVeil = false;
    $("veil").setAttribute("aria-pressed", "false");
    $("veil-legend").hidden = true;
  }
}

$("veil").addEventListener("click", toggleVeil);
doc.addEventListener("uncertainty", ({ detail }) => {
  if (!doc.wantsVeil) return;
  view.layers.veil = veilOf(detail.image);
  view.redraw();
});

/** Colored where the program is less sure than elsewhere in the photo, clear where it is sure. */
function veilOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height);
  const { data } = pixels;
  let [least, most] = [255, 0];
  for (let p = 0; p < data.length; p += 4) {
    least = Math.min(least, data[p]);
    most = Math.max(most, data[p]);
  }
  const range = Math.max(most - least, 32); // a photo that is sure all over stays clear
  for (let p = 0; p < data.length; p += 4) {
    const share = (data[p] - least) / range;
    data.set([235, 90, 235, Math.round(190 * share ** 2)], p);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// Zoom

view.addEventListener("zoom", () => {
  $("zoom-at").textContent = `${Math.round(100 * view.scale / view.actualSize)} %`;
  sharpen();
});
$("zoom-in").addEventListener("click", () => view.zoom(view.scale * 1.4));
$("zoom-out").addEventListener("click", () => view.zoom(view.scale / 1.4));
$("zoom-fit").addEventListener("click", () => view.fit());
$("zoom-one").addEventListener("click", () => view.zoom(view.actualSize));
const toggleActualSize = () => (Math.abs(view.scale - view.actualSize) < 1e-6 ? view.fit() : view.zoom(view.actualSize, view.hover ?? undefined));

// Sliders: 100 is 1 for the program

const SLIDERS = { saturation: "Changed the saturation", warmth: "Changed the warmth", strength: "Changed the strength" };
for (const [name, label] of Object.entries(SLIDERS)) {
  $(name).addEventListener("input", ({ target }) => {
    if (doc.id !== null) doc.history.preview({ [name]: Number(target.value) / 100 });
  });
  $(name).addEventListener("change", ({ target }) => {
    if (doc.id !== null) doc.history.commit({ [name]: Number(target.value) / 100 }, label);
  });
}
$("reset").addEventListener("click", () =>
  doc.history.commit({ saturation: 1, warmth: 0, strength: 1 }, "Reset the sliders"));

function showSliders() {
  const { saturation, warmth, strength } = doc.history.shown;
  const shown = { saturation, warmth, strength };
  for (const [name, value] of Object.entries(shown)) {
    $(name).value = Math.round(100 * value);
    $(`${name}-value`).textContent = name === "warmth"
      ? `${value > 0 ? "+" : ""}${Math.round(100 * value)}` : `${Math.round(100 * value)} %`;
  }
  $("reset").disabled = saturation === 1 && warmth === 0 && strength === 1;
}

// Tabs

const tabs = [...document.querySelectorAll('[role="tab"]')];

function showTab(chosen, withFocus = false) {
  for (const tab of tabs) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !isChosen;
  }
  if (withFocus) chosen.focus();
}

tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => showTab(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const end = { Home: 0, End: tabs.length - 1 }[event.key];
    if (step === undefined && end === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    showTab(tabs[end ?? (i + step + tabs.length) % tabs.length], true);
  });
});
view.addEventListener("tap", () => showTab($("tab-colors")));
view.addEventListener("trace", () => showTab($("tab-colors")));
view.addEventListener("hinttap", () => showTab($("tab-colors")));

// Keys

const KEYS = [
  ["Enter, arrows", "crosshair on the photo; Enter places a color, or starts and ends a lasso or brush"],
  ["1 to 6", "choose a likely color, or answer a question"],
  ["Shift arrows", "move the chosen place"],
  ["Delete", "remove the chosen color"],
  ["Escape", "end, close, choose nothing"],
  ["Ctrl Z, Ctrl Shift Z", "undo, redo"],
  ["H, L, B, E", "color, lasso, brush, to gray"],
  ["[ and ]", "smaller and larger brush"],
  ["I", "pick a color from a photo"],
  ["A", "ask me"],
  ["U", "where am I unsure?"],
  ["S", "before and after; the line follows the pointer"],
  ["hold G", "the photo in gray"],
  ["Z, 0, +, -", "actual size, fit, zoom in, zoom out"],
  ["hold Space", "drag moves the photo"],
  ["Left, Right", "previous and next photo"],
  ["Ctrl S", "save"],
  ["Ctrl O", "open"],
  ["?", "this help"],
];
$("keys").replaceChildren(...KEYS.flatMap(([key, text]) => [make("dt", {}, key), make("dd", {}, text)]));
$("help").addEventListener("click", () => $("help-dialog").showModal());

const PLAIN_KEYS = {
  h: () => useTool("hint"), l: () => useTool("lasso"), b: () => useTool("brush"), e: () => useTool("eraser"),
  i: () => colors.togglePick(), a: () => { showTab($("tab-colors")); ask.start(); }, u: toggleVeil, s: toggleSplit,
  z: toggleActualSize, 0: () => view.fit(), "+": () => view.zoom(view.scale * 1.4), "=": () => view.zoom(view.scale * 1.4),
  "-": () => view.zoom(view.scale / 1.4), "?": () => $("help-dialog").showModal(),
  "[": () => resizeBrush(1 / 1.25), "]": () => resizeBrush(1.25),
  Delete: () => colors.remove(colors.selected), Backspace: () => colors.remove(colors.selected),
  PageUp: () => strip.step(-1), PageDown: () => strip.step(1),
};

function resizeBrush(factor) {
  $("brush").value = Math.round(view.brush * factor);
  view.brush = Number($("brush").value);
  view.redraw();
}

function escape() {
  if (view.cursor !== null) view.cursor = view.trace = null;
  else if (view.tool === "pick") colors.togglePick();
  else if (ask.isAsking) ask.stop();
  else colors.select(null);
  view.redraw();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Enter with the crosshair: places a color, takes one, or starts and ends a lasso or brush. */
function enter() {
  showTab($("tab-colors"));
  const { x, y } = view.cursor;
  if (view.tool === "pick") view.dispatchEvent(new CustomEvent("pick", { detail: { x, y, done: true } }));
  else if (view.tool === "hint") colors.place({ x, y });
  else if (view.trace === null) {
    view.trace = [{ x: x + 0.5, y: y + 0.5 }];
    speak("Move with the arrow keys, then press Enter.");
  } else {
    const points = view.trace;
    view.trace = null;
    view.dispatchEvent(new CustomEvent("trace", { detail: { points } }));
  }
}

/** The crosshair of the keyboard, on the photo. Returns whether the key was used. */
function crosshair(event) {
  if (document.activeElement !== $("photo") || doc.id === null) return false;
  const { width, height } = doc.photo;
  if (event.key === "Enter" && view.cursor === null) {
    view.cursor = { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    speak("Crosshair in the middle of the photo");
  } else if (view.cursor === null) {
    return false;
  } else if (event.key === "Enter") {
    enter();
  } else if (event.key in ARROWS) {
    const [dx, dy] = ARROWS[event.key];
    const step = Math.max(1, Math.round((event.shiftKey ? 40 : 8) / view.scale));
    view.cursor = {
      x: Math.min(Math.max(view.cursor.x + dx * step, 0), width - 1),
      y: Math.min(Math.max(view.cursor.y + dy * step, 0), height - 1),
    };
    view.trace?.push({ x: view.cursor.x + 0.5, y: view.cursor.y + 0.5 });
    view.reveal(view.cursor);
  } else {
    return false;
  }
  view.redraw();
  return true;
}

const isTyping = (target) => target.matches?.('input[type="text"], textarea, select');

window.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  const isCommand = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (isCommand) {
    const job = {
      z: () => (event.shiftKey ? doc.history.redo() : doc.history.undo()), y: () => doc.history.redo(),
      s: () => saving.open(), o: () => $("files").click(),
    }[key];
    if (job === undefined || (isTyping(event.target) && key !== "s" && key !== "o")) return;
    event.preventDefault();
    return job();
  }
  if (event.altKey || isTyping(event.target)) return;
  const isSlider = event.target.matches?.('input[type="range"]');
  if (!isSlider && crosshair(event)) return event.preventDefault();
  if (event.key in ARROWS && !isSlider) {
    const [dx, dy] = ARROWS[event.key];
    if (event.shiftKey ? colors.nudge(dx, dy) : dx !== 0 && strip.photos.length > 1 && (strip.step(dx), true)) event.preventDefault();
    return;
  }
  if (key === "Escape") return escape();
  if (/^[1-6]$/.test(key) && !isSlider) return ask.isAsking ? ask.answer(Number(key)) : colors.choose(Number(key));
  if (key === " " && (event.target === document.body || event.target === $("photo"))) {
    view.isPanKey = true;
    $("photo").classList.add("is-pan");
    return event.preventDefault();
  }
  if (key === "g") {
    view.showGray = true;
    return view.redraw();
  }
  if (Object.hasOwn(PLAIN_KEYS, key) && !event.repeat) PLAIN_KEYS[key]();
  else if (["[", "]", "+", "-"].includes(key)) PLAIN_KEYS[key]();
});
function release() {
  view.isPanKey = view.showGray = false;
  $("photo").classList.remove("is-pan");
  view.redraw();
}
window.addEventListener("keyup", (event) => {
  if (event.key === " " || event.key.toLowerCase() === "g") release();
});
window.addEventListener("blur", release);

// Start

showSliders();
showHistory();
parts.forEach((part) => part.showAbilities());
try {
  await setup.load();
  await strip.refresh();
} catch (error) {
  fail(error);
}
parts.forEach((part) => part.showAbilities());
