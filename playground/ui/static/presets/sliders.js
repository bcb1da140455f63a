// Shows in a preset's panel and at its tab what is set and how the engine treats it.

import { treatment } from '../engine/parameter_support.js';
import { lacking, original, parameters, readOf } from './edited_values.js';

function showKnob(knob, parameter, { value, problem }) {
  const unset = (value ?? null) === null;
  const position = unset ? parameter.neutral : value;
  const slide = knob.querySelector('.slide');
  knob.classList.toggle('unset', unset);
  slide.value = position;
  slide.setAttribute('aria-valuetext', unset ? 'unset' : String(value));
  slide.style.setProperty('--at', `${(100 * (position - parameter.minimum)) / (parameter.maximum - parameter.minimum)}%`);
  knob.querySelector('.value').setAttribute('aria-invalid', String(problem !== undefined));
  const { words, level } = treatment(parameter.name);
  const how = knob.querySelector('.how');
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
    showKnob(panel.querySelector(`[data-parameter="${parameter.name}"]`), parameter, readOf(preset, edits, parameter));
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
