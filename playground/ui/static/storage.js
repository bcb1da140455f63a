// What outlives a reload, in this browser only. A full or forbidden storage is told once to
// `onRefused` and loses nothing that is on the page.

const prefix = 'kto-playground.v1.';
let refused = false;
let onRefused = () => {};

export function whenRefused(listener) {
  onRefused = listener;
}

// Whether a key of the browser's storage is this one of ours.
export const isStored = (key, name) => key === prefix + name;

export function load(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(prefix + name)) ?? fallback;
  } catch {
    return fallback;
  }
}

export function save(name, value) {
  try {
    localStorage.setItem(prefix + name, JSON.stringify(value));
    refused = false;
  } catch (error) {
    if (refused) return;
    refused = true;
    onRefused(error.name === 'QuotaExceededError'
      ? 'This browser’s storage is full: the conversation stays on the page, but a reload will lose what is new.'
      : 'This browser does not let the page store anything: a reload will lose the conversation.');
  }
}

// Whether this browser tab sees the page for the first time; a reload is not a visit.
export function firstVisit() {
  try {
    const known = sessionStorage.getItem(`${prefix}visit`) !== null;
    sessionStorage.setItem(`${prefix}visit`, 'true');
    return !known;
  } catch {
    return false;
  }
}
