// The dialog "Save": into the folder or as a download, always at full size by the program.

import { send, sendJson } from "./api.js";
import { $, download, fail, tell } from "./dom.js";

export class Saving {
  constructor(doc, strip) {
    this.doc = doc;
    this.strip = strip;
    $("save").addEventListener("click", () => this.open());
    $("save-folder").addEventListener("click", () => this.#save(false));
    $("save-replace").addEventListener("click", () => this.#save(true));
    $("save-download").addEventListener("click", () => this.#fetch("download", () => send("POST", doc.path("download"), doc.body())));
    $("save-session").addEventListener("click", () => this.#fetch("journal", () => send("GET", doc.path("journal"))));
  }

  open() {
    if (this.doc.id === null) return;
    $("save-state").textContent = "";
    $("save-replace").hidden = true;
    $("save-name").textContent = this.doc.photo.output ?? "";
    $("save-dialog").showModal();
  }

  async #save(overwrite) {
    await this.#during("Saving at full size…", async () => {
      try {
        const { file, folder, notes = [] } = await sendJson("POST", this.doc.path("save"), this.doc.body({ overwrite }));
        $("save-dialog").close();
        tell(`Saved ${file}${folder ? ` in ${folder}` : ""}.`, { seconds: 12 });
        for (const note of notes) tell(note, { seconds: 20 });
        await this.strip.refresh();
      } catch (error) {
        if (!error.isExisting) throw error;
        $("save-state").textContent = error.message;
        $("save-replace").hidden = false;
        $("save-replace").focus();
      }
    });
  }

  async #fetch(what, ask) {
    await this.#during(what === "download" ? "Making the photo at full size…" : "", async () => {
      await this.doc.journal.done;
      const response = await ask();
      const name = decodeURIComponent(response.headers.get("X-Colorjax-Name") ?? this.doc.photo.output);
      download(await response.blob(), name);
      $("save-dialog").close();
    });
  }

  async #during(text, job) {
    const buttons = ["save-folder", "save-replace", "save-download", "save-session"].map($);
    for (const button of buttons) button.disabled = true;
    $("save-state").textContent = text;
    try {
      await job();
    } catch (error) {
      $("save-state").textContent = "";
      $("save-dialog").close();
      fail(error);
    } finally {
      for (const button of buttons) button.disabled = false;
      if ($("save-state").textContent === text) $("save-state").textContent = "";
    }
  }
}
