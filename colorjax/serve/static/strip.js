// The photos that are open: strip of thumbnails, files that are dropped or chosen.

import { sendBlob, sendJson } from "./api.js";
import { $, fail, make, progress, speak, tell } from "./dom.js";

const STAGE_POLL = 300; // ms

export class Strip {
  constructor(doc) {
    this.doc = doc;
    this.photos = [];
    this.latest = 0; // number of the last `show`
    this.watcher = new IntersectionObserver((entries) => entries.forEach((entry) => this.#thumbnail(entry)), { rootMargin: "200px" });
    for (const id of ["open", "choose"]) $(id).addEventListener("click", () => $("files").click());
    $("files").addEventListener("change", ({ target }) => {
      this.add([...target.files]);
      target.value = "";
    });
    this.#listenToDrops();
    $("thumbs").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined || event.shiftKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.step(step);
    });
  }

  /** Reads the list of photos; opens the first one at the start. */
  async refresh() {
    await this.#read();
    const first = this.photos.find(({ error }) => error === "") ?? this.photos[0];
    if (this.doc.id === null && first !== undefined) await this.show(first.id);
  }

  async #read() {
    const { photos } = await sendJson("GET", "/api/photos");
    const errors = new Map(this.photos.map(({ id, error }) => [id, error]));
    this.photos = photos.map((photo) => ({ ...photo, error: photo.error || (errors.get(photo.id) ?? "") }));
    this.#list();
  }

  /** Sends files of this computer to the program, then opens the first. */
  async add(files) {
    let first = null;
    for (const [i, file] of files.entries()) {
      progress(files.length > 1 ? `Reading photo ${i + 1} of ${files.length}…` : "Reading the photo…");
      try {
        const photo = await sendJson("PUT", `/api/photos?name=${encodeURIComponent(file.name)}`, file);
        first ??= photo.id;
      } catch (error) {
        tell(`${file.name}: ${error.message}`, { isError: true });
      }
    }
    progress("");
    if (first === null) return;
    try {
      await this.#read();
    } catch (error) {
      fail(error);
    }
    await this.show(first);
  }

  /** Opens a photo of the strip; of several asked for in a hurry, only the last. */
  async show(id) {
    const number = ++this.latest;
    const photo = this.photos.find((one) => one.id === id);
    if (photo?.error) return tell(`${photo.name}: ${photo.error}`, { isError: true });
    this.#mark(id);
    this.opening = (this.opening ?? Promise.resolve()).then(async () => {
      if (number !== this.latest) return;
      const stop = this.#showStage();
      try {
        await this.doc.open(id);
        speak(`${photo?.name ?? "The photo"} is colored.`);
      } catch (error) {
        fail(error);
        this.#mark(this.doc.id);
      } finally {
        stop();
      }
    });
    await this.opening;
  }

  /** Opens the next (1) or the previous (-1) photo. */
  step(by) {
    let at = this.photos.findIndex(({ id }) => id === this.marked) + by;
    while (this.photos[at]?.error) at += by;
    const next = this.photos[at];
    if (next === undefined) return;
    const hasFocus = $("thumbs").contains(document.activeElement);
    this.show(next.id);
    if (hasFocus) this.#button(next.id)?.focus();
  }

  #button(id) {
    return $("thumbs").querySelector(`[data-id="${id}"]`);
  }

  #list() {
    $("strip").hidden = this.photos.length < 2;
    const old = new Map([...$("thumbs").children].map((item) => [item.firstChild.dataset.id, item]));
    $("thumbs").replaceChildren(...this.photos.map((photo) => old.get(photo.id) ?? this.#item(photo)));
    this.photos.forEach((photo, i) => this.#label($("thumbs").children[i].firstChild, photo));
    this.#mark(this.marked ?? null);
  }

  #label(button, { name, error, saved, edited }) {
    const state = error ? "cannot be opened" : saved ? "saved" : edited ? "edited" : "";
    button.setAttribute("aria-label", state ? `${name}, ${state}` : name);
    button.title = error ? `${name}: ${error}` : name;
    button.dataset.state = state;
  }

  #item({ id }) {
    const canvas = make("canvas", { width: 96, height: 72 });
    canvas.setAttribute("aria-hidden", "true");
    const button = make("button", { type: "button", className: "thumb", tabIndex: -1 }, canvas);
    button.dataset.id = id;
    button.addEventListener("click", () => this.show(id));
    this.watcher.observe(button);
    return make("li", {}, button);
  }

  async #thumbnail({ target, isIntersecting }) {
    if (!isIntersecting) return;
    this.watcher.unobserve(target);
    try {
      const image = await createImageBitmap(await sendBlob("GET", `/api/photos/${target.dataset.id}/thumbnail?side=192`));
      const canvas = target.firstChild;
      canvas.width = image.width;
      canvas.height = image.height;
      canvas.getContext("2d").drawImage(image, 0, 0);
    } catch (error) {
      const photo = this.photos.find(({ id }) => id === target.dataset.id);
      if (photo === undefined || error.status !== 415) return;
      photo.error ||= error.message;
      this.#label(target, photo);
    }
  }

  #mark(id) {
    this.marked = id;
    for (const { firstChild: button } of $("thumbs").children) {
      const isCurrent = button.dataset.id === id;
      button.setAttribute("aria-current", String(isCurrent));
      button.tabIndex = isCurrent || (id === null && button === $("thumbs").firstChild.firstChild) ? 0 : -1;
      if (isCurrent) button.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  /** Says what the program does until the returned function is called. */
  #showStage() {
    const words = {
      "loading the network": "Getting ready…", "reading the photo": "Reading the photo…",
      "looking at the photo": "Finding colors…", saving: "Saving…",
    };
    progress("Finding colors…");
    const timer = setInterval(async () => {
      try {
        const { stage } = await sendJson("GET", "/api/status");
        if (!$("progress").hidden && words[stage]) progress(words[stage]);
      } catch { /* the request that is waited for tells what is wrong */ }
    }, STAGE_POLL);
    return () => {
      clearInterval(timer);
      progress("");
    };
  }

  #listenToDrops() {
    let depth = 0;
    const show = (isOver) => {
      $("dropping").hidden = !isOver;
    };
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    window.addEventListener("dragenter", (event) => {
      if (!hasFiles(event)) return;
      depth += 1;
      show(true);
    });
    window.addEventListener("dragleave", (event) => {
      if (!hasFiles(event)) return;
      depth -= 1;
      show(depth > 0);
    });
    window.addEventListener("dragover", (event) => event.preventDefault());
    window.addEventListener("drop", (event) => {
      event.preventDefault();
      depth = 0;
      show(false);
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length > 0) this.add(files);
    });
  }
}
