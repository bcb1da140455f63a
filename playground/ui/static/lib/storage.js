// What outlives a reload, in this browser only. A full or forbidden storage is told, as long as it is
// so, and loses nothing that is on the page.
//
// What a person works on in one browser tab is that tab's: another tab never replaces it. A new tab
// begins with what was changed last in any.

import { isObject } from './validate.js';

const prefix = 'kto-playground.v1.';
const ofTheTab = new Set(['chat', 'draft', 'beginning', 'comparison', 'samplers']);
const known = new Map(); // what this tab read or wrote last, by name
/** @type {Map<string, string>} */
const refused = new Map(); // of what cannot be stored now, by name, why
/** @type {((words: string) => void)[]} */
const listeners = [];
/** @type {string | undefined} */
let archive; // why the archive keeps nothing

// Why something is not stored, '' where all is. What holds for the conversation is more than what holds for the archive.
const whyNot = () => [...refused.values()][0] ?? archive ?? '';

// listener(words): now, and whenever they change.
export function onRefusal(listener) {
  listeners.push(listener);
  listener(whyNot());
}

/** @param {() => void} change */
function changing(change) {
  const before = whyNot();
  change();
  if (whyNot() !== before) listeners.forEach((each) => each(whyNot()));
}

/**
 * Says why the archive keeps nothing, or that it does.
 * @param {string} [words]
 */
export function refuseArchive(words) {
  changing(() => { archive = words; });
}

// Whether a key of the browser's storage is this one of ours.
export const isStored = (key, name) => key === prefix + name;

// What is stored, or `fallback`. An object comes with the fallback's entries where it lacks its own.
export function load(name, fallback) {
  try {
    const text = (ofTheTab.has(name) && sessionStorage.getItem(prefix + name)) || localStorage.getItem(prefix + name);
    known.set(name, text);
    const value = JSON.parse(text ?? 'null') ?? fallback;
    if (!isObject(fallback)) return value;
    return isObject(value) ? { ...fallback, ...value } : fallback;
  } catch {
    return fallback;
  }
}

export function save(name, value) {
  const text = JSON.stringify(value);
  if (ofTheTab.has(name) && known.get(name) === text) {
    changing(() => refused.delete(name));
    return;
  }
  try {
    if (ofTheTab.has(name)) sessionStorage.setItem(prefix + name, text);
    localStorage.setItem(prefix + name, text);
    known.set(name, text);
    changing(() => refused.delete(name));
  } catch (error) {
    changing(() => refused.set(name, error.name === 'QuotaExceededError'
      ? 'This browser’s storage is full: the conversation stays on the page, but a reload will lose what is new.'
      : 'This browser does not let the page store anything: a reload will lose the conversation.'));
  }
}

// The same for a reload of this browser tab alone. Where there is no room, what was saved stays.
export function handOver(name, value) {
  try {
    const text = JSON.stringify(value);
    sessionStorage.setItem(prefix + name, text);
    known.set(name, text);
  } catch {
    // then a reload goes on with what was saved
  }
}

// A list that is kept for a reload of this browser tab alone.
export function recall(name) {
  try {
    const list = JSON.parse(sessionStorage.getItem(prefix + name) ?? 'null');
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
}

export function remember(name, list) {
  try {
    sessionStorage.setItem(prefix + name, JSON.stringify(list));
  } catch {
    // then a reload does without
  }
}

// Whether this browser tab sees the page for the first time; a reload is not a visit.
export function firstVisit() {
  try {
    const seen = sessionStorage.getItem(`${prefix}visit`) !== null;
    sessionStorage.setItem(`${prefix}visit`, 'true');
    return !seen;
  } catch {
    return false;
  }
}
