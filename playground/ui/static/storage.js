// What outlives a reload, in this browser only. A full or forbidden storage is told once to
// `onRefused` and loses nothing that is on the page.

const prefix = 'kto-playground.v1.';
let refused = false;
let onRefused = () => {};

export function whenRefused(listener) {
  onRefused = listener;
}

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
