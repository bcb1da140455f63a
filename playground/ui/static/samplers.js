// The sampler panel: preset tabs with seven knobs each, and what belongs to a request beside them.
//
// What a knob says is kept as text by preset and parameter; the fields only show it, since Gradio
// draws a tab's fields when the tab is first opened.

import { whenAdded } from './dom.js';
import { onEngine } from './engine.js';
import { load, save } from './storage.js';

const panel = () => document.getElementById('samplers');
const field = (id) => document.getElementById(id);
const form = () => field('request-form');
const texts = ['max-new-tokens', 'seed', 'stop', 'system'];
const stored = load('samplers', { preset: null, edits: {}, request: {} });
let parameters = [];
let presets = [];
let applied = {};
let changed = () => {};

const tab = (preset) => field(`preset-${preset.id}-button`);
const section = (preset) => panel().querySelector(`.preset[data-preset="${preset.id}"]`);
const original = (preset, name) => String(preset.sampler[name] ?? '');
const textOf = (preset, name) => stored.edits[preset.id]?.[name] ?? original(preset, name);

function selected() {
  return presets.find((preset) => tab(preset)?.getAttribute('aria-selected') === 'true') ?? presets[0];
}

export function presetName(id) {
  return presets.find((preset) => preset.id === id)?.name ?? id;
}

// The sampler table and the presets, as the server wrote them into the page.
export function tables() {
  return { parameters, presets };
}

function read(preset, parameter) {
  return readValue(textOf(preset, parameter.name), parameter);
}

// {value} with a number or null for unset, or {problem} in words.
export function readValue(written, { name, minimum, maximum, integer }) {
  const text = written.trim().replace(',', '.');
  if (text === '' || text === '–' || text === '-') return { value: null };
  const value = Number(text);
  if (!Number.isFinite(value)) return { problem: `${name} must be a number, or empty for unset.` };
  if (value < minimum || value > maximum) return { problem: `${name} must lie between ${minimum} and ${maximum}.` };
  if (integer && !Number.isInteger(value)) return { problem: `${name} must be a whole number.` };
  return { value };
}

function edit(preset, name, text) {
  const edits = (stored.edits[preset.id] ??= {});
  edits[name] = text;
  const { value, problem } = read(preset, parameters.find((parameter) => parameter.name === name));
  if (problem === undefined && value === (preset.sampler[name] ?? null)) delete edits[name];
  if (Object.keys(edits).length === 0) delete stored.edits[preset.id];
}

function showKnob(preset, parameter, knob) {
  const { value, problem } = read(preset, parameter);
  const unset = (value ?? null) === null;
  const position = unset ? parameter.neutral : value;
  const slide = knob.querySelector('.slide');
  knob.classList.toggle('unset', unset);
  slide.value = position;
  slide.setAttribute('aria-valuetext', unset ? 'unset' : String(value));
  slide.style.setProperty('--at', `${(100 * (position - parameter.minimum)) / (parameter.maximum - parameter.minimum)}%`);
  knob.querySelector('.value').setAttribute('aria-invalid', String(problem !== undefined));
  const way = applied[parameter.name] ?? { how: 'native', reason: '' };
  const how = knob.querySelector('.how');
  how.classList.toggle('unsupported', way.how === 'unsupported');
  how.classList.toggle('invalid', problem !== undefined);
  const words = { native: way.reason, emulated: `Emulated: ${way.reason}`, unsupported: `Not applied: ${way.reason}` };
  how.textContent = problem ?? words[way.how];
  return way.how === 'unsupported' && !unset && value !== parameter.neutral;
}

function show(preset) {
  const shown = section(preset);
  if (!shown) return;
  const missing = parameters.filter((parameter) => (
    showKnob(preset, parameter, shown.querySelector(`[data-parameter="${parameter.name}"]`))));
  const warning = shown.querySelector('.warning');
  warning.hidden = missing.length === 0;
  warning.textContent = `This engine does not apply ${missing.map(({ name }) => name).join(' and ')}: the answer is made without.`;
  const edits = Object.keys(stored.edits[preset.id] ?? {});
  const edited = shown.querySelector('.edited');
  edited.hidden = edits.length === 0;
  edited.firstElementChild.textContent = `Edited: ${edits.map((name) => `${name} was ${original(preset, name) || '–'}`).join(', ')}.`;
}

// Writes what is kept into a preset's fields, if they have been drawn.
function fill(preset) {
  for (const { name } of parameters) {
    const value = section(preset)?.querySelector(`[data-parameter="${name}"] .value`);
    if (value) value.value = textOf(preset, name);
  }
  show(preset);
}

function summarise() {
  const preset = selected();
  const values = parameters.map(({ name }) => [name, textOf(preset, name).trim()]).filter(([, text]) => text !== '');
  document.querySelector('.drawer-open span').textContent = [preset.name, ...values.map((pair) => pair.join(' '))].join(' · ');
  field('max-new-tokens').placeholder = preset.max_new_tokens ?? 'to the end';
}

function keep() {
  stored.preset = selected().id;
  for (const id of texts) stored.request[id] = field(id).value;
  save('samplers', stored);
  summarise();
  changed();
}

function bind(shown) {
  const preset = presets.find(({ id }) => id === shown.dataset.preset);
  for (const { name } of parameters) {
    const knob = shown.querySelector(`[data-parameter="${name}"]`);
    const value = knob.querySelector('.value');
    const slide = knob.querySelector('.slide');
    value.value = textOf(preset, name);
    const set = (text) => { edit(preset, name, text); show(preset); keep(); };
    value.addEventListener('input', () => set(value.value));
    slide.addEventListener('input', () => {
      value.value = String(Number(slide.value));
      set(value.value);
    });
  }
  shown.querySelector('.edited button').addEventListener('click', () => {
    delete stored.edits[preset.id];
    fill(preset);
    keep();
    tab(preset).focus();
  });
  show(preset);
}

// A whole number from a field, or null when it is empty. Throws in words.
function wholeNumber(id, name, minimum) {
  const text = field(id).value.trim();
  const ok = text === '' || (/^\d+$/.test(text) && Number(text) >= minimum && Number.isSafeInteger(Number(text)));
  field(id).setAttribute('aria-invalid', String(!ok));
  if (!ok) throw new Error(`${name} must be a whole number from ${minimum}, or empty.`);
  return text === '' ? null : Number(text);
}

function readPanel() {
  const preset = selected();
  const pane = { preset: preset.id };
  const values = {};
  for (const parameter of parameters) {
    const { value, problem } = read(preset, parameter);
    if (problem !== undefined) throw new Error(problem);
    if (value !== null) values[parameter.name] = value;
  }
  if (stored.edits[preset.id]) pane.sampler = values;
  const limit = wholeNumber('max-new-tokens', 'max new tokens', 1);
  if (limit !== null) pane.max_new_tokens = limit;
  const seed = wholeNumber('seed', 'seed', 0);
  if (seed !== null) pane.seed = seed;
  const stop = field('stop').value.split('\n').filter((line) => line !== '');
  if (stop.length > 3) throw new Error('There can be at most 3 stop sequences, one a line.');
  if (stop.length > 0) pane.stop = stop;
  return { pane, system: field('system').value.trim() };
}

// What the panel says, as {pane, system} of a request. Throws an Error in words, and shows the
// place, when a field cannot be read.
export function currentRequest() {
  const problem = form().querySelector('.error');
  problem.hidden = true;
  try {
    return readPanel();
  } catch (error) {
    openDrawer();
    problem.textContent = error.message;
    problem.hidden = false;
    panel().querySelector('[aria-invalid="true"]')?.focus();
    throw error;
  }
}

// Selects a preset and gives it these edits, {parameter: text}, and a limit of new tokens.
export function usePreset(id, edits, limit) {
  const preset = presets.find((each) => each.id === id) ?? presets[0];
  if (Object.keys(edits).length > 0) stored.edits[preset.id] = { ...edits };
  else delete stored.edits[preset.id];
  field('max-new-tokens').value = limit;
  fill(preset);
  tab(preset).click();
  keep();
}

let opener = null;

function openDrawer() {
  if (getComputedStyle(panel()).position !== 'fixed' || panel().classList.contains('open')) return;
  opener = document.activeElement;
  panel().classList.add('open');
  document.querySelector('.drawer-open').setAttribute('aria-expanded', 'true');
  panel().querySelector('.drawer-close').focus({ preventScroll: true });
}

// Closes the drawer of a narrow page; tells whether there was one to close.
export function closeDrawer() {
  if (!panel().classList.contains('open')) return false;
  panel().classList.remove('open');
  document.querySelector('.drawer-open').setAttribute('aria-expanded', 'false');
  opener?.focus();
  return true;
}

export function startSamplers(onChange) {
  parameters = JSON.parse(form().dataset.parameters);
  presets = JSON.parse(form().dataset.presets);
  const kept = presets.find(({ id }) => id === stored.preset);
  if (kept) tab(kept).click();
  for (const id of texts) {
    field(id).value = stored.request[id] ?? '';
    field(id).addEventListener('input', keep);
  }
  form().addEventListener('submit', (event) => event.preventDefault());
  whenAdded(panel(), '.preset', bind);
  new MutationObserver(keep).observe(panel().querySelector('[role="tablist"]'), {
    subtree: true, attributeFilter: ['aria-selected'],
  });
  summarise();
  changed = onChange;
  document.querySelector('.drawer-open').addEventListener('click', openDrawer);
  panel().querySelector('.drawer-close').addEventListener('click', closeDrawer);
  document.addEventListener('pointerdown', (event) => {
    if (!panel().contains(event.target)) closeDrawer();
  });
  onEngine((state) => {
    applied = state.applied ?? {};
    presets.forEach(show);
  });
}
