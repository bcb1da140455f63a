// What is done with presets: choose, save, rename, delete, order, default. Own ones are this
// browser's; the server's stay as they are.
//
// `panel` is the slot of a panel: {current(), draft(), choose(preset), discard(),
// neutralise(), lacking(preset), put(fields, words), redraw(), say(words, undo),
// complain(words): until something is changed, summary(sampler)}.

import { openDialog } from '../lib/dialog.js';
import { button, copyButton, element } from '../lib/dom.js';
import { menu } from '../lib/menu.js';
import { plainName, within } from '../lib/text.js';
import { exportPresets, importPresets, linkTo } from './import_export.js';
import {
  addPreset, changePreset, locked, movePreset, none, ownPresets, preferPreset, presetById, removePreset,
} from './presets.js';

// The choice among "none" and the own presets.
export function presetChoice(panel) {
  const choice = element('select', { className: 'own-choice' });
  choice.setAttribute('aria-label', 'Preset');
  for (const preset of [none, ...ownPresets()]) {
    const lacks = panel.lacking(preset);
    choice.add(new Option(within(preset.name) + (lacks.length > 0 ? ` (needs ${lacks.join(', ')})` : ''), preset.id));
  }
  choice.value = panel.current().id;
  choice.addEventListener('change', () => panel.choose(presetById(choice.value)));
  /** @type {HTMLElement[]} */
  const parts = [choice];
  if (locked()) {
    parts.push(element('p', { className: 'note', textContent: 'A newer version of this page has stored presets in this browser. They are kept as they are and not shown here.' }));
  } else if (ownPresets().length === 0) {
    parts.push(element('p', { className: 'note', textContent: 'Presets that you save or import are kept here, in this browser.' }));
  }
  return parts;
}

// Asks for a name; `take` gets it when it is not empty.
function askName(title, name, label, take) {
  const field = element('input', { type: 'text', value: name, maxLength: 60, className: 'name-field' });
  field.setAttribute('aria-label', 'Name');
  const form = element('form', { method: 'dialog', className: 'name-form' }, field,
    element('button', { type: 'submit', className: 'primary', textContent: label }));
  const window = openDialog(title, form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const given = plainName(field.value).trim();
    if (given === '') return field.focus();
    window.close();
    take(given);
  });
  field.select();
}

// Runs what may throw in words, and says them in the panel.
const guarded = (panel, run) => () => {
  try {
    run();
  } catch (error) {
    panel.complain(error.message);
  }
};

function saveAs(panel) {
  const { sampler, max_new_tokens: limit } = panel.draft();
  const from = panel.current();
  const name = from.kind === 'none' ? 'My preset' : `${from.name}${from.kind === 'own' ? '' : ', mine'}`;
  askName('Save as a preset of your own', name, 'Save', (chosen) => {
    const source = from.kind === 'server' ? `Made from ${from.name}.` : from.source;
    const preset = addPreset({ name: chosen, source, sampler, max_new_tokens: limit });
    panel.discard();
    panel.choose(preset);
    panel.redraw();
  });
}

function remove(panel) {
  const preset = panel.current();
  const undo = removePreset(preset);
  panel.choose(none);
  panel.redraw();
  panel.say(`Deleted ${within(preset.name)}.`, () => { undo(); panel.choose(preset); panel.redraw(); });
}

function rename(panel) {
  const preset = panel.current();
  askName('Rename the preset', preset.name, 'Rename', (name) => {
    changePreset(preset, { name });
    panel.redraw();
  });
}

function move(panel, by) {
  movePreset(panel.current(), by);
  panel.redraw();
  panel.say(`Moved ${by < 0 ? 'up' : 'down'}.`);
}

// Takes the edits into the preset, where it is one of the reader's own.
function saveEdits(panel) {
  const preset = panel.current();
  if (preset.kind !== 'own') {
    saveAs(panel);
    return;
  }
  const { sampler, max_new_tokens: limit } = panel.draft();
  changePreset(preset, { sampler, max_new_tokens: limit });
  panel.discard();
}

// Gives all edits up.
function reset(panel) {
  const undo = panel.discard();
  panel.say(`Back to the values of ${within(panel.current().name)}.`, undo);
}

// The buttons of a panel, the rarer ones in a menu.
export function presetActions(slot, panel) {
  const own = () => panel.current().kind === 'own';
  const place = () => ownPresets().indexOf(panel.current());
  const whenEdited = (label, run) => button(label, guarded(panel, run), 'quiet if-edited');
  return [
    button('Save as…', guarded(panel, () => saveAs(panel))),
    copyButton('Copy link', () => linkTo(panel.draft())),
    ...(slot === '-own' ? [whenEdited('Save', () => saveEdits(panel))] : []),
    whenEdited('Reset', () => reset(panel)),
    menu('More for this preset', () => [
      { label: 'Import…', run: () => importPresets(panel) },
      { label: 'Export…', run: guarded(panel, () => exportPresets(panel.draft())) },
      { label: 'Turn all samplers off', run: () => panel.neutralise() },
      { label: 'Set as default', run: () => { preferPreset(panel.current()); panel.say(`A new visit begins with ${within(panel.current().name)}.`); } },
      { label: 'Rename…', run: () => rename(panel), hidden: !own() },
      { label: 'Move up', run: () => move(panel, -1), hidden: !own() || place() === 0 },
      { label: 'Move down', run: () => move(panel, 1), hidden: !own() || place() === ownPresets().length - 1 },
      { label: 'Delete', run: () => remove(panel), hidden: !own() },
      { label: 'Test the samplers on this engine…', run: async () => (await import('./proof_window.js')).openProof() },
    ]),
  ];
}
