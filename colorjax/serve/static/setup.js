// The panel "Setup": the weights, with license, card and what they cannot do.

import { sendJson } from "./api.js";
import { $, fail, make, progress } from "./dom.js";

const NAMES = {
  hints: "Colors of a place", suggest: "Likely colors", uncertainty: "Unsure?", ask: "Ask me",
  variants: "Other versions", reference: "Colors of another photo", regions: "Areas",
};

export class Setup {
  constructor(doc, strip) {
    this.doc = doc;
    this.strip = strip;
    $("weights").addEventListener("change", ({ target }) => this.#choose(target.value));
  }

  async load() {
    const { current, weights } = await sendJson("GET", "/api/weights");
    this.weights = weights;
    $("weights").replaceChildren(...weights.map(({ name }) => make("option", { value: name }, name)));
    this.#show(current);
  }

  async #choose(name) {
    progress("Getting ready…");
    $("weights").disabled = true;
    try {
      const loaded = await sendJson("POST", "/api/weights", { name });
      this.weights = this.weights.map((one) => (one.name === name ? loaded : one));
      this.#show(name);
      if (this.doc.id !== null) await this.strip.show(this.doc.id);
    } catch (error) {
      fail(error);
      this.#show(this.current);
    } finally {
      progress("");
      $("weights").disabled = false;
    }
  }

  #show(name) {
    this.current = name;
    const { license, summary, card = {}, can = {} } = this.weights.find((one) => one.name === name) ?? {};
    $("weights").value = name;
    $("weights-about").replaceChildren(
      make("dt", {}, "License"), make("dd", {}, license || "not given"),
      ...(summary ? [make("dt", {}, "Summary"), make("dd", {}, summary)] : []));
    const cannot = Object.keys(NAMES).filter((ability) => can[ability] === false);
    $("weights-cannot").hidden = cannot.length === 0;
    $("weights-cannot").replaceChildren(
      make("strong", {}, "Switched off with this colorizer"),
      make("ul", {}, ...cannot.map((ability) => make("li", {}, `${NAMES[ability]}: ${can.why_not?.[ability] ?? ""}`))));
    $("card-text").replaceChildren(make("dl", { className: "about" }, ...Object.entries(card).flatMap(([key, value]) => [
      make("dt", {}, key.replaceAll("_", " ")), make("dd", {}, typeof value === "string" ? value : JSON.stringify(value)),
    ])));
  }
}
