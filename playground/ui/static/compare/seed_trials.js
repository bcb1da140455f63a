// The last prompt with several seeds for every column: how much answers differ by luck alone, and
// how much by the settings.

import { pause, stream } from '../lib/api.js';
import { openDialog } from '../lib/dialog.js';
import { button, element } from '../lib/dom.js';
import { download } from '../lib/download.js';
import { distinct, mean, overlapsBetween, overlapsWithin } from '../lib/statistics.js';
import { load, save } from '../lib/storage.js';
import { brief, count as counted, ordinal, within } from '../lib/text.js';

export const mostSeeds = 5;
const width = 560;
const rowHeight = 30;
const left = 170;

// What the trials say of each column and of each two columns.
// columns: [{label, answers: [{text, tokens}]}].
export function figures(columns) {
  const texts = columns.map(({ answers }) => answers.map(({ text }) => text));
  const written = texts.map((each) => each.filter((text) => text !== ''));
  return {
    columns: columns.map(({ label, answers }, i) => ({
      label,
      count: written[i].length,
      tokens: mean(answers.flatMap(({ tokens }) => tokens ?? [])),
      distinct1: distinct(written[i], 1),
      distinct2: distinct(written[i], 2),
      overlaps: overlapsWithin(written[i]),
    })),
    pairs: columns.flatMap(({ label }, i) => columns.slice(i + 1).map((other, j) => ({
      label: `${within(label)} – ${within(other.label)}`,
      overlaps: overlapsBetween(texts[i], texts[i + 1 + j]),
    }))),
  };
}

function shape(tag, attributes, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A row for each column and each two columns: a dot for every two answers, a stroke at their mean.
function plot({ columns, pairs }) {
  const rows = [
    ...columns.map(({ label, overlaps }) => ({ label, overlaps, kind: 'within' })),
    ...pairs.map(({ label, overlaps }) => ({ label, overlaps, kind: 'between' })),
  ].filter(({ overlaps }) => overlaps.length > 0);
  const height = rows.length * rowHeight + 22;
  const x = (value) => left + value * (width - left - 12);
  const svg = shape('svg', { viewBox: `0 0 ${width} ${height}`, class: 'plot', role: 'img' });
  svg.setAttribute('aria-label', `Overlap of answers. ${rows.map(({ label, overlaps }) => `${label}: mean ${mean(overlaps)?.toFixed(2)}`).join('. ')}.`);
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(shape('line', { x1: x(tick), x2: x(tick), y1: 0, y2: height - 20, class: 'grid' }),
      shape('text', { x: x(tick), y: height - 5, 'text-anchor': 'middle' }, String(tick)));
  }
  rows.forEach(({ label, overlaps, kind }, i) => {
    const y = i * rowHeight + rowHeight / 2;
    const short = brief(label, 26);
    svg.append(shape('text', { x: left - 10, y: y + 4, 'text-anchor': 'end' }, short));
    for (const value of overlaps) svg.append(shape('circle', { cx: x(value), cy: y, r: 4, class: kind }));
    const at = x(mean(overlaps));
    svg.append(shape('line', { x1: at, x2: at, y1: y - 10, y2: y + 10, class: `mean ${kind}` }));
  });
  return svg;
}

const two = (value) => (value === null ? '–' : value.toFixed(2));

function table({ columns }) {
  const head = ['setting', 'answers', 'tokens', 'distinct words', 'distinct word pairs', 'overlap'];
  return element('div', { className: 'scroll' }, element('table', {},
    element('thead', {}, element('tr', {}, ...head.map((text) => element('th', { textContent: text, scope: 'col' })))),
    element('tbody', {}, ...columns.map((column) => element('tr', {},
      element('th', { textContent: column.label, scope: 'row' }),
      ...[column.count, column.tokens === null ? '–' : Math.round(column.tokens), two(column.distinct1),
        two(column.distinct2), two(mean(column.overlaps))].map((value) => element('td', { textContent: value })))))));
}

function answersOf({ label, answers }) {
  return element('details', {}, element('summary', { textContent: `${counted(answers.length, 'answer')} of ${within(label)}` }),
    ...answers.map(({ seed, text, tokens, problem, notices = [] }) => element('div', { className: 'trial' },
      element('p', { className: 'meta', textContent: [`seed ${seed}`, tokens && `${tokens} tokens`].filter(Boolean).join(' · ') }),
      element('p', { className: problem ? 'problem' : 'text', textContent: problem ?? text }),
      ...notices.map((words) => element('p', { className: 'note', textContent: words })))));
}

// The events of a request, which is sent again for as long as the server is busy: a refused one was
// not begun. say(words): why nothing comes.
async function* patiently(body, signal, say) {
  while (!signal.aborted) {
    try {
      yield* stream(body, signal);
      return;
    } catch (error) {
      if (error.kind !== 'busy') throw error;
      const seconds = Math.max(error.retryAfter, 1);
      say(`The server is busy; asking again in ${seconds} s`);
      await pause(seconds, signal);
    }
  }
}

// One request after the other, a seed each; ask(seed) gives its panes.
async function collect(columns, seeds, ask, signal, progress) {
  for (const [n, seed] of seeds.entries()) {
    progress(n);
    const answers = columns.map(() => ({ seed, text: '', tokens: null, problem: 'Stopped.' }));
    for await (const { name, data } of patiently({ panes: ask(seed) }, signal, (words) => progress(n, words))) {
      const answer = answers[data.pane];
      if (name === 'waiting') progress(n, `waiting, ${ordinal(data.place)} in line`);
      else if (name === 'delta') answer.text += data.text;
      else if (name === 'done') Object.assign(answer, { tokens: data.generated_tokens, problem: null });
      else if (name === 'error') answer.problem = data.message;
      else if (name === 'notice') (answer.notices ??= []).push(data.text);
      else if (name === 'receipt') {
        answer.receipt = data;
        progress(n);
      }
    }
    if (signal.aborted) return;
    answers.forEach((answer, i) => columns[i].answers.push(answer.problem ? { ...answer, text: '' } : answer));
  }
}

/**
 * Opens the window: for what is to be asked, or with why nothing can be, in words.
 * @param {{ prompt?: string, labels?: string[], seed?: number, ask?: (seed: number) => RequestPane[], refusal?: string }} trials
 */
export function openTrials({ prompt = '', labels = [], seed = 0, ask, refusal = '' }) {
  if (refusal || !ask) {
    openDialog('Try several seeds', element('p', { textContent: refusal }));
    return;
  }
  const count = element('select', {}, ...Array.from({ length: mostSeeds }, (_, i) => new Option(String(i + 1))));
  count.value = load('trials', 3);
  const status = element('p', { className: 'status' });
  status.setAttribute('role', 'status');
  const results = element('div', {});
  /** @type {AbortController | null} */
  let controller = null;

  const start = button('Start', async () => {
    if (controller) {
      controller.abort();
      return;
    }
    controller = new AbortController();
    start.textContent = 'Stop';
    save('trials', Number(count.value));
    const seeds = Array.from({ length: Number(count.value) }, (_, i) => seed + i);
    const columns = labels.map((label) => ({ label, answers: [] }));
    let outcome = '';
    try {
      await collect(columns, seeds, ask, controller.signal, (n, words) => {
        status.textContent = [`Seed ${n + 1} of ${seeds.length}: ${seeds[n]}`, words].filter(Boolean).join(' · ');
        show(columns);
      });
      outcome = controller.signal.aborted ? 'Stopped.' : '';
    } catch (error) {
      outcome = error.message;
    }
    controller = null;
    start.textContent = 'Start again';
    status.textContent = outcome;
    show(columns);
  }, 'primary');

  function show(columns) {
    if (columns[0].answers.length === 0) return;
    const all = figures(columns);
    const several = columns[0].answers.length > 1;
    results.replaceChildren(
      table(all), element('div', { className: 'scroll' }, plot(all)),
      element('p', { className: 'note', textContent: 'Overlap: of the word pairs in two answers, the share that stands in both; a dot for every two answers (of two settings: those with different seeds), a line at the mean. Distinct words, and word pairs: the different ones ÷ all of them.' }),
      element('p', { className: 'note', textContent: several
        ? 'Where two settings overlap about as much as the answers of one setting do among themselves, their difference may be the seeds alone.'
        : 'With one seed, a difference may come from the seed or from the settings: take more seeds.' }),
      ...columns.map(answersOf),
      button('Export JSON', () => download('trials.json', 'application/json', JSON.stringify({ prompt, ...all, answers: columns }, null, 2))),
    );
  }

  const window = openDialog('Try several seeds',
    element('p', { className: 'note', textContent: `“${brief(prompt, 140)}”` }),
    element('div', { className: 'row' },
      element('label', {}, 'answers per column ', count), start, status),
    results);
  window.addEventListener('close', () => controller?.abort());
}
