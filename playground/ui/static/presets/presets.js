// The presets that there are: the server's, which are read-only, none, and this browser's own.
//
// A preset is {id, kind, name, description, source, sampler, max_new_tokens} with kind server, none or
// own, and in `sampler` only what is set; an own one has no description. Own presets are stored as {version, presets, default}; a version
// that a newer page has written is left alone, and said.

import { isStored, load, save } from '../lib/storage.js';
import { plainName } from '../lib/text.js';

const version = 1;
const longest = 60; // characters of a name
/** @type {Preset} */
export const none = {
  id: '-none', kind: 'none', name: 'No preset', sampler: {}, max_new_tokens: null, source: '',
  description: 'Nothing is set: the engine takes its own defaults.',
};
/** @type {Preset[]} */
let server = [];
/** @type {Preset[]} */
let own = [];
/** @type {string | null} */
let preferred = null;
let newer = false;

const keep = () => {
  if (!newer) save('presets', { version, presets: own, default: preferred });
};

function read() {
  const kept = load('presets', { version, presets: [], default: null });
  newer = kept.version > version;
  if (newer) return;
  own = kept.presets.map((preset) => ({ ...preset, name: plainName(preset.name) }));
  preferred = kept.default;
}

// given: the server's. changed(): another tab of this browser has changed the own ones.
export function startPresets(given, changed) {
  server = given.map((preset) => ({ ...preset, kind: 'server' }));
  read();
  addEventListener('storage', ({ key }) => {
    if (!isStored(key, 'presets')) return;
    read();
    changed();
  });
}

// Whether a newer page has stored presets that this one must not touch.
export const locked = () => newer;
/** @type {() => Preset[]} */
export const allPresets = () => [...server, none, ...own];
export const ownPresets = () => own;
/** @type {(id: string | null | undefined) => Preset | undefined} */
export const presetById = (id) => allPresets().find((preset) => preset.id === id);
export const defaultPreset = () => presetById(preferred) ?? server.find((preset) => preset.default) ?? server[0];

// Whether it was said here which preset a visit begins with.
export const hasDefault = () => presetById(preferred) !== undefined;

/**
 * What a request says of a preset: the server knows its own by their id.
 * @param {Preset} preset
 * @returns {PresetReference}
 */
export function reference(preset) {
  if (preset.kind === 'server') return preset.id;
  return { name: preset.name, sampler: preset.sampler, max_new_tokens: preset.max_new_tokens };
}

// A name that no other preset has.
export function freeName(name) {
  const taken = new Set(allPresets().map((preset) => preset.name));
  for (let n = 2, free = name; ; n += 1) {
    if (!taken.has(free)) return free;
    free = `${name.slice(0, longest - 4)} ${n}`;
  }
}

export function addPreset({ name, source = '', sampler, max_new_tokens: limit = null }) {
  /** @type {Preset} */
  const preset = {
    id: `-own-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`, kind: 'own', source, sampler,
    name: freeName(plainName(name).trim().slice(0, longest) || 'Preset'), max_new_tokens: limit,
  };
  own.push(preset);
  keep();
  return preset;
}

/**
 * @param {Preset} preset
 * @param {Partial<Preset>} change
 */
export function changePreset(preset, change) {
  Object.assign(preset, change);
  keep();
}

// Takes an own preset away; gives back what puts it where it was.
export function removePreset(preset) {
  const at = own.indexOf(preset);
  const wasPreferred = preferred === preset.id;
  own.splice(at, 1);
  if (wasPreferred) preferred = null;
  keep();
  return () => {
    own.splice(at, 0, preset);
    if (wasPreferred) preferred = preset.id;
    keep();
  };
}

export function movePreset(preset, by) {
  const at = own.indexOf(preset);
  own.splice(at, 1);
  own.splice(at + by, 0, preset);
  keep();
}

export function preferPreset(preset) {
  preferred = preset.id;
  keep();
}
