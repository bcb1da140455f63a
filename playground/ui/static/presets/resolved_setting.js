// Settings with all of their values, which mean the same wherever and whenever they are opened:
// {preset, name, sampler, max_new_tokens, seed, stop, system, engine, emulate}. `preset` is the id of a preset
// of the server, or null for one of the browser's own; `name` is that of either.

import { engineGone, engineId } from '../engine/choice.js';
import { within } from '../lib/text.js';
import { readValue, wholeNumber } from '../lib/values.js';
import { limitOf, parameters } from './edited_values.js';
import { panelState } from './panel.js';
import { allPresets, none } from './presets.js';
import { nameOf, presetOf } from './setting.js';

// What `read` makes of a text; a half-written one says as much as an empty one.
function said(read, text) {
  try {
    return read(text);
  } catch {
    return read('');
  }
}

const lines = (text) => text.split('\n').filter((line) => line !== '');

// A preset with its edits, {parameter: text}. A half-written edit counts as none.
function resolve(preset, edits, { limit, seed, stop, system, engine, emulate = true }) {
  const sampler = {};
  const own = said(limitOf, limit);
  for (const parameter of parameters()) {
    const { name } = parameter;
    const read = edits[name] === undefined ? {} : readValue(edits[name], parameter);
    const value = read.value === undefined ? preset.sampler[name] : read.value;
    if ((value ?? null) !== null) sampler[name] = value;
  }
  return {
    preset: preset.kind === 'server' ? preset.id : null,
    name: preset.name,
    sampler,
    max_new_tokens: own === undefined ? preset.max_new_tokens ?? null : own,
    seed: said((text) => wholeNumber(text, '', 0), seed),
    stop: lines(stop),
    system: system.trim(),
    engine: engineId(engine),
    emulate,
  };
}

/**
 * What the sampler panel says now.
 * @returns {Setting}
 */
export function panelSetting() {
  const { preset, edits, request } = panelState();
  return resolve(presetOf({ preset }), edits[preset] ?? {}, {
    limit: request['max-new-tokens'], seed: request.seed, stop: request.stop, system: request.system, engine: request.engine, emulate: request.emulate,
  });
}

// What a column of the comparison says now; `options` are the values that hold for all columns.
/**
 * @param {EditedSetting} value
 * @param {{ sameSeed: boolean, seed: string, stop: string, system: string }} options
 * @returns {Setting}
 */
export function columnSetting(value, { sameSeed, seed, stop, system }) {
  return resolve(presetOf(value), value.edits, {
    limit: value.limit, seed: sameSeed ? seed : value.seed, stop, system, engine: value.engine, emulate: value.emulate,
  });
}

const formerNone = 'None'; // what no preset was called in earlier records

// The preset of this page that a setting is a version of, or undefined.
const counterpart = (setting) => allPresets().find(({ kind, id, name }) => (
  setting.preset === null ? (kind === 'own' && name === setting.name) || (kind === 'none' && [name, formerNone].includes(setting.name))
    : kind === 'server' && id === setting.preset));

// A setting as it is edited here: {preset, edits, limit, seed, stop, system, engine}, all texts, `emulate`, and
// `note`, which says in words what is not as it was, or ''. The values are always the same: a preset that
// has others by now is shown as edited, and one that is not here as none with all of its values.
export function editable(setting) {
  const found = counterpart(setting);
  const preset = found ?? none;
  const edits = {};
  for (const { name } of parameters()) {
    const [wanted, has] = [setting.sampler[name] ?? null, preset.sampler[name] ?? null];
    if (wanted !== has) edits[name] = String(wanted ?? '');
  }
  const notes = [];
  if (!found) notes.push(`The preset “${within(setting.name)}” is not here: its values are set without it.`);
  const unknown = Object.keys(setting.sampler).filter((name) => !parameters().some((each) => each.name === name));
  if (unknown.length > 0) notes.push(`This page does not know ${unknown.join(', ')}.`);
  if (engineGone(setting.engine)) notes.push(engineGone(setting.engine));
  return {
    preset: preset.id,
    edits,
    limit: setting.max_new_tokens === (preset.max_new_tokens ?? null) ? '' : String(setting.max_new_tokens ?? '–'),
    seed: String(setting.seed ?? ''),
    stop: setting.stop.join('\n'),
    system: setting.system,
    engine: setting.engine ?? '',
    emulate: setting.emulate !== false,
    note: notes.join(' '),
  };
}

// The name of a setting, and whether its values are not the preset's.
export const labelOf = (setting) => (counterpart(setting) ? nameOf(editable(setting)) : setting.name);

// A setting of a comparison that an earlier version of the page exported, {preset, edits, limit, seed}
// without the preset's values: they are this page's, or what the receipt says was sent.
export function olderSetting({ preset, edits, limit, seed }, label, receipt) {
  const known = allPresets().find(({ id }) => id === preset);
  const rest = { limit: String(limit ?? ''), seed: String(seed ?? ''), stop: '', system: '', engine: '' };
  if (known) return resolve(known, Object.fromEntries(Object.entries(edits ?? {}).map(([name, value]) => [name, String(value)])), rest);
  const sent = receipt?.sent ?? {};
  const sampler = Object.fromEntries(parameters().flatMap(({ name }) => (Number.isFinite(sent[name]) ? [[name, sent[name]]] : [])));
  return resolve({ kind: 'gone', name: label, sampler, max_new_tokens: sent.max_new_tokens ?? null }, {}, rest);
}
