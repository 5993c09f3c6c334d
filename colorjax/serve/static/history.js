// Undo and redo without limit: states are plain objects that are never changed, only replaced.

export class History extends EventTarget {
  constructor(state) {
    super();
    this.reset(state);
  }

  /** Starts again from a state, such as that of another photo. */
  reset(state) {
    this.past = [];
    this.future = [];
    this.state = state;
    this.draft = null; // while a color or a hint is dragged
    this.#changed("reset");
  }

  /** Shows a state that is not yet a step, while the pointer is down. */
  preview(change) {
    this.draft = { ...this.state, ...change };
    this.#changed("preview");
  }

  /** Makes one step. `label` says what it did, such as "Moved hint". */
  commit(change, label) {
    this.past.push({ state: this.state, label });
    this.future = [];
    this.state = { ...this.state, ...change };
    this.draft = null;
    this.#changed("commit", label);
  }

  /** Changes the last step instead of making a new one. */
  amend(change, label) {
    if (this.past.length === 0) return this.commit(change, label);
    this.past.at(-1).label = label;
    this.future = [];
    this.state = { ...this.state, ...change };
    this.draft = null;
    this.#changed("commit", label);
  }

  /** Drops what `preview` showed. */
  cancel() {
    if (this.draft === null) return;
    this.draft = null;
    this.#changed("preview");
  }

  undo() {
    return this.#step(this.past, this.future, "Undone");
  }

  redo() {
    return this.#step(this.future, this.past, "Redone");
  }

  get shown() {
    return this.draft ?? this.state;
  }

  #step(from, to, verb) {
    this.draft = null;
    const entry = from.pop();
    if (entry === undefined) return false;
    to.push({ state: this.state, label: entry.label });
    this.state = entry.state;
    this.#changed("step", `${verb}: ${entry.label}`);
    return true;
  }

  #changed(kind, label = "") {
    this.dispatchEvent(new CustomEvent("change", { detail: { kind, label } }));
  }
}
