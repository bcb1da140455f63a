// A preset's values with what is edited of them. Edits are texts, so that a half-written field
// survives: {parameter: text}, and only of what differs from the preset.

import { areSeveral } from '../engine/choice.js';
import { treated, treatment } from '../engine/parameter_support.js';
import { mostStops, readValue, wholeNumber } from '../lib/values.js';

/** @type {Parameter[]} */
let table = [];

// given: the sampler table.
export function startParameters(given) {
  table = given;
}

export const parameters = () => table;
export const original = (preset, name) => String(preset.sampler[name] ?? '');
export const textOf = (preset, edits, name) => edits[name] ?? original(preset, name);

// {value} or {problem} in words.
export const readOf = (preset, edits, parameter) => readValue(textOf(preset, edits, parameter.name), parameter);

/**
 * Writes a text into the edits; what says the same as the preset is none.
 * @param {Preset} preset
 * @param {Edits} edits
 * @param {string} name
 * @param {string} text
 */
export function edit(preset, edits, name, text) {
  const parameter = table.find((each) => each.name === name);
  if (!parameter) throw new Error(`There is no parameter ${name}.`);
  edits[name] = text;
  if (!isEdit(preset, edits, parameter)) delete edits[name];
}

/**
 * Whether a parameter has another value than in the preset; one that cannot be read is another.
 * @param {Preset} preset
 * @param {Edits} edits
 * @param {Parameter} parameter
 */
export function isEdit(preset, edits, parameter) {
  if (!(parameter.name in edits)) return false;
  const { value, problem } = readOf(preset, edits, parameter);
  return problem !== undefined || value !== (preset.sampler[parameter.name] ?? null);
}

/**
 * Whether anything is not the preset's: a parameter, or the limit of new tokens that a field says.
 * The server says the same of an answer, in its receipt.
 * @param {Preset} preset
 * @param {Edits} edits
 * @param {string} limit
 */
export const isEdited = (preset, edits, limit) => table.some((parameter) => isEdit(preset, edits, parameter)) || isOtherLimit(preset, limit);

/**
 * The values that are set, by name. Throws in words.
 * @param {Preset} preset
 * @param {Edits} edits
 */
export function samplerOf(preset, edits) {
  /** @type {Sampler} */
  const sampler = {};
  for (const parameter of table) {
    const { value, problem } = readOf(preset, edits, parameter);
    if (problem !== undefined) throw new Error(problem);
    if (value !== null && value !== undefined) sampler[parameter.name] = value;
  }
  return sampler;
}

// The parameters that an engine applies by emulation alone. of: the engine where there are several;
// else it is the one that the page knows all about.
/** @param {ListedEngine} [of] */
export const emulatedBy = (of) => (areSeveral() && of ? of.emulated : treated('emulated'));

// The parameters that are set to something, and that this engine does not apply, or not without
// emulation where that is switched off. of: as above.
/**
 * @param {Preset} preset
 * @param {Edits} edits
 * @param {boolean} emulate
 * @param {ListedEngine} [of]
 */
export function lacking(preset, edits, emulate, of) {
  const emulated = emulatedBy(of);
  const unsupported = (name) => (emulated.includes(name) ? !emulate
    : areSeveral() && of ? of.unsupported.includes(name) : treatment(name).level === 'unsupported');
  return table.filter((parameter) => {
    const { value } = readOf(preset, edits, parameter);
    return (value ?? null) !== null && value !== parameter.neutral && unsupported(parameter.name);
  }).map(({ name }) => name);
}

export const longestStop = 200; // characters

/**
 * Stop sequences, one a line. Throws in words.
 * @param {string} text
 */
export function stopsOf(text) {
  const stops = text.split('\n').filter((line) => line !== '');
  if (stops.length > mostStops) throw new Error(`There can be at most ${mostStops} stop sequences, one a line.`);
  if (stops.some((stop) => [...stop].length > longestStop)) throw new Error(`A stop sequence has at most ${longestStop} characters.`);
  return stops;
}

/** @type {{ minimum: number, maximum: number, step: number }} */
export const limits = { minimum: 1, maximum: 2 ** 31 - 1, step: 64 };
/** @type {{ minimum: number, maximum: number, step: number }} */
export const seeds = { minimum: 0, maximum: Number.MAX_SAFE_INTEGER, step: 1 };

/**
 * The limit of new tokens that a field says over a preset's: undefined when it is empty, null for
 * “–”, which is as many as the context leaves. Throws in words.
 * @param {string} text
 */
export function limitOf(text) {
  const written = text.trim();
  if (written === '') return undefined;
  return ['–', '-'].includes(written) ? null : wholeNumber(written, 'max new tokens', limits.minimum, limits.maximum);
}

/**
 * Whether a field says another limit than the preset has; one that cannot be read is another.
 * @param {Preset} preset
 * @param {string} text
 */
function isOtherLimit(preset, text) {
  const { value, problem } = outcome(limitOf, text);
  return problem !== undefined || (value !== undefined && value !== preset.max_new_tokens);
}

// The seed that a field says, null when it is empty. Throws in words.
export const seedOf = (text) => wholeNumber(text, 'seed', seeds.minimum);

// {value} or {problem} in words of what `read` makes of a text.
export function outcome(read, text) {
  try {
    return { value: read(text) };
  } catch (error) {
    return { problem: error.message };
  }
}
