// Shows in a preset's panel and at its tab what is set and how the engine treats it.

import { treatment } from '../engine/parameter_support.js';
import { $, element } from '../lib/dom.js';
import { emulatedBy, lacking, original, parameters, readOf } from './edited_values.js';

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
  showHow($('.how', knob), problem === undefined ? treatment(parameter.name, emulate) : { words: problem, level: 'invalid' });
}

// In full, or as one word that tells the rest to who points at it or opens it. What is shown already stays
// the same node, since one that is open would close.
/**
 * @param {HTMLElement} how
 * @param {{ words: string, level: string, word?: string }} treated
 */
function showHow(how, { words, level, word = '' }) {
  how.className = `how ${level}`;
  const said = `${word}\n${words}`;
  if (how.dataset.said === said) return;
  how.dataset.said = said;
  if (word === '') how.textContent = words;
  else how.replaceChildren(element('details', {}, element('summary', { title: words, textContent: word }), element('span', { textContent: words })));
}

// Why these parameters are not applied, as the end of a sentence about them.
const without = (lacks) => (lacks.some((name) => emulatedBy().includes(name)) ? ' without emulation' : '');

function showTab(tab, lacks) {
  const words = lacks.length > 0 ? `Needs ${lacks.join(' and ')}, which this engine does not apply${without(lacks)}` : '';
  tab.classList.toggle('lacking', lacks.length > 0);
  if (words) tab.setAttribute('aria-description', words);
  else tab.removeAttribute('aria-description');
  tab.title = words;
}

// tab, panel: of a preset; null where Gradio has not drawn them yet. emulate: whether the reader lets
// parameters be emulated.
export function showPreset(tab, panel, preset, edits, emulate) {
  const lacks = lacking(preset, edits, emulate);
  if (tab) showTab(tab, lacks);
  if (!panel) return;
  for (const parameter of parameters()) {
    showKnob($(`[data-parameter="${parameter.name}"]`, panel), parameter, readOf(preset, edits, parameter), emulate);
  }
  const warning = panel.querySelector('.warning');
  warning.hidden = lacks.length === 0;
  warning.textContent = `This engine does not apply ${lacks.join(' and ')}${without(lacks)}: the answer is made without.`;
  $('.description', panel).textContent = preset.description ?? '';
  $('.source p', panel).textContent = preset.source;
  $('.source', panel).hidden = preset.source === '';
  const edited = panel.querySelector('.edited');
  edited.hidden = Object.keys(edits).length === 0;
  edited.firstElementChild.textContent = `Edited: ${Object.keys(edits).map((name) => `${name} was ${original(preset, name) || '–'}`).join(', ')}.`;
}
