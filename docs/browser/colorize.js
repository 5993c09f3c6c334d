// Colorizes a dropped photo with an ONNX model of `colorjax export`. The steps and constants are those
// of colorjax/inference: shrink L, predict ab, enlarge ab guided by L, shrink chroma into sRGB.

import { gamutFactor } from "./color.js";

const $ = (id) => document.getElementById(id);
const BUCKETS = 8; // inference/working_size.py
const MOST_ASPECT = 4;
const EPSILON = 0.01; // inference/chroma.py
const LEAST_FACTOR = 1.5;
const BLUR = [1 / 8, 6 / 8, 1 / 8];
const MOST_PIXELS = 64e6;

let session = null;
let about = null;
let ort = null;
let photo = null; // { name, width, height, lightness, ab: [a, b], alpha }
let busy = false;

// ---- colors

const LINEAR = Float64Array.from({ length: 256 }, (_, i) => {
  const v = i / 255;
  return v > 0.04045 ? ((v + 0.055) / 1.055) ** 2.4 : v / 12.92;
});
const ENCODED = Uint8Array.from({ length: 65536 }, (_, i) => {
  const v = i / 65535;
  return Math.round(255 * (v > 0.0031308 ? 1.055 * v ** (1 / 2.4) - 0.055 : 12.92 * v));
});

/** L of CIE Lab of RGBA pixels, Float32Array. */
function lightnessOf(rgba) {
  const out = new Float32Array(rgba.length / 4);
  for (let i = 0, k = 0; i < out.length; i++, k += 4) {
    const y = 0.212671 * LINEAR[rgba[k]] + 0.71516 * LINEAR[rgba[k + 1]] + 0.072169 * LINEAR[rgba[k + 2]];
    out[i] = 116 * (y > 0.008856 ? Math.cbrt(y) : 7.787 * y + 16 / 116) - 16;
  }
  return out;
}

const encode = (v) => ENCODED[v <= 0 ? 0 : v >= 1 ? 65535 : Math.round(65535 * v)];
const unroot = (r) => (r > 0.2068966 ? r * r * r : (r - 16 / 116) / 7.787);

/** Writes the sRGB of (L, a, b) into RGBA pixels at k; outside sRGB the chroma shrinks. */
function paint(rgba, k, l, a, b) {
  const s = a || b ? gamutFactor(l, a, b) : 1;
  const fy = (l + 16) / 116;
  const x = unroot(fy + (s * a) / 500);
  const y = unroot(fy);
  const z = unroot(Math.max(fy - (s * b) / 200, 0));
  rgba[k] = encode(3.0799803 * x - 1.53715152 * y - 0.54282131 * z);
  rgba[k + 1] = encode(-0.92124775 * x + 1.87599 * y + 0.04524734 * z);
  rgba[k + 2] = encode(0.05289046 * x - 0.20404134 * y + 1.15123201 * z);
}

// ---- resizing, as Pillow does it

const cubic = (t) => {
  t = Math.abs(t);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
};
const FILTERS = {
  bicubic: [2, cubic],
  box: [0.5, (t) => (t > -0.5 && t <= 0.5 ? 1 : 0)],
  bilinear: [1, (t) => Math.max(0, 1 - Math.abs(t))],
};

/** For each output position the first input and its weights. */
function windows(from, to, filter) {
  const [reach, weight] = FILTERS[filter];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - reach * stretch + 0.5));
    const last = Math.min(from, Math.floor(center + reach * stretch + 0.5));
    const shares = [];
    for (let at = first; at < last; at++) shares.push(weight((at - center + 0.5) / stretch));
    const total = shares.reduce((sum, w) => sum + w, 0);
    return { first, shares: shares.map((w) => w / total) };
  });
}

function resize(plane, width, height, toWidth, toHeight, filter) {
  const wide = new Float32Array(toWidth * height);
  windows(width, toWidth, filter).forEach(({ first, shares }, x) => {
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let j = 0; j < shares.length; j++) sum += shares[j] * plane[y * width + first + j];
      wide[y * toWidth + x] = sum;
    }
  });
  const out = new Float32Array(toWidth * toHeight);
  windows(height, toHeight, filter).forEach(({ first, shares }, y) => {
    for (let x = 0; x < toWidth; x++) {
      let sum = 0;
      for (let j = 0; j < shares.length; j++) sum += shares[j] * wide[(first + j) * toWidth + x];
      out[y * toWidth + x] = sum;
    }
  });
  return out;
}

/** Convolves with three weights along both axes, edges repeated. */
function smooth(plane, width, height, weights) {
  const across = new Float32Array(plane.length);
  const out = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const row = y * width;
      across[row + x] = weights[0] * plane[row + Math.max(x - 1, 0)] + weights[1] * plane[row + x]
        + weights[2] * plane[row + Math.min(x + 1, width - 1)];
    }
  }
  for (let y = 0; y < height; y++) {
    const up = Math.max(y - 1, 0) * width;
    const down = Math.min(y + 1, height - 1) * width;
    for (let x = 0; x < width; x++) {
      out[y * width + x] = weights[0] * across[up + x] + weights[1] * across[y * width + x] + weights[2] * across[down + x];
    }
  }
  return out;
}

const mean3 = (plane, w, h) => smooth(plane, w, h, [1 / 3, 1 / 3, 1 / 3]);
const sharpened = (plane, w, h) => {
  const blurred = smooth(plane, w, h, BLUR);
  return plane.map((v, i) => 2 * v - blurred[i]);
};

/** Enlarges ab to the photo's size, its edges aligned with those of L. */
function enlargeGuided(ab, w, h, lightness, width, height) {
  const up = (plane) => resize(plane, w, h, width, height, "bilinear");
  if (Math.min(width / w, height / h) < LEAST_FACTOR) return ab.map(up);
  const coarse = resize(lightness, width, height, w, h, "box").map((v) => v / 100);
  const mean = mean3(coarse, w, h);
  const square = mean3(coarse.map((v) => v * v), w, h);
  const variance = square.map((v, i) => v - mean[i] * mean[i] + EPSILON);
  const base = up(sharpened(coarse, w, h));
  return ab.map((plane) => {
    const own = mean3(plane, w, h);
    const both = mean3(plane.map((v, i) => v * coarse[i]), w, h);
    const slope = up(mean3(both.map((v, i) => (v - mean[i] * own[i]) / variance[i]), w, h));
    const out = up(sharpened(plane, w, h));
    for (let i = 0; i < out.length; i++) out[i] += slope[i] * (lightness[i] / 100 - base[i]);
    return out;
  });
}

// ---- the model

async function load() {
  about = await (await fetch("model.json")).json();
  const gpu = navigator.gpu ? await navigator.gpu.requestAdapter() : null;
  ort = await import(gpu ? "./ort.webgpu.min.mjs" : "./ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const model = new Uint8Array(await (await fetch("model.onnx")).arrayBuffer());
  session = await ort.InferenceSession.create(model, { executionProviders: gpu ? ["webgpu", "wasm"] : ["wasm"] });
  say("Ready. Drop a photo.");
}

/** Width and height at which the model predicts colors. */
function workingSize(width, height) {
  const { side, multiple } = about;
  const step = Math.ceil(side / BUCKETS / multiple) * multiple;
  const aspect = Math.min(Math.max(width, height) / Math.min(width, height), MOST_ASPECT);
  const long = Math.max(side, Math.round((side * aspect) / step) * step);
  return height <= width ? [long, side] : [side, long];
}

async function predict(lightness, width, height) {
  const [w, h] = workingSize(width, height);
  const small = resize(lightness, width, height, w, h, "bicubic").map((v) => Math.min(Math.max(v, 0), 100));
  const feeds = { gray: new ort.Tensor("float32", small, [1, 1, h, w]) };
  if (session.inputNames.includes("global_colors")) {
    feeds.global_colors = new ort.Tensor("float32", new Float32Array(about.palette), [1, about.palette]);
  }
  const { ab } = await session.run(feeds, ["ab"]);
  const data = await ab.getData();
  return { ab: [data.slice(0, w * h), data.slice(w * h)], w, h };
}

/** Colorizes RGBA pixels: L and full-size a and b. */
export async function colorize(rgba, width, height) {
  const lightness = lightnessOf(rgba);
  const { ab, w, h } = await predict(lightness, width, height);
  return { lightness, ab: enlargeGuided(ab, w, h, lightness, width, height) };
}

/** RGBA pixels of a photo with its colors times a factor. */
export function painted({ lightness, ab: [a, b], alpha }, saturation) {
  const rgba = new Uint8ClampedArray(4 * lightness.length);
  for (let i = 0; i < lightness.length; i++) {
    paint(rgba, 4 * i, lightness[i], saturation * a[i], saturation * b[i]);
    rgba[4 * i + 3] = alpha ? alpha[i] : 255;
  }
  return rgba;
}

// ---- the page

const say = (text) => { $("status").textContent = text; };
const pause = () => new Promise((done) => { setTimeout(done, 20); });

async function open(file) {
  if (busy || session === null) return;
  busy = true;
  try {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      throw new Error(`This browser cannot read ${file.name}. Save it as JPEG or PNG, then try again.`);
    }
    const { width, height } = bitmap;
    if (width * height > MOST_PIXELS) throw new Error("This photo is too large for a browser page. Use the program colorjax colorize.");
    const canvas = $("photo");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    say("Colorizing ...");
    await pause();
    const start = performance.now();
    const { data } = context.getImageData(0, 0, width, height);
    const alpha = data.some((v, i) => i % 4 === 3 && v < 255) ? data.filter((_, i) => i % 4 === 3) : null;
    photo = { name: file.name, width, height, alpha, ...(await colorize(data, width, height)) };
    show();
    for (const id of ["saturation", "gray", "save"]) $(id).disabled = false;
    say(`${file.name}: ${width} x ${height} pixels, colorized in ${((performance.now() - start) / 1000).toFixed(1)} s.`);
  } catch (error) {
    say(error.message);
  } finally {
    busy = false;
  }
}

function show() {
  if (photo === null) return;
  const saturation = $("gray").getAttribute("aria-pressed") === "true" ? 0 : Number($("saturation").value);
  const pixels = painted(photo, saturation);
  $("photo").getContext("2d").putImageData(new ImageData(pixels, photo.width, photo.height), 0, 0);
}

function save() {
  $("photo").toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${photo.name.replace(/\.[^.]*$/, "")}.color.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

function listen() {
  $("file").addEventListener("change", () => $("file").files.length && open($("file").files[0]));
  $("saturation").addEventListener("change", show);
  $("save").addEventListener("click", save);
  $("gray").addEventListener("click", () => {
    $("gray").setAttribute("aria-pressed", String($("gray").getAttribute("aria-pressed") !== "true"));
    show();
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
    });
  }
}

if (typeof document !== "undefined") {
  listen();
  load().catch((error) => say(`The colorizer could not be loaded: ${error.message}`));
}
