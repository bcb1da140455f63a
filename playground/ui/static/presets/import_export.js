// Presets in and out: texts in other programs' formats, and links. The server reads and writes them.

import { json, patientJson } from '../lib/api.js';
import { openDialog } from '../lib/dialog.js';
import { button, copyButton, element, note } from '../lib/dom.js';
import { download } from '../lib/download.js';
import { brief, count, plainName, quotedStops, within } from '../lib/text.js';
import { mostStops } from '../lib/values.js';
import { longestStop } from './edited_values.js';
import { addPreset, locked, ownPresets } from './presets.js';

const linkName = 'preset';
const formats = async () => (await json('api/presets')).formats;

/**
 * @param {string} label
 * @param {[string, string][]} options
 * @returns {[HTMLLabelElement, HTMLSelectElement]}
 */
function select(label, options) {
  const node = element('select', {});
  for (const [value, text] of options) node.add(new Option(text, value));
  return [element('label', { className: 'labelled' }, label, ' ', node), node];
}

// What could not come along: what matters in full, what has no effect in a word.
function leftOut(items, lead) {
  const mattering = items.filter(({ effect }) => effect);
  const rest = items.length - mattering.length;
  const line = ({ name, value, reason, line: number }) => (
    `${number ? `line ${number}, ` : ''}${name}${value === null ? '' : ` ${value}`}: ${reason}`);
  const lines = (each) => element('ul', {}, ...each.map((item) => element('li', { textContent: line(item) })));
  const parts = [];
  if (mattering.length > 0) parts.push(element('h3', { textContent: lead }), lines(mattering));
  if (rest > 0) {
    parts.push(element('details', {}, element('summary', { textContent: `${rest} left out without effect on the answers` }),
      lines(items.filter(({ effect }) => !effect))));
  }
  return parts;
}

const problem = ({ line, key, reason }) => element('li', { textContent: `${line ? `line ${line}: ` : ''}${key && !reason.includes(key) ? `${key}: ` : ''}${reason}` });

// The found presets with a field for the name of each; without one they are called as the file, or as imported.
function found(result, panel, fileName = '') {
  const single = result.presets.length === 1;
  return result.presets.map((preset, i) => {
    const name = element('input', { type: 'text', maxLength: 60, className: 'name-field', value: preset.name || (single && fileName) || `Imported preset${single ? '' : ` ${i + 1}`}` });
    const limit = preset.max_new_tokens === null ? '' : ` · at most ${preset.max_new_tokens} tokens`;
    return { preset, name, node: element('div', { className: 'found' }, element('label', {}, single ? 'Name' : `Name of preset ${i + 1}`, name), element('p', { textContent: panel.summary(preset.sampler) + limit })) };
  });
}

// What a text says of the panel's other fields, by their ids and in words. A line of the field is a stop sequence.
function otherFields({ system, stop, seed }) {
  const stops = stop.filter((each) => !each.includes('\n') && [...each].length <= longestStop).slice(0, mostStops);
  const fields = {
    ...(system && { system }), ...(stops.length > 0 && { stop: stops.join('\n') }), ...(seed !== null && { seed: String(seed) }),
  };
  const words = [system && `system text “${brief(system)}”`, stops.length > 0 && `stop ${quotedStops(stops)}`, seed !== null && `seed ${seed}`];
  return { fields, words: words.filter(Boolean).join(', ') };
}

// A box, not ticked, for putting them there; gives it and what does so where it is ticked.
function fieldsChoice(request, panel) {
  const { fields, words } = otherFields(request);
  if (words === '') return { nodes: [], put: () => {} };
  const box = element('input', { type: 'checkbox' });
  return {
    nodes: [element('label', { className: 'check' }, box, `Put into the panel, too: ${words}`)],
    put: () => { if (box.checked) panel.put(fields, `In the panel now: ${words}.`); },
  };
}

function addAll(window, panel, drafts) {
  const added = drafts.map(({ preset, name }) => addPreset({ ...preset, name: name.value }));
  window.close();
  panel.choose(added[0]);
  panel.redraw();
  const [{ max_new_tokens: own }] = added;
  if (own !== null && panel.limit() !== '') panel.put({ 'max-new-tokens': '' }, `Its own limit of ${count(own, 'token')} holds now.`);
}

function addButton(drafts, add) {
  const label = drafts.length === 1 ? 'Add this preset' : `Add ${drafts.length} presets`;
  const node = button(label, add, 'primary');
  node.disabled = locked();
  return node;
}

export async function importPresets(panel) {
  const area = element('textarea', { rows: 8, placeholder: 'Paste the model page’s text, TOML, a preset or request of another program, or a command: curl, llama-cli, vllm serve', spellcheck: false });
  area.setAttribute('aria-label', 'Text to import');
  const file = element('input', { type: 'file', className: 'file' });
  file.setAttribute('aria-label', 'A file to import');
  const [label, format] = select('Format', [['', 'detect']]);
  const result = element('div', { className: 'result' });
  result.setAttribute('aria-live', 'polite');
  const window = openDialog('Import presets', area, element('div', { className: 'row' }, file, label), result);
  let asked = 0;
  let timer;
  let fileName = '';

  async function read() {
    asked += 1;
    const turn = asked;
    if (area.value.trim() === '') return result.replaceChildren();
    let nodes;
    try {
      const answer = await patientJson('api/presets/import', { text: area.value, ...(format.value && { format: format.value }) });
      const drafts = found(answer, panel, fileName);
      nodes = [note(`Read as: ${answer.label || 'nothing that is known'}.`)];
      if (answer.problems.length > 0) nodes.push(element('h3', { textContent: 'This cannot be read' }), element('ul', { className: 'problems' }, ...answer.problems.map(problem)));
      nodes.push(...drafts.map(({ node }) => node), ...answer.notes.map(note), ...leftOut(
        drafts.length > 0 ? answer.left_out : answer.left_out.filter(({ effect }) => effect), 'Left out of the preset',
      ));
      if (drafts.length > 0) {
        const others = fieldsChoice(answer.request, panel);
        nodes.push(...others.nodes, addButton(drafts, () => { addAll(window, panel, drafts); others.put(); }));
      }
    } catch (error) {
      nodes = [element('p', { className: 'problems', textContent: error.message })];
    }
    if (turn === asked) result.replaceChildren(...nodes);
    return undefined;
  }

  area.addEventListener('input', () => {
    fileName = ''; // another text, or no longer the file's
    clearTimeout(timer);
    timer = setTimeout(read, 250);
  });
  format.addEventListener('change', read);
  file.addEventListener('change', async () => {
    const chosen = file.files?.[0];
    area.value = (await chosen?.text()) ?? '';
    fileName = plainName(chosen?.name ?? '').replace(/\.[^.]*$/, '').slice(0, 60).trim();
    void read();
  });
  for (const { id, label: name } of await formats()) format.add(new Option(name, id));
}

// A preset's name as that of a file.
const fileWords = (name) => name.toLowerCase().match(/[\p{L}\p{M}\p{N}_]+/gu)?.join('-') ?? 'preset';

export async function exportPresets(draft) {
  const known = await formats();
  const [label, format] = select('Format', known.map(({ id, label: name }) => [id, name]));
  const [whatLabel, what] = select('What', [['one', within(draft.name)], ['all', `all ${ownPresets().length} of your own`]]);
  format.value = 'toml';
  const result = element('div', { className: 'result' });
  openDialog('Export', element('div', { className: 'row' }, label, whatLabel), result);

  async function write() {
    const several = known.find(({ id }) => id === format.value).several && ownPresets().length > 1;
    whatLabel.hidden = !several;
    const chosen = several && what.value === 'all' ? ownPresets() : [draft];
    const presets = chosen.map(({ name, source = '', sampler, max_new_tokens: limit }) => ({ name, source, sampler, max_new_tokens: limit }));
    try {
      const answer = await json('api/presets/export', { presets, format: format.value });
      const name = `${chosen.length > 1 ? 'presets' : fileWords(draft.name)}.${answer.suffix}`;
      result.replaceChildren(
        element('pre', { textContent: answer.text, tabIndex: 0 }),
        element('div', { className: 'row' }, copyButton('Copy', () => answer.text),
          button(`Save as ${name}`, () => download(name, 'text/plain', answer.text))),
        ...leftOut(answer.left_out, 'What this format cannot express'), ...answer.notes.map(note),
      );
    } catch (error) {
      result.replaceChildren(element('p', { className: 'problems', textContent: error.message }));
    }
  }
  format.addEventListener('change', write);
  what.addEventListener('change', write);
  void write();
}

// A link to this page with a preset in it.
export function linkTo({ name, source, sampler, max_new_tokens: limit }) {
  const preset = { name, sampler };
  if (source) preset.source = source;
  if (limit !== null) preset.max_new_tokens = limit;
  const bytes = new TextEncoder().encode(JSON.stringify({ version: 1, presets: [preset] }));
  const text = btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  return `${location.origin}${location.pathname}#${linkName}=${text}`;
}

function decoded(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

// Offers the preset of a link, from what stands behind #preset= in the address.
export async function offerPreset(text, panel) {
  const nodes = [];
  let drafts = [];
  try {
    const answer = await patientJson('api/presets/import', { text: decoded(text), format: 'json' });
    drafts = found(answer, panel);
    if (answer.problems.length > 0) nodes.push(note('This link holds no preset that can be read.'), element('ul', { className: 'problems' }, ...answer.problems.map(problem)));
  } catch (error) {
    nodes.push(element('p', { className: 'problems', textContent: error.name === 'Error' || error.kind ? error.message : 'This link holds no preset that can be read: it was cut or changed.' }));
  }
  const window = openDialog('A preset from a link', ...nodes, ...drafts.map(({ node }) => node));
  if (drafts.length > 0) window.append(addButton(drafts, () => addAll(window, panel, drafts)));
}
