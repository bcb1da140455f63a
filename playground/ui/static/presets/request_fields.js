// What belongs to a request beside the sampler: engine, emulation, limit, seed, stop sequences and system
// text. What is wrong with a field stands below it while it is being written.

import { showEngines } from '../engine/choice.js';
import { followEngine } from '../engine/state.js';
import { $, fit } from '../lib/dom.js';
import { number } from '../lib/text.js';
import { limitOf, limits, outcome, seedOf, seeds, stopsOf } from './edited_values.js';
import { startNumber } from './number_field.js';

/** @type {(id: string) => any} */
const field = (id) => document.getElementById(id); // null where Gradio has not drawn it
// The engine's is there where there are several.
const names = () => ['max-new-tokens', 'seed', 'stop', 'system', 'engine', 'emulate'].filter(field);
const isCheckbox = (id) => field(id).type === 'checkbox';
const readers = { 'max-new-tokens': limitOf, seed: seedOf, stop: stopsOf };
/** @type {number | null} */
let preset = null; // the limit of the preset that is chosen
/** @type {number | undefined} */
let context; // tokens that the engine's holds, while it is known

export const emulates = () => said('emulate');
export const chosenEngine = () => field('engine')?.value;
export const systemText = () => field('system').value.trim();

const said = (id) => (isCheckbox(id) ? field(id).checked : field(id).value);

// What all of them say, by their ids.
export const requestState = () => Object.fromEntries(names().map((id) => [id, said(id)]));

// {value} or {problem} in words.
const look = (id) => outcome(readers[id], field(id).value);

// What becomes of a limit that is higher than the context, or ''.
function limitWords(value) {
  const limit = value === undefined ? preset : value;
  if (context === undefined || limit === null || limit <= context) return '';
  return `The context holds ${number.format(context)} tokens: an answer gets what the conversation leaves of them.`;
}

// What a number's field says: null for nothing, undefined where it cannot be read.
function numberIn(id) {
  const { value = null, problem } = look(id);
  return problem === undefined ? value : undefined;
}

function check(id) {
  if (!(id in readers)) return;
  const { value, problem } = look(id);
  const how = $('.how', field(id).closest('.field'));
  field(id).setAttribute('aria-invalid', String(problem !== undefined));
  how.className = problem === undefined ? 'how' : 'how invalid';
  how.textContent = problem ?? (id === 'max-new-tokens' ? limitWords(value) : '');
}

// What a field says. Throws in words.
export function readRequest(id) {
  const { value, problem } = look(id);
  if (problem !== undefined) throw new Error(problem);
  return value;
}

// Writes into a field; one that nothing was kept of is empty, or ticked.
export function putRequest(id, value) {
  if (id === 'engine') {
    chooseEngine(value);
    return;
  }
  if (isCheckbox(id)) field(id).checked = value ?? true;
  else field(id).value = value ?? '';
  if (field(id).matches('textarea')) fit(field(id));
  check(id);
  if (id === 'max-new-tokens') showReset();
}

// Shows which engines there are to choose from, and that this one is chosen.
export function chooseEngine(choice) {
  if (!field('engine')) return;
  showEngines(field('engine'), choice);
  followEngine(field('engine').value);
}

// The way back to the preset's limit, while there is another one.
function showReset() {
  const reset = $('.reset', field('max-new-tokens').closest('.field'));
  const words = preset === null ? 'to the end' : String(preset);
  reset.textContent = `↺ ${words}`;
  reset.title = `Back to the preset’s: ${words}`;
  reset.setAttribute('aria-label', reset.title);
  reset.hidden = field('max-new-tokens').value.trim() === '';
}

// The limit of the preset that is chosen, which holds where there is none in the field.
export function showPresetLimit(limit) {
  preset = limit;
  field('max-new-tokens').placeholder = limit ?? 'to the end';
  check('max-new-tokens');
  showReset();
}

// The context of the engine, undefined where it is not known.
export function showContext(tokens) {
  context = tokens;
  check('max-new-tokens');
}

// kept: values by the fields' ids. changed(): one of them was.
export function startRequest(kept, changed) {
  for (const id of names()) {
    if (id !== 'engine') putRequest(id, kept[id]);
    field(id).addEventListener('input', () => {
      if (field(id).matches('textarea')) fit(field(id));
      check(id);
      changed();
    });
  }
  startNumber(field('max-new-tokens'), limits, () => numberIn('max-new-tokens'), () => preset ?? 0);
  startNumber(field('seed'), seeds, () => numberIn('seed'), () => 0);
  $('.reset', field('max-new-tokens').closest('.field')).addEventListener('click', () => {
    putRequest('max-new-tokens', '');
    field('max-new-tokens').focus();
    changed();
  });
}
