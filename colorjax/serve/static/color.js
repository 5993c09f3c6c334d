// sRGB and CIE Lab (D65, 2 degree observer), with the constants of colorjax/color/cie.py.

const WHITE_FROM_RGB = [
  [0.43394636, 0.37621387, 0.18982503],
  [0.212671, 0.71516, 0.072169],
  [0.01775667, 0.10946888, 0.87270465],
];
const RGB_FROM_WHITE = [
  [3.0799803, -1.53715152, -0.54282131],
  [-0.92124775, 1.87599, 0.04524734],
  [0.05289046, -0.20404134, 1.15123201],
];
const TOLERANCE = 5e-6; // of a linear channel outside [0, 1], as in colorjax/color/gamut.py
const BISECTIONS = 16;

const linearOf = (v) => (v > 0.04045 ? ((v + 0.055) / 1.055) ** 2.4 : v / 12.92);
const encoded = (v) => (v > 0.0031308 ? 1.055 * v ** (1 / 2.4) - 0.055 : 12.92 * v);
const root = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
const unroot = (r) => (r > 0.2068966 ? r * r * r : (r - 16 / 116) / 7.787);
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

/** Lab of 8-bit sRGB. */
export function labOf([r, g, b]) {
  const linear = [r, g, b].map((v) => linearOf(v / 255));
  const [x, y, z] = WHITE_FROM_RGB.map((row) =>
    root(row[0] * linear[0] + row[1] * linear[1] + row[2] * linear[2]));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

function linearRgb(l, a, b, out) {
  const fy = (l + 16) / 116;
  const x = unroot(fy + a / 500);
  const y = unroot(fy);
  const z = unroot(Math.max(fy - b / 200, 0));
  for (let i = 0; i < 3; i++) {
    const row = RGB_FROM_WHITE[i];
    out[i] = row[0] * x + row[1] * y + row[2] * z;
  }
  return out;
}

const isInside = (rgb) =>
  Math.min(rgb[0], rgb[1], rgb[2]) >= -TOLERANCE && Math.max(rgb[0], rgb[1], rgb[2]) <= 1 + TOLERANCE;

const scratch = [0, 0, 0];

/** Whether a Lab color is inside sRGB. */
export const inGamut = (l, a, b) => isInside(linearRgb(l, a, b, scratch));

/** The largest s in [0, 1] for which (L, s a, s b) is inside sRGB. */
export function gamutFactor(l, a, b, steps = BISECTIONS) {
  if (inGamut(l, a, b)) return 1;
  let low = 0;
  let high = 1;
  for (let i = 0; i < steps; i++) {
    const middle = (low + high) / 2;
    if (inGamut(l, middle * a, middle * b)) low = middle;
    else high = middle;
  }
  return low;
}

/** 8-bit sRGB of a Lab color; outside sRGB the chroma shrinks, L and hue stay. */
export function rgbOf([l, a, b]) {
  const s = gamutFactor(l, a, b);
  return linearRgb(l, s * a, s * b, [0, 0, 0]).map((v) => Math.round(255 * clamp(encoded(v), 0, 1)));
}

export const hexOf = (rgb) => `#${rgb.map((v) => v.toString(16).padStart(2, "0")).join("")}`;

/** [r, g, b] of "#rrggbb", "rrggbb" or "#rgb"; null for anything else. */
export function parseHex(text) {
  let digits = text.trim().replace(/^#/, "");
  if (/^[0-9a-f]{3}$/i.test(digits)) digits = [...digits].map((d) => d + d).join("");
  if (!/^[0-9a-f]{6}$/i.test(digits)) return null;
  return [0, 2, 4].map((i) => parseInt(digits.slice(i, i + 2), 16));
}

const HUES = [ // upper ends in degrees of the hue angle of Lab
  [12, "pink"], [45, "red"], [72, "orange"], [104, "yellow"], [128, "yellow-green"], [165, "green"],
  [215, "turquoise"], [262, "sky blue"], [302, "blue"], [326, "purple"], [350, "magenta"], [361, "pink"],
];

/** A plain name of a color, such as "dark brown" or "pale sky blue". */
export function nameOf([l, a, b]) {
  const chroma = Math.hypot(a, b);
  if (chroma < 5) return l < 12 ? "black" : l > 94 ? "white" : `${l < 40 ? "dark " : l > 72 ? "light " : ""}gray`;
  const angle = (Math.atan2(b, a) * 180 / Math.PI + 360) % 360;
  let hue = HUES.find(([end]) => angle < end)[1];
  if (hue === "orange" && (l < 55 || chroma < 42)) hue = l > 68 ? "beige" : "brown";
  if (hue === "red" && chroma < 34) hue = l > 55 ? "rose" : "reddish brown";
  if (hue === "yellow" && chroma < 32) hue = l > 68 ? "sand" : "brown";
  else if (hue === "yellow" && l < 58) hue = "olive";
  if (hue === "sky blue" && l < 45) hue = "blue";
  const shade = l < 30 ? "dark " : chroma < 20 && l < 80 ? "grayish " : l > 82 && chroma < 40 ? "pale " : chroma > 62 ? "vivid " : "";
  return shade + hue;
}
