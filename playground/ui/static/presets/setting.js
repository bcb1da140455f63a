// The sampler settings of one column: a preset, what is edited of it, and a seed of its own.
//
// A setting is a plain value that can be stored: {preset, edits: {parameter: text}, limit, seed,
// engine, emulate}, where limit and seed are texts, too, so that a half-written field survives.

import { engineId } from '../engine/choice.js';
import { button, element } from '../lib/dom.js';
import { flag, object, table, text } from '../lib/validate.js';
import { edit, isEdited, limitOf, limits, outcome, parameters, readOf, samplerOf, seedOf, seeds, textOf } from './edited_values.js';
import { startNumber } from './number_field.js';
import { allPresets, reference } from './presets.js';

/**
 * @param {string} preset
 * @returns {EditedSetting}
 */
export function setting(preset) {
  return { preset, edits: {}, limit: '', seed: '', engine: '', emulate: true };
}

const shape = object({ preset: text, edits: table(text), limit: text, seed: text }, { engine: text, emulate: flag }, { open: true });

// Whether a stored value is such a setting, of whichever version of the page.
export function isSetting(value) {
  try {
    shape(value, '');
    return true;
  } catch {
    return false;
  }
}

export const presetOf = ({ preset }) => {
  const presets = allPresets();
  return presets.find(({ id }) => id === preset) ?? presets[0];
};

/** @param {EditedSetting} value */
export const isChanged = (value) => isEdited(presetOf(value), value.edits, value.limit);

export function nameOf(value) {
  return presetOf(value).name + (isChanged(value) ? ', edited' : '');
}

/** @param {EditedSetting} value */
export function summary(value) {
  const set = parameters()
    .map(({ name }) => [name.replace('_penalty', ''), textOf(presetOf(value), value.edits, name).trim()])
    .filter(([, text]) => text !== '').map((pair) => pair.join(' '));
  if (value.limit.trim() !== '') set.push(`max ${value.limit.trim()}`);
  if (value.emulate === false) set.push('emulation off');
  return set.join(' · ') || 'the engine’s own choice';
}

/**
 * The setting as the pane of a request, without messages and seed. Throws in words.
 * @param {EditedSetting} value
 */
export function paneOf(value) {
  /** @type {RequestPane} */
  const pane = { preset: reference(presetOf(value)) };
  const sampler = samplerOf(presetOf(value), value.edits);
  if (Object.keys(value.edits).length > 0) pane.sampler = sampler;
  const limit = limitOf(value.limit);
  if (limit !== undefined) pane.max_new_tokens = limit;
  const engine = engineId(value.engine);
  if (engine !== null) pane.engine = engine;
  if (value.emulate === false) pane.emulate = false;
  return pane;
}

/**
 * The seven fields, the limit and the seed, each with what is wrong with it below.
 * @param {EditedSetting} value
 * @param {boolean} ownSeed
 * @param {() => void} changed After each edit.
 */
export function fields(value, ownSeed, changed) {
  const preset = presetOf(value);
  const field = (name, text, placeholder, set, bounds, look, start) => {
    const input = element('input', { type: 'text', inputMode: 'decimal', value: text, placeholder, autocomplete: 'off' });
    const wrong = element('small', { className: 'wrong' });
    const mark = () => {
      const { problem } = look(input.value);
      input.setAttribute('aria-invalid', String(problem !== undefined));
      wrong.textContent = problem ?? '';
    };
    input.addEventListener('input', () => { set(input.value); mark(); changed(); });
    startNumber(input, bounds, () => {
      const { value: read = null, problem } = look(input.value);
      return problem === undefined ? read : undefined;
    }, start);
    mark();
    return element('label', { className: 'line' }, element('span', { textContent: name }), input, wrong);
  };
  const lines = parameters().map((parameter) => field(
    parameter.name, textOf(preset, value.edits, parameter.name), '–',
    (text) => edit(preset, value.edits, parameter.name, text), parameter,
    (text) => readOf(preset, { [parameter.name]: text }, parameter), () => parameter.neutral,
  ));
  lines.push(field('max new tokens', value.limit, String(preset.max_new_tokens ?? 'to the end'),
    (text) => { value.limit = text.trim(); }, limits, (text) => outcome(limitOf, text), () => preset.max_new_tokens ?? 0));
  if (ownSeed) {
    lines.push(field('seed', value.seed, 'random', (text) => { value.seed = text.trim(); }, seeds, (text) => outcome(seedOf, text), () => 0));
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
