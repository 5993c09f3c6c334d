// "Ask me": the places that change the picture most, each a row of swatches.

import { sendJson } from "./api.js";
import { hexOf, labOf, nameOf, parseHex, rgbOf } from "./color.js";
import { $, allow, fail, speak } from "./dom.js";
import { swatch } from "./picker.js";

const NUMBER = 5;

export class Ask {
  constructor(doc, view, colors) {
    this.doc = doc;
    this.view = view;
    this.colors = colors;
    this.questions = [];
    this.at = 0;
    $("ask").addEventListener("click", () => this.start());
    $("ask-skip").addEventListener("click", () => this.#next());
    $("ask-stop").addEventListener("click", () => this.stop());
    doc.addEventListener("opened", () => this.stop());
  }

  get isAsking() {
    return this.questions.length > 0;
  }

  async start() {
    if (this.doc.id === null || !this.doc.can.ask) return;
    this.colors.select(null);
    $("ask").disabled = true;
    $("ask-text").textContent = "Looking for the places…";
    const { id } = this.doc;
    try {
      const { questions } = await sendJson("POST", this.doc.path("ask"), this.doc.body({ k: NUMBER }));
      if (id !== this.doc.id) return;
      this.questions = questions;
      this.at = 0;
      this.#show();
      $("ask-swatches").children[0]?.focus();
    } catch (error) {
      if (!error.isSuperseded) fail(error);
      this.stop();
    }
  }

  stop(text = "The program can ask you about the places that change the picture most.") {
    this.questions = [];
    this.#show();
    $("ask-text").textContent = text;
  }

  /** Answers with one of the swatches, counted from 1. */
  answer(digit) {
    $("ask-swatches").children[digit - 1]?.click();
  }

  #answer(color, name) {
    const { x, y } = this.questions[this.at];
    this.colors.place({ x, y }, color);
    speak(`Colored ${name}.`);
    this.#next();
  }

  #next() {
    this.at += 1;
    if (this.at < this.questions.length) {
      this.#show();
      $("ask-swatches").children[0]?.focus();
    } else {
      this.stop("That was all. Ask again for more places.");
      $("ask").focus();
    }
  }

  #show() {
    const { isAsking } = this;
    const { can } = this.doc;
    $("ask-skip").hidden = $("ask-stop").hidden = $("ask-swatches").hidden = !isAsking;
    $("ask").hidden = isAsking;
    allow($("ask"), this.doc.id !== null && can.ask !== false, can.why_not?.ask);
    $("ask-title").textContent = isAsking ? `Question ${this.at + 1} of ${this.questions.length}` : "Not sure where to start?";
    this.view.questions = this.questions.slice(this.at).map((question, i) => ({ ...question, isCurrent: i === 0 }));
    this.view.redraw();
    if (!isAsking) return;
    const { x, y, lightness, suggestions } = this.questions[this.at];
    $("ask-text").textContent = "Which color has the place with the question mark? Click one or press its number.";
    $("ask-swatches").replaceChildren(...suggestions.map(({ color }, i) => {
      const [, a, b] = labOf(parseHex(color));
      const name = nameOf([lightness, a, b]);
      return swatch(hexOf(rgbOf([lightness, a, b])), lightness, i + 1, () => this.#answer(color, name));
    }));
    this.view.reveal({ x, y });
  }

  showAbilities() {
    if (!this.isAsking) this.#show();
    if (this.doc.can.ask === false) $("ask-text").textContent = this.doc.can.why_not?.ask ?? "";
  }
}
