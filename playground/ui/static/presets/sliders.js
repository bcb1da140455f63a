// Shows in a preset's panel and at its tab what is set and how the engine treats it.

import { treatment } from '../engine/parameter_support.js';
import { $ } from '../lib/dom.js';
import { emulatedBy, isEdit, isEdited, lacking, original, parameters, readOf } from './edited_values.js';

/**
 * @param {HTMLElement} knob
 * @param {Parameter} parameter
 * @param {{ value?: number | null, problem?: string }} read
 * @param {boolean} emulate
 */
function showKnob(knob, parameter, { value, problem }, emulate) {
  const position = value ?? parameter.neutral;
  const unset = (value ?? null) === null;
  const slide = $('.slide', knob);
  knob.classList.toggle('unset', unset);
  slide.value = position;
  slide.setAttribute('aria-valuetext', unset ? 'unset' : String(value));
  slide.style.setProperty('--at', `${(100 * (position - parameter.minimum)) / (parameter.maximum - parameter.minimum)}%`);
  $('.value', knob).setAttribute('aria-invalid', String(problem !== undefined));
  const { words, level, word } = treatment(parameter.name, emulate);
  const how = $('.how', knob);
  how.className = `how ${problem === undefined ? level : 'invalid'}`;
  how.textContent = problem ?? word;
  $('.treatment', knob).textContent = words; // at the knob there is room for little
}

// The way back to what the preset says, where something else stands in the field.
/**
 * @param {HTMLElement} knob
 * @param {string} was
 * @param {boolean} edited
 */
function showReset(knob, was, edited) {
  const reset = $('.reset', knob);
  reset.textContent = `↺ ${was || '–'}`;
  reset.title = `Back to the preset’s ${was || '–, which is unset'}`;
  reset.setAttribute('aria-label', reset.title);
  reset.hidden = !edited;
}

// Why these parameters are not applied, as the end of a sentence about them.
const without = (lacks) => (lacks.some((name) => emulatedBy().includes(name)) ? ' without emulation' : '');

function showTab(tab, lacks, edited) {
  const words = [edited && 'Edited', lacks.length > 0 && `Needs ${lacks.join(' and ')}, which this engine does not apply${without(lacks)}`].filter(Boolean).join('. ');
  tab.classList.toggle('lacking', lacks.length > 0);
  tab.classList.toggle('edited', edited);
  if (words) tab.setAttribute('aria-description', words);
  else tab.removeAttribute('aria-description');
  tab.title = words;
}

// tab, panel: of a preset; null where Gradio has not drawn them yet. limit: what a field says that holds
// for it. emulate: whether the reader lets parameters be emulated.
export function showPreset(tab, panel, preset, { edits, limit, emulate }) {
  const lacks = lacking(preset, edits, emulate);
  const edited = isEdited(preset, edits, limit);
  if (tab) showTab(tab, lacks, edited);
  if (!panel) return;
  for (const parameter of parameters()) {
    const knob = $(`[data-parameter="${parameter.name}"]`, panel);
    showKnob(knob, parameter, readOf(preset, edits, parameter), emulate);
    showReset(knob, original(preset, parameter.name), isEdit(preset, edits, parameter));
  }
  const warning = panel.querySelector('.warning');
  warning.hidden = lacks.length === 0;
  warning.textContent = `This engine does not apply ${lacks.join(' and ')}${without(lacks)}: the answer is made without.`;
  $('.description', panel).textContent = preset.description ?? '';
  $('.source p', panel).textContent = preset.source;
  $('.source', panel).hidden = preset.source === '';
  for (const node of panel.querySelectorAll('.if-edited')) node.hidden = !edited;
}
