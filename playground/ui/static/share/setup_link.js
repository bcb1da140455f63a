// Set-up links: what the visible tab is set to, as the text after the “#” of an address. The server
// reads them: playground/sharing/setup_link.py.

import { engineId } from '../engine/choice.js';
import { content } from '../lib/text.js';
import { wholeNumber } from '../lib/values.js';
import { limitOf, parameters, samplerOf, stopsOf } from '../presets/edited_values.js';
import { panelState } from '../presets/panel.js';
import { presetOf } from '../presets/setting.js';
import { viewIfDrawn } from '../records/views.js';

export const longest = 8000; // characters, as on the server
const version = 3;
const second = 2; // which knew no emulation
const first = 1; // which knew no engines, either
const tabs = ['chat', 'compare', 'history', 'about'];

export const tabButton = (tab) => document.getElementById(`view-${tab}-button`);
export const currentTab = () => tabs.find((tab) => tabButton(tab)?.getAttribute('aria-selected') === 'true') ?? tabs[0];

const byNumber = (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`;

// Percent-encodes all but letters, digits and - _ . ~, since programs that find links in texts leave
// out a bracket or a mark at their end.
// A text's own %41 becomes %25%341: where every % stands as %25, the link was encoded again on its way.
const encoded = (text) => encodeURIComponent(text.toWellFormed?.() ?? text)
  .replace(/[!'()*]/g, byNumber).replace(/%25([\da-f])(?=[\da-f])/gi, (_, digit) => `%25${byNumber(digit)}`);

const written = (value) => (value === null ? '-' : String(value));

function columnText({ kind, name, started, values, seed, engine, emulate }) {
  const head = { server: () => name, none: () => '-none', own: () => `-own:${encoded(name)}` }[kind]();
  const pairs = [
    ...parameters().map(({ name: each }) => [each, started.sampler[each] ?? null, values.sampler[each] ?? null]),
    ['max', started.max_new_tokens, values.max_new_tokens],
  ].filter(([, was, value]) => was !== null || value !== null);
  return [
    head,
    ...pairs.map(([each, was, value]) => `${each}:${written(was)}${was === value ? '' : `:${written(value)}`}`),
    ...(seed === null ? [] : [`seed:${seed}`]),
    ...(engine === null ? [] : [`engine:${engine}`]),
    ...(emulate ? [] : ['emulate:off']),
  ].join(',');
}

// The first version that can say what a set-up says: earlier playgrounds read it, too.
function versionOf({ columns }) {
  if (columns.some(({ emulate }) => !emulate)) return version;
  return columns.some(({ engine }) => engine !== null) ? second : first;
}

// A set-up, as the server gives it, as the text of a link.
export function formatSetup(setup) {
  const given = (name, value) => (value ? [`${name}=${encoded(value)}`] : []);
  return [
    `setup=${versionOf(setup)}`, `tab=${setup.tab}`,
    ...setup.columns.map((column) => `column=${columnText(column)}`),
    ...(setup.seed === null ? [] : [`seed=${setup.seed}`]),
    ...(setup.own_seeds ? ['own-seeds'] : []),
    ...setup.stop.map((text) => `stop=${encoded(text)}`),
    ...given('system', setup.system),
    ...(setup.difference === 'first' ? [] : [`difference=${setup.difference}`]),
    ...(setup.against === 0 ? [] : [`against=${setup.against + 1}`]),
    ...(setup.blind ? ['blind'] : []),
    ...given('prompt', setup.prompt),
    'end',
  ].join('&');
}

/**
 * @param {Preset} preset
 * @param {Edits} edits
 * @param {string} limit
 * @param {{ engine?: string, emulate?: boolean }} answering
 * @param {number | null} [seed]
 */
function columnOf(preset, edits, limit, { engine, emulate = true }, seed = null) {
  const chosen = limitOf(limit);
  const most = preset.max_new_tokens ?? null;
  return {
    kind: preset.kind,
    name: { server: preset.id, none: '', own: preset.name }[preset.kind],
    started: { sampler: preset.sampler, max_new_tokens: most },
    values: { sampler: samplerOf(preset, edits), max_new_tokens: chosen === undefined ? most : chosen },
    seed,
    engine: engineId(engine),
    emulate,
  };
}

const nothing = { columns: [], seed: null, own_seeds: false, stop: [], system: '', difference: 'first', against: 0, blind: false, prompt: '' };

function chatSetup() {
  const { preset, edits, request } = panelState();
  return {
    columns: [columnOf(presetOf({ preset }), edits[preset] ?? {}, request['max-new-tokens'], request)],
    seed: wholeNumber(request.seed, 'seed', 0),
    stop: stopsOf(request.stop),
    system: request.system.trim(),
  };
}

function comparisonSetup({ columns, board, options }) {
  const { sameSeed, seed, difference, system, stop } = options.value;
  return {
    columns: columns.map(({ setting }, i) => {
      try {
        const own = sameSeed ? null : wholeNumber(setting.seed, 'seed', 0);
        return columnOf(presetOf(setting), setting.edits, setting.limit, setting, own);
      } catch (error) {
        throw new Error(`Column ${i + 1}: ${error.message}`, { cause: error });
      }
    }),
    seed: sameSeed ? wholeNumber(seed, 'seed', 0) : null,
    own_seeds: !sameSeed,
    stop: stopsOf(stop),
    system: system.trim(),
    difference,
    against: columns.indexOf(board.reference),
    blind: options.blind,
  };
}

// What the visible tab is set to. Throws in words when a field cannot be read.
export function currentSetup() {
  const tab = currentTab();
  const comparison = viewIfDrawn('comparison');
  if (tab === 'chat') return { ...nothing, tab, ...chatSetup() };
  if (tab !== 'compare') return { ...nothing, tab };
  if (!comparison) throw new Error('The comparison is still being drawn.');
  return { ...nothing, tab, ...comparisonSetup(comparison) };
}

// The prompt that a link can carry: the draft, or else the last question; '' when there is none.
export function currentPrompt() {
  const view = viewIfDrawn({ chat: 'chat', compare: 'comparison' }[currentTab()]);
  if (!view) return '';
  const { messages } = view.pane ?? view.columns[0];
  return (content(view.prompt.value) || messages.findLast(({ role }) => role === 'user')?.content) ?? '';
}

// The text of the set-up, short enough to be read again. Throws in words.
export function setupText({ prompt = false } = {}) {
  const setup = currentSetup();
  if (prompt) setup.prompt = currentPrompt();
  if (prompt && setup.prompt === '') throw new Error('There is no prompt yet that the link could carry.');
  const text = formatSetup(setup);
  if (text.length > longest) {
    throw new Error(`This is too long for a link: it has ${text.length} characters, and ${longest} is the most. Use a snapshot, or shorten the system text${prompt ? ' or the prompt' : ''}.`);
  }
  return text;
}

// A link to this page, set up as it is now. Throws in words.
export function setupLink({ prompt = false } = {}) {
  return `${location.origin}${location.pathname}#${setupText({ prompt })}`;
}
