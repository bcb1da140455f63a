// Which engines there are to choose from, and how they are: asked for again and again, where there
// are several. The first is the default.
//
// A choice is an engine's id, or '' for whichever is the default.

import { json } from '../lib/api.js';
import { element } from '../lib/dom.js';
import { within } from '../lib/text.js';

const calm = 10_000; // ms between looks while all are ready
const keen = 4_000; // and while one is not

/** @type {ListedEngine[]} */
let known = [];
const listeners = new Set();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

export const engines = () => known;
export const areSeveral = () => known.length > 1;

// The engine that a choice means here; one that is gone is the default.
/** @type {(choice: string | null | undefined) => ListedEngine | undefined} */
export const engineOf = (choice) => known.find(({ id }) => id === choice) ?? known[0];

// The id to write down of a choice, so that it means the same elsewhere; null where there is one
// engine alone, which every server has.
/** @type {(choice: string | null | undefined) => string | null} */
export const engineId = (choice) => (areSeveral() ? engineOf(choice)?.id ?? null : null);

// What a reader should know of a choice whose engine is not here, or ''.
/** @type {(choice: string | null | undefined) => string} */
export function engineGone(choice) {
  if (!choice || choice === 'default' || known.some(({ id }) => id === choice)) return '';
  return `The engine “${within(choice)}” is not here: ${areSeveral() ? within(known[0].name) : 'the one of this server'} answers in its place.`;
}

/** @param {() => void} listener told of every change */
export function onEngines(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const optionText = ({ name, state }) => (['loading', 'offline'].includes(state) ? `${within(name)} · ${state}` : within(name));

// Shows the engines in a select, and their states in words. What is shown already stays the same
// node, since a select that is open would close.
/**
 * @param {HTMLSelectElement} select
 * @param {string | null | undefined} choice
 */
export function showEngines(select, choice) {
  if (select.options.length !== known.length) select.replaceChildren(...known.map(({ id }) => new Option('', id)));
  known.forEach((each, i) => {
    const option = select.options[i];
    option.value = each.id;
    if (option.text !== optionText(each)) option.text = optionText(each);
  });
  const chosen = engineOf(choice);
  if (!chosen) return;
  if (select.value !== chosen.id) select.value = chosen.id;
  select.dataset.state = chosen.state;
}

/** @param {(choice: string) => void} changed */
export function engineSelect(changed) {
  const select = element('select', { className: 'engine-of' });
  select.addEventListener('change', () => changed(select.value));
  return select;
}

// What is known of an engine that cannot say it at present.
function lastOf(id) {
  const last = known.find((each) => each.id === id);
  return last ? { name: last.name, unsupported: last.unsupported, emulated: last.emulated, seeds_repeat: last.seeds_repeat } : {};
}

async function look() {
  clearTimeout(timer);
  try {
    const { engines: now } = await json('api/engines');
    known = now.map((each) => (each.state === 'ready' ? each : { ...each, ...lastOf(each.id) }));
    for (const listener of listeners) listener();
  } catch {
    // The page says elsewhere that the server cannot be reached.
  }
  if (!document.hidden) timer = setTimeout(look, known.every(({ state }) => state === 'ready') ? calm : keen);
}

// given: the engines as the server knows them when it writes the page, [{id, name}].
export function startEngines(given) {
  known = given.map((each) => ({ ...each, state: 'unknown', unsupported: [], emulated: [], seeds_repeat: null }));
  if (!areSeveral()) return;
  document.addEventListener('visibilitychange', () => { if (!document.hidden) void look(); });
  addEventListener('online', look);
  void look();
}
