// The sampler settings of one column: a preset, what is edited of it, and a seed of its own.
//
// A setting is a plain value that can be stored: {preset, edits: {parameter: text}, limit, seed},
// where limit and seed are texts, too, so that a half-written field survives.

import { button, element } from './dom.js';
import { reference } from './presets.js';
import { tables } from './samplers.js';
import { readValue, wholeNumber } from './values.js';

export function setting(preset) {
  return { preset, edits: {}, limit: '', seed: '' };
}

export const presetOf = ({ preset }) => {
  const { presets } = tables();
  return presets.find(({ id }) => id === preset) ?? presets[0];
};

export function isEdited({ edits, limit }) {
  return Object.keys(edits).length > 0 || limit !== '';
}

export function nameOf(value) {
  return presetOf(value).name + (isEdited(value) ? ', edited' : '');
}

const textOf = (value, name) => value.edits[name] ?? String(presetOf(value).sampler[name] ?? '');

export function summary(value) {
  const set = tables().parameters
    .map(({ name }) => [name.replace('_penalty', ''), textOf(value, name).trim()])
    .filter(([, text]) => text !== '').map((pair) => pair.join(' '));
  if (value.limit.trim() !== '') set.push(`max ${value.limit.trim()}`);
  return set.join(' · ') || 'the engine’s own choice';
}

// The setting as the pane of a request, without messages and seed. Throws in words.
export function paneOf(value) {
  const pane = { preset: reference(presetOf(value)) };
  const values = {};
  for (const parameter of tables().parameters) {
    const read = readValue(textOf(value, parameter.name), parameter);
    if (read.problem !== undefined) throw new Error(read.problem);
    if (read.value !== null) values[parameter.name] = read.value;
  }
  if (Object.keys(value.edits).length > 0) pane.sampler = values;
  const limit = wholeNumber(value.limit, 'max new tokens', 1);
  if (limit !== null) pane.max_new_tokens = limit;
  return pane;
}

// The values that are set but that this engine leaves out.
export function unsupported(value, applied) {
  return tables().parameters.filter((parameter) => {
    const read = readValue(textOf(value, parameter.name), parameter);
    const set = (read.value ?? null) !== null && read.value !== parameter.neutral;
    return set && applied[parameter.name]?.how === 'unsupported';
  }).map(({ name }) => name);
}

function edit(value, name, text) {
  const parameter = tables().parameters.find((each) => each.name === name);
  const read = readValue(text, parameter);
  if (read.problem === undefined && read.value === (presetOf(value).sampler[name] ?? null)) delete value.edits[name];
  else value.edits[name] = text;
}

// The seven fields, the limit and the seed. changed(): after each edit.
export function fields(value, ownSeed, changed) {
  const field = (name, text, placeholder, set, check) => {
    const input = element('input', { type: 'text', inputMode: 'decimal', value: text, placeholder, autocomplete: 'off' });
    const mark = () => input.setAttribute('aria-invalid', String(check(input.value) !== undefined));
    input.addEventListener('input', () => { set(input.value); mark(); input.title = check(input.value) ?? ''; changed(); });
    mark();
    return element('label', { className: 'line' }, element('span', { textContent: name }), input);
  };
  const whole = (name, minimum) => (text) => {
    try {
      wholeNumber(text, name, minimum);
      return undefined;
    } catch (error) {
      return error.message;
    }
  };
  const lines = tables().parameters.map((parameter) => field(
    parameter.name, textOf(value, parameter.name), '–',
    (text) => edit(value, parameter.name, text),
    (text) => readValue(text, parameter).problem,
  ));
  lines.push(field('max new tokens', value.limit, presetOf(value).max_new_tokens ?? 'to the end',
    (text) => { value.limit = text.trim(); }, whole('max new tokens', 1)));
  if (ownSeed) {
    lines.push(field('seed', value.seed, 'random', (text) => { value.seed = text.trim(); }, whole('seed', 0)));
  }
  return lines;
}

export function restoreButton(value, restored) {
  return button('Restore the preset', () => {
    value.edits = {};
    value.limit = '';
    restored();
  });
}
