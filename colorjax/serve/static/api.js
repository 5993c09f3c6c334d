// Calls to the server on this computer.

const KEY = "colorjax-token";

function readToken() {
  const given = location.hash.slice(1);
  if (given !== "") {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  return given || sessionStorage.getItem(KEY) || "";
}

const token = readToken();

/** A random name; crypto.randomUUID is missing where a page comes from another computer. */
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (v) => v.toString(16).padStart(2, "0")).join("");

/** Names this page; the server keeps the requests of two pages apart. */
export const client = newId();

let last = 0;
/** A number larger than every earlier one of this page. */
export const nextSeq = () => (last += 1);

/** An answer that is an error, with a sentence for the user. */
export class ApiError extends Error {
  constructor(status, { error = "The program did not answer as expected.", ...flags }) {
    super(error);
    this.status = status;
    this.isSuperseded = flags.superseded === true;
    this.isExisting = flags.exists === true;
    this.isStale = flags.stale === true;
    this.isReferenceLost = flags.reference === true;
  }
}

/** Sends one request; returns the Response, or throws an ApiError. */
export async function send(method, path, body) {
  const headers = { "X-Colorjax-Token": token };
  const isRaw = body instanceof Blob;
  if (body !== undefined && !isRaw) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method, headers, cache: "no-store", body: body === undefined || isRaw ? body : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, { error: "The program has stopped. Start colorjax serve again, then reload this page." });
  }
  if (response.ok) return response;
  let flags = {};
  try {
    flags = await response.json();
  } catch { /* an answer that is no JSON keeps the default sentence */ }
  if (response.status === 403) flags.error = "This page has lost its key. Open the address that colorjax serve printed.";
  throw new ApiError(response.status, flags);
}

export const sendJson = async (...args) => (await send(...args)).json();
export const sendBlob = async (...args) => (await send(...args)).blob();
export const sendBitmap = async (...args) => createImageBitmap(await sendBlob(...args));

/** Runs one job at a time; of those that wait only the newest is run. */
export class Latest {
  constructor(run, onError) {
    this.run = run;
    this.onError = onError;
    this.isBusy = false;
    this.waiting = null;
    this.onChange = () => {};
  }

  push(...args) {
    this.waiting = args;
    if (!this.isBusy) this.done = this.#loop();
    return this.done;
  }

  drop() {
    this.waiting = null;
  }

  async #loop() {
    this.isBusy = true;
    this.onChange();
    while (this.waiting !== null) {
      const args = this.waiting;
      this.waiting = null;
      try {
        await this.run(...args);
      } catch (error) {
        if (!error.isSuperseded && !error.isStale) this.onError(error);
      }
    }
    this.isBusy = false;
    this.onChange();
  }
}
