// The panel "Ideas": other versions, colors of another photo, the whole folder.

import { send, sendBitmap, sendJson } from "./api.js";
import { $, allow, fail, make, speak } from "./dom.js";

const NUMBER = 6;
const POLL = 500; // ms
const REASONS = { exists: "has a result already", "in color": "is in color already" }; // of the program

const blobOf = (base64) => new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type: "image/jpeg" });

/** Draws a bitmap into a canvas of its size. */
function draw(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, 0, 0);
}

export class Variants {
  constructor(doc) {
    this.doc = doc;
    this.seed = 0;
    $("make-variants").addEventListener("click", () => this.make());
    $("no-variant").addEventListener("click", () => doc.history.commit({ variant: null }, "Chose the first version"));
    doc.addEventListener("opened", () => this.clear());
    doc.addEventListener("state", () => this.#show());
  }

  clear() {
    this.seed = 0;
    $("variants").replaceChildren();
    $("make-variants").textContent = "Show versions";
    this.#show();
  }

  async make() {
    const { doc } = this;
    const { id } = doc;
    const button = $("make-variants");
    button.disabled = true;
    button.textContent = "Coloring…";
    try {
      const { seed, variants } = await sendJson("POST", doc.path("variants"), doc.body({ k: NUMBER, seed: this.seed }));
      if (id !== doc.id) return;
      const pictures = await Promise.all(variants.map(({ jpeg }) => createImageBitmap(blobOf(jpeg))));
      $("variants").replaceChildren(...variants.map((variant, i) => this.#choice(seed, variant, pictures[i])));
      this.seed = seed + 1;
      this.#show();
      speak("Six versions are ready.");
    } catch (error) {
      if (!error.isSuperseded) fail(error);
    } finally {
      button.textContent = $("variants").children.length > 0 ? "Six more" : "Show versions";
      this.showAbilities();
    }
  }

  #choice(seed, { index, hints }, picture) {
    const canvas = make("canvas", {});
    draw(canvas, picture);
    canvas.setAttribute("aria-hidden", "true");
    const button = make("button", { type: "button", className: "variant" }, canvas);
    button.setAttribute("aria-label", `Version ${index + 1}`);
    button.dataset.seed = seed;
    button.dataset.index = index;
    button.addEventListener("click", () =>
      this.doc.history.commit({ variant: { seed, index, hints } }, `Chose version ${index + 1}`));
    return button;
  }

  #show() {
    const { variant } = this.doc.history.shown;
    $("no-variant").hidden = variant === null;
    for (const button of $("variants").children) {
      const isChosen = variant !== null && Number(button.dataset.seed) === variant.seed && Number(button.dataset.index) === variant.index;
      button.setAttribute("aria-pressed", String(isChosen));
    }
  }

  showAbilities() {
    const { can } = this.doc;
    allow($("make-variants"), this.doc.id !== null && can.variants !== false, can.why_not?.variants);
    $("variants-text").textContent = can.variants === false
      ? can.why_not?.variants : "Six different ways to color this photo. Choose one to start from.";
  }
}

export class Reference {
  constructor(doc) {
    this.doc = doc;
    this.shown = null; // digest of the photo that is shown
    $("reference").addEventListener("click", () => $("reference-file").click());
    $("reference-file").addEventListener("change", ({ target }) => {
      if (target.files.length > 0) this.use(target.files[0]);
      target.value = "";
    });
    $("no-reference").addEventListener("click", () => doc.history.commit({ reference: null }, "Removed the color photo"));
    doc.addEventListener("state", () => this.#show());
  }

  async use(file) {
    try {
      const { digest, name } = await sendJson("PUT", `/api/references?name=${encodeURIComponent(file.name)}`, file);
      this.doc.history.commit({ reference: { digest, name } }, "Chose a color photo");
    } catch (error) {
      fail(error);
    }
  }

  async #show() {
    const { reference } = this.doc.history.shown;
    $("no-reference").hidden = $("reference-shown").hidden = reference === null;
    if (reference === null || reference.digest === this.shown) return;
    this.shown = reference.digest;
    try {
      draw($("reference-canvas"), await sendBitmap("GET", `/api/references/${reference.digest}/thumbnail?side=320`));
      $("reference-canvas").setAttribute("aria-label", `Colors are taken from ${reference.name}`);
    } catch (error) {
      fail(error);
    }
  }

  showAbilities() {
    const { can } = this.doc;
    allow($("reference"), this.doc.id !== null && can.reference !== false, can.why_not?.reference);
    $("reference-text").textContent = can.reference === false
      ? can.why_not?.reference : "Choose a color photo whose mood this one should take.";
  }
}

/** Colorizes all photos of the strip, with progress and a list of errors. */
export class Folder {
  constructor(doc, strip) {
    this.doc = doc;
    this.strip = strip;
    $("folder").addEventListener("click", () => this.start({ colors_of: doc.id }));
    $("folder-plain").addEventListener("click", () => this.start({}));
    $("folder-stop").addEventListener("click", async () => {
      try {
        await send("DELETE", "/api/batch");
      } catch (error) {
        fail(error);
      }
    });
  }

  async start(more) {
    try {
      await this.#follow(await sendJson("POST", "/api/batch", {
        state: this.doc.body().state, overwrite: $("overwrite").checked, ...more,
      }));
    } catch (error) {
      fail(error);
    }
  }

  async #follow(batch) {
    $("folder-progress").hidden = false;
    this.isRunning = true;
    this.showAbilities();
    while (batch.running) {
      this.#show(batch);
      await new Promise((resolve) => setTimeout(resolve, POLL));
      batch = await sendJson("GET", "/api/batch");
    }
    this.isRunning = false;
    this.#show(batch);
    this.showAbilities();
    await this.strip.refresh();
  }

  #show({ running, stopped, total, done, skipped, failed, current, failures, skips }) {
    $("folder-bar").max = Math.max(total, 1);
    $("folder-bar").value = done + skipped + failed;
    const counts = [`${done} of ${total} colored`, skipped && `${skipped} skipped`, failed && `${failed} failed`];
    const state = running ? current : stopped ? "stopped" : "done";
    $("folder-state").textContent = `${counts.filter(Boolean).join(", ")}${state ? ` (${state})` : ""}`;
    $("folder-errors").replaceChildren(
      ...failures.map(({ name, error }) => make("li", { className: "error" }, `${name}: ${error}`)),
      ...skips.map(({ name, reason }) => make("li", { className: "quiet" }, `${name}: ${REASONS[reason] ?? reason}`)));
  }

  showAbilities() {
    const { can } = this.doc;
    const isFree = this.doc.id !== null && !this.isRunning;
    const number = this.strip.photos.length;
    $("folder-stop").hidden = !this.isRunning;
    allow($("folder"), isFree && can.reference !== false, can.why_not?.reference);
    allow($("folder-plain"), isFree);
    $("folder-text").textContent = number === 1
      ? "One photo is open. Open more to color them all." : `${number} photos. Each gets a result of its own; the originals stay as they are.`;
    $("folder-why").hidden = can.reference !== false;
    $("folder-why").textContent = can.reference === false ? can.why_not?.reference : "";
  }
}
