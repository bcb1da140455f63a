// What outlives a reload, in this browser only. A full or forbidden storage is told once to
// `onRefused` and loses nothing that is on the page.
//
// What a person works on in one browser tab is that tab's: another tab never replaces it. A new tab
// begins with what was changed last in any.

import { isObject } from './validate.js';

const prefix = 'kto-playground.v1.';
const ofTheTab = new Set(['chat', 'draft', 'beginning', 'comparison', 'samplers']);
const known = new Map(); // what this tab read or wrote last, by name
let refused = false;
/** @type {(words: string) => void} */
let onRefused = () => {};

export function whenRefused(listener) {
  onRefused = listener;
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
  if (ofTheTab.has(name) && known.get(name) === text) return;
  try {
    if (ofTheTab.has(name)) sessionStorage.setItem(prefix + name, text);
    localStorage.setItem(prefix + name, text);
    known.set(name, text);
    refused = false;
  } catch (error) {
    if (refused) return;
    refused = true;
    onRefused(error.name === 'QuotaExceededError'
      ? 'This browser’s storage is full: the conversation stays on the page, but a reload will lose what is new.'
      : 'This browser does not let the page store anything: a reload will lose the conversation.');
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

// Says that something else cannot be stored, unless more was said already.
export function refuse(words) {
  if (!refused) onRefused(words);
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
