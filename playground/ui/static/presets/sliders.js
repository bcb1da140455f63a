// Shows in a preset's panel and at its tab what is set and how the engine treats it.

import { treatment } from '../engine/parameter_support.js';
import { $ } from '../lib/dom.js';
import { lacking, original, parameters, readOf } from './edited_values.js';

/**
 * @param {HTMLElement} knob
 * @param {Parameter} parameter
 * @param {{ value?: number | null, problem?: string }} read
 */
function showKnob(knob, parameter, { value, problem }) {
  const position = value ?? parameter.neutral;
  const unset = (value ?? null) === null;
  const slide = $('.slide', knob);
  knob.classList.toggle('unset', unset);
  slide.value = position;
  slide.setAttribute('aria-valuetext', unset ? 'unset' : String(value));
  slide.style.setProperty('--at', `${(100 * (position - parameter.minimum)) / (parameter.maximum - parameter.minimum)}%`);
  $('.value', knob).setAttribute('aria-invalid', String(problem !== undefined));
  const { words, level } = treatment(parameter.name);
  const how = $('.how', knob);
  how.className = `how ${problem === undefined ? level : 'invalid'}`;
  how.textContent = problem ?? words;
}

function showTab(tab, lacks) {
  const words = lacks.length > 0 ? `Needs ${lacks.join(' and ')}, which this engine does not apply` : '';
  tab.classList.toggle('lacking', lacks.length > 0);
  if (words) tab.setAttribute('aria-description', words);
  else tab.removeAttribute('aria-description');
  tab.title = words;
}

// tab, panel: of a preset; null where Gradio has not drawn them yet.
export function showPreset(tab, panel, preset, edits) {
  const lacks = lacking(preset, edits);
  if (tab) showTab(tab, lacks);
  if (!panel) return;
  for (const parameter of parameters()) {
    showKnob($(`[data-parameter="${parameter.name}"]`, panel), parameter, readOf(preset, edits, parameter));
  }
  const warning = panel.querySelector('.warning');
  warning.hidden = lacks.length === 0;
  warning.textContent = `This engine does not apply ${lacks.join(' and ')}: the answer is made without.`;
  panel.querySelector('.source').textContent = preset.source;
  panel.querySelector('.source').hidden = preset.source === '';
  const edited = panel.querySelector('.edited');
  edited.hidden = Object.keys(edits).length === 0;
  edited.firstElementChild.textContent = `Edited: ${Object.keys(edits).map((name) => `${name} was ${original(preset, name) || '–'}`).join(', ')}.`;
}
