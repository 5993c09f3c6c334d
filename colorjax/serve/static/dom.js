// Small help for the page: elements, messages, announcements.

export const $ = (id) => document.getElementById(id);

/** Returns an element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Says something to a screen reader only. */
export function speak(text) {
  $("spoken").textContent = text;
}

/** Shows a sentence until it is closed, at the latest after `seconds`. */
export function tell(text, { isError = false, seconds = isError ? 30 : 6 } = {}) {
  for (const old of $("messages").children) if (old.dataset.text === text) old.remove();
  const close = make("button", { type: "button", className: "plain small" }, icon("close"));
  close.setAttribute("aria-label", "Close this message");
  const box = make("div", { className: isError ? "message error" : "message" }, make("p", {}, text), close);
  box.dataset.text = text;
  const remove = () => box.remove();
  close.addEventListener("click", remove);
  setTimeout(remove, 1000 * seconds);
  $("messages").append(box);
}

export const fail = (error) => {
  tell(error?.message ?? String(error), { isError: true });
};

/** Switches a control off with a sentence that says why, or on. */
export function allow(control, isAllowed, why = "") {
  control.disabled = !isAllowed;
  if (control.dataset.title === undefined) control.dataset.title = control.title;
  control.title = isAllowed ? control.dataset.title : why;
}

/** Saves a blob under a name, as a download of the browser. */
export function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Shows progress over the photo; "" hides it. */
export function progress(text) {
  $("progress").hidden = text === "";
  $("progress-text").textContent = text;
}
