// The sampler panel: preset tabs with seven knobs each.
//
// What a knob says is kept as text by preset and parameter; the fields only show it, since Gradio
// draws a tab's fields when the tab is first opened. Every preset of the server has a tab; "none" and
// the browser's own presets share one, the slot "-own".

import { onEngines, startEngines } from '../engine/choice.js';
import { engineSays, seedWords, systemWords, treated } from '../engine/parameter_support.js';
import { onProof } from '../engine/proof.js';
import { followEngine, onEngine } from '../engine/state.js';
import { $, button, element, whenAdded } from '../lib/dom.js';
import { firstVisit, load, save } from '../lib/storage.js';
import { arrowsBetween } from '../lib/tabs.js';
import { within } from '../lib/text.js';
import { arrive, comeAlong, onFragment, touch } from '../lib/url_hash.js';
import { openDrawer, startDrawer } from './drawer.js';
import { edit, isEdited, lacking, original, parameters, readOf, samplerOf, startParameters, textOf } from './edited_values.js';
import { Help } from './help.js';
import { offerPreset } from './import_export.js';
import { startNumber } from './number_field.js';
import { presetActions, presetChoice } from './preset_actions.js';
import { allPresets, defaultPreset, hasDefault, none, presetById, reference, startPresets } from './presets.js';
import {
  chooseEngine, chosenEngine, emulates, putRequest, readRequest, requestState, showContext, showPresetLimit, startRequest, systemText,
} from './request_fields.js';
import { showPreset } from './sliders.js';

/** @returns {HTMLElement} */
const panel = () => $('#samplers');
/** @type {(id: string) => any} */
const field = (id) => document.getElementById(id); // null where Gradio has not drawn it
const stored = load('samplers', { preset: null, edits: {}, request: {} });
const shared = '-own';
let changed = () => {};
/** @type {Map<string, () => void>} */
const unsaid = new Map(); // what is said in a slot as soon as it is drawn

const slotOf = (preset) => (preset.kind === 'server' ? preset.id : shared);
const tab = (preset) => field(`preset-${slotOf(preset)}-button`);
/** @type {(slot: string) => any} */
const sectionOf = (slot) => panel().querySelector(`.preset[data-preset="${slot}"]`); // null where Gradio has not drawn it
const editsOf = (preset) => stored.edits[preset.id] ?? {};

// The preset that a slot shows.
function shownIn(slot) {
  if (slot !== shared) return presetById(slot) ?? none;
  const kept = presetById(stored.own);
  return kept && kept.kind !== 'server' ? kept : none;
}

const slots = () => [...new Set(allPresets().map(slotOf))];

function selected() {
  const slot = slots().find((each) => field(`preset-${each}-button`)?.getAttribute('aria-selected') === 'true');
  return slot === undefined ? defaultPreset() : shownIn(slot);
}

// The name of a preset as requests and answers have it: an id, or an own preset itself.
export function presetName(given) {
  return typeof given === 'string' ? presetById(given)?.name ?? given : given.name;
}

function write(preset, name, text) {
  const edits = editsOf(preset);
  edit(preset, edits, name, text);
  if (Object.keys(edits).length > 0) stored.edits[preset.id] = edits;
  else delete stored.edits[preset.id];
}

function show(slot) {
  const preset = shownIn(slot);
  // The limit is one for all presets, and an edit of the one that it is sent with.
  const limit = selected() === preset ? requestState()['max-new-tokens'] : '';
  showPreset(tab(preset), sectionOf(slot), preset, { edits: editsOf(preset), limit, emulate: emulates() });
}

// Writes what is kept into a slot's fields, if they have been drawn.
function fill(slot) {
  const preset = shownIn(slot);
  for (const { name } of parameters()) {
    const value = sectionOf(slot)?.querySelector(`[data-parameter="${name}"] .value`);
    if (value) value.value = textOf(preset, editsOf(preset), name);
  }
  show(slot);
}

function summarise() {
  const preset = selected();
  const values = parameters().map(({ name }) => [name, textOf(preset, editsOf(preset), name).trim()]).filter(([, text]) => text !== '');
  const mark = element('b', { textContent: '*' });
  mark.setAttribute('aria-hidden', 'true');
  const edited = isEdited(preset, editsOf(preset), requestState()['max-new-tokens'])
    ? [mark, element('span', { className: 'visually-hidden', textContent: '(edited)' })] : [];
  $('.drawer-open span').replaceChildren(within(preset.name), ...edited, ...values.map((pair) => ` · ${pair.join('\u00a0')}`));
  showPresetLimit(preset.max_new_tokens);
}

function keep() {
  /** @type {NodeListOf<HTMLElement>} */
  const complaints = panel().querySelectorAll('.panel-note.complaint');
  for (const note of complaints) note.hidden = true; // it is tried again
  stored.preset = selected().id;
  stored.request = requestState();
  if (chosenEngine()) followEngine(chosenEngine());
  slots().forEach(show);
  save('samplers', stored);
  summarise();
  changed();
  touch();
}

// Selects a preset.
function choose(preset) {
  if (slotOf(preset) === shared) {
    stored.own = preset.id;
    fill(shared);
    sectionOf(shared)?.querySelector('.choice-of').replaceChildren(...presetChoice(handle(shared)));
  }
  tab(preset).click();
  keep();
}

// What the buttons of a slot's panel may do.
function handle(slot) {
  const redraw = () => {
    for (const each of slots()) fill(each);
    sectionOf(shared)?.querySelector('.choice-of').replaceChildren(...presetChoice(handle(shared)));
    keep();
  };
  const set = (texts_) => {
    stored.edits[shownIn(slot).id] = {};
    for (const { name } of parameters()) write(shownIn(slot), name, texts_(name));
    redraw();
  };
  return {
    current: () => shownIn(slot),
    draft: () => ({ name: shownIn(slot).name, source: shownIn(slot).source, ...valuesOf(shownIn(slot)) }),
    choose,
    discard: () => {
      const preset = shownIn(slot);
      const edits = editsOf(preset);
      const limit = requestState()['max-new-tokens'];
      delete stored.edits[preset.id];
      putRequest('max-new-tokens', '');
      redraw();
      return () => { usePreset(preset.id, edits, limit); redraw(); };
    },
    limit: () => requestState()['max-new-tokens'],
    neutralise: () => set((name) => String(parameters().find((each) => each.name === name)?.neutral)),
    lacking: (preset) => lacking(preset, editsOf(preset), emulates()),
    put: (fields, words) => {
      const before = requestState();
      const put = (values) => {
        for (const id of Object.keys(fields)) putRequest(id, values[id]);
        keep();
      };
      put(fields);
      say(shared, words, () => put(before)); // an own preset is chosen with it
    },
    redraw,
    say: (words, undo) => say(slot, words, undo),
    complain: (words) => {
      say(slot, words);
      sectionOf(slot)?.querySelector('.panel-note').classList.add('complaint');
    },
    summary: (sampler) => parameters().filter(({ name }) => sampler[name] !== undefined).map(({ name }) => `${name} ${sampler[name]}`).join(' · ') || 'nothing set',
  };
}

// The values of a preset with its edits, and its limit of new tokens. Throws in words.
function valuesOf(preset) {
  const limit = readRequest('max-new-tokens');
  return {
    sampler: samplerOf(preset, editsOf(preset)),
    max_new_tokens: limit === undefined ? preset.max_new_tokens : limit,
  };
}

function say(slot, words, undo) {
  if (!sectionOf(slot)) {
    unsaid.set(slot, () => say(slot, words, undo));
    return;
  }
  const note = $('.panel-note', sectionOf(slot));
  note.classList.remove('complaint');
  note.textContent = `${words} `;
  if (undo) note.append(button('Undo', () => { note.hidden = true; undo(); }));
  note.hidden = words === '';
}

function bind(shown) {
  const slot = shown.dataset.preset;
  for (const parameter of parameters()) {
    const { name } = parameter;
    const knob = shown.querySelector(`[data-parameter="${name}"]`);
    const value = knob.querySelector('.value');
    const slide = knob.querySelector('.slide');
    const set = (text) => {
      steadily(panel(), () => {
        write(shownIn(slot), name, text);
        keep();
      });
    };
    value.addEventListener('input', () => set(value.value));
    slide.addEventListener('input', () => {
      value.value = String(Number(slide.value));
      set(value.value);
    });
    startNumber(value, parameter, () => readOf(shownIn(slot), editsOf(shownIn(slot)), parameter).value, () => parameter.neutral);
    $('.reset', knob).addEventListener('click', () => {
      value.value = original(shownIn(slot), name);
      set(value.value);
      value.focus();
    });
  }
  const actions = handle(slot);
  shown.querySelector('.preset-actions').append(...presetActions(slot, actions));
  if (slot === shared) shown.querySelector('.choice-of').append(...presetChoice(actions));
  fill(slot);
  unsaid.get(slot)?.();
}

function readPanel() {
  const preset = selected();
  const pane = { preset: reference(preset) };
  const { sampler } = valuesOf(preset);
  if (stored.edits[preset.id]) pane.sampler = sampler;
  const limit = readRequest('max-new-tokens');
  if (limit !== undefined) pane.max_new_tokens = limit;
  const seed = readRequest('seed');
  if (seed !== null) pane.seed = seed;
  const stop = readRequest('stop');
  if (stop.length > 0) pane.stop = stop;
  if (chosenEngine()) pane.engine = chosenEngine();
  if (!emulates()) pane.emulate = false;
  return { pane, system: systemText(), edited: isEdited(preset, editsOf(preset), requestState()['max-new-tokens']) };
}

// The chosen tab comes into sight where there are more than the line has room for; none moves under the pointer.
function showTabs() {
  const row = $('[role="tablist"]', panel());
  row.classList.toggle('scrolls', row.scrollWidth > row.clientWidth);
  if (row.matches('.scrolls') && !row.matches(':hover')) tab(selected()).scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

// The tab of presets that is chosen, and back to one, with the values that it has by now.
export const presetTab = () => slotOf(selected());

/** @param {string} slot */
export function choosePresetTab(slot) {
  if (slot !== presetTab()) field(`preset-${slot}-button`)?.click(); // its preset may be gone
}

// What the panel says, as {pane, system} of a request, and whether its preset is edited. Throws an Error in words, and shows the
// place, when a field cannot be read.
export function currentRequest() {
  try {
    return readPanel();
  } catch (error) {
    openDrawer();
    /** @type {HTMLElement | null} */ (panel().querySelector('.field:not([hidden]) [aria-invalid="true"]'))?.focus();
    throw error;
  }
}

// Selects the preset of something that is opened and gives it these edits, {parameter: text}, a limit of
// new tokens, and the other fields that are named, by their ids.
export function usePreset(id, edits, limit, others = {}) {
  const preset = presetById(id) ?? defaultPreset();
  if (Object.keys(edits).length > 0) stored.edits[preset.id] = { ...edits };
  else delete stored.edits[preset.id];
  for (const [name, value] of Object.entries({ ...others, 'max-new-tokens': limit })) {
    if (name !== 'engine' || value !== undefined) putRequest(name, value);
  }
  comeAlong();
  choose(preset);
  slots().forEach(fill);
}

// All that the panel says, which usePanel brings back: {preset, edits: {id: edits}, request: {id: value}}.
export function panelState() {
  return { preset: selected().id, edits: structuredClone(stored.edits), request: requestState() };
}

export function usePanel({ preset, edits, request }) {
  stored.edits = structuredClone(edits);
  const { 'max-new-tokens': limit, ...others } = request;
  usePreset(preset, edits[preset] ?? {}, limit, others);
  redrawPanel();
}

// Shows again which presets there are, and what is kept.
export function redrawPanel() {
  handle(shared).redraw();
}

// Changes what is in the panel, and what the pointer is at stays under it: the panel scrolls by as much
// as came above, and has room to until the pointer leaves.
function steadily(scrolled, change) {
  const at = scrolled.querySelector(':is(.field, .preset-actions):hover');
  const before = at?.getBoundingClientRect().top;
  change();
  const moved = at === null ? 0 : at.getBoundingClientRect().top - before;
  if (moved === 0) return;
  scrolled.style.setProperty('--room', `${scrolled.clientHeight}px`);
  scrolled.scrollTop += moved;
  scrolled.addEventListener('pointerleave', () => scrolled.style.removeProperty('--room'), { once: true });
}

export function startSamplers(onChange) {
  const form = field('request-form');
  startParameters(JSON.parse(form.dataset.parameters));
  startPresets(JSON.parse(form.dataset.presets), redrawPanel);
  // A new visit begins with the default; a reload goes on with what was chosen.
  const kept = presetById(stored.preset);
  const visit = firstVisit();
  const begun = !kept || (visit && hasDefault()) ? defaultPreset() : kept;
  if (slotOf(begun) === shared) stored.own = begun.id;
  tab(begun).click();
  startEngines(JSON.parse(form.dataset.engines));
  chooseEngine(stored.request.engine ?? '');
  onEngines(() => chooseEngine(chosenEngine()));
  startRequest(stored.request, () => steadily(panel(), keep));
  field('emulate').addEventListener('input', redrawPanel);
  form.addEventListener('submit', (event) => event.preventDefault());
  new Help(panel());
  arrowsBetween($('[role="tablist"]', panel()));
  whenAdded(panel(), '.preset', bind);
  new MutationObserver(() => { keep(); arrive(); showTabs(); }).observe($('[role="tablist"]', panel()), {
    subtree: true, attributeFilter: ['aria-selected'],
  });
  summarise();
  new ResizeObserver(showTabs).observe($('[role="tablist"]', panel()));
  changed = onChange;
  startDrawer(panel());
  onEngine((state) => {
    engineSays(state);
    steadily(panel(), () => {
      slots().forEach(show);
      if (state.state === 'unknown') {
        for (const id of ['seed-note', 'system-note']) field(id).textContent = '';
        field('system').placeholder = 'none';
        showContext(undefined);
      }
      if (!state.engine) return; // while it is away, what it said last holds
      const emulated = treated('emulated');
      field('emulation').hidden = emulated.length === 0;
      field('emulation-note').textContent = `This engine lacks ${emulated.join(', ')}: they are applied to its tokens on their way here.`;
      showContext(state.engine.max_total_tokens);
      field('seed-note').textContent = seedWords(state.engine.seeds);
      field('system-note').textContent = systemWords(state.engine);
      field('system').placeholder = state.engine.default_system === '' ? 'none' : 'none: the model’s own default is sent';
    });
  });
  onProof(() => slots().forEach(show));
  onFragment('preset', (text) => offerPreset(text, handle(shared)));
}
