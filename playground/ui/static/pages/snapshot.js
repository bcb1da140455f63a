// The page /s/<token>: a frozen conversation or comparison, as its owner saw it.

import { Marks } from '../answers/difference_marks.js';
import { SideBySide } from '../answers/side_by_side.js';
import { address, json, patientJson } from '../lib/api.js';
import { $, button, copyButton, element, onceOfTwo } from '../lib/dom.js';
import { distinct, overlap } from '../lib/statistics.js';
import { dates, number, openings, within } from '../lib/text.js';
import { startTheme, themeMenu } from '../lib/theme.js';
import { FrozenColumn } from '../snapshot/frozen_column.js';
import { engineGone } from '../snapshot/receipt_differences.js';
import { Again } from '../snapshot/rerun.js';

/** @type {HTMLElement} */
const page = $('#snapshot');
const { token = '' } = page.dataset;
const parameters = JSON.parse(page.dataset.parameters ?? '[]');

// seconds: since 1970.
const time = (seconds) => {
  const at = new Date(1000 * seconds);
  return element('time', { dateTime: at.toISOString(), textContent: dates.format(at) });
};
const line = (...parts) => element('span', {}, ...parts);
const distinctValues = (values) => [...new Set(values)];

// Who wrote the answers, in words: each model with its engine.
function writers(columns) {
  const receipts = columns.flatMap(({ all }) => all).map(({ receipt }) => receipt).filter(Boolean);
  return distinctValues(receipts.map(({ model_id: id, engine }) => `${within(id)} on ${within(engine)}`));
}

function facts({ share, record }, columns) {
  const said = writers(columns);
  const views = share.views ?? null;
  return element('p', { className: 'facts-line' },
    line('Made ', time(share.created)),
    ...(said.length > 0 ? [line(`Written by ${said.join(' and ')}`)] : []),
    ...(share.expires ? [line('Expires ', time(share.expires))] : []),
    ...(views === null ? [] : [line(openings(views).replace(/^./, (first) => first.toUpperCase()))]),
    ...(record.kind === 'comparison' ? [line(`${columns.length} columns`)] : []));
}

// How the engine here differs from the one that wrote the answers, or ''.
function elsewhere(columns, engine) {
  const receipts = columns.map(({ answer }) => answer?.receipt).filter(Boolean);
  if (receipts.length === 0) return '';
  if (receipts.every(({ model_id: id }) => id !== engine.model_id)) {
    return `The model here now is another one: ${within(engine.model_id)}. It will answer differently.`;
  }
  if (receipts.every(({ model_sha: sha }) => (sha ?? null) !== (engine.model_sha ?? null))) {
    return 'The model here now is another revision of the one that wrote this.';
  }
  return '';
}

// The figures of the answers in a table: of a comparison a line for each column, of a chat for
// each answer.
function statistics(columns) {
  const chat = columns.length === 1;
  const rows = chat
    ? columns[0].messages.filter(({ role }) => role === 'assistant').map((answer, i) => [`Answer ${i + 1}`, answer])
    : columns.filter(({ answer }) => answer).map(({ label, answer }) => [label, answer]);
  if (rows.length === 0) return element('div');
  const percent = (share) => (share === null ? '–' : `${Math.round(100 * share)} %`);
  const heads = ['tokens', 'first token', 'tokens/s', 'duration', 'different words', ...(chat ? [] : ['word pairs shared with the first'])];
  const lines = rows.map(([label, { content, done }]) => [
    label,
    done ? number.format(done.generated_tokens) : '–',
    (done?.ttft_ms ?? null) === null ? '–' : `${Math.round(done.ttft_ms)} ms`,
    done?.tokens_per_second > 0 ? done.tokens_per_second.toFixed(1) : '–',
    done ? `${(done.duration_ms / 1000).toFixed(2)} s` : '–',
    percent(distinct([content], 1)),
    ...(chat ? [] : [percent(overlap(rows[0][1].content, content))]),
  ]);
  return element('details', { className: 'statistics', open: !chat },
    element('summary', { textContent: 'Statistics' }),
    element('div', { className: 'scroll', tabIndex: 0 }, element('table', {},
      element('thead', {}, element('tr', {}, element('td'), ...heads.map((textContent) => element('th', { textContent, scope: 'col' })))),
      element('tbody', {}, ...lines.map(([label, ...cells]) => element('tr', {},
        element('th', { textContent: label, scope: 'row' }),
        ...cells.map((textContent) => element('td', { textContent }))))))));
}

function draw(snapshot) {
  const { share, record, blocks } = snapshot;
  const chat = record.kind === 'chat';
  const columns = record.columns.map((column, i) => new FrozenColumn(column, blocks[i], {
    parameters,
    index: i,
    alone: chat,
    busy: () => again.running !== null,
    chosen: () => {
      again.renew();
      const { open } = figures;
      figures.replaceWith(figures = statistics(columns));
      figures.open = open;
    },
  }));
  /** @type {any} */
  let figures = statistics(columns);
  const board = element('div', { className: `frozen ${record.kind}` }, ...columns.map(({ node }) => node));
  board.style.setProperty('--columns', columns.length);

  const note = element('p', { className: 'warn', hidden: true });
  note.setAttribute('role', 'status');
  // Of several turns the last answers alone are asked for again.
  const last = columns.some(({ messages }) => messages.filter(({ role }) => role === 'assistant').length > 1);
  const offered = `Run ${last ? `the last ${chat ? 'answer' : 'answers'} ` : ''}again and show what changed`;
  const run = button(offered, () => (again.running ? again.stop() : again.run()), 'second');
  const other = button('Run again with another seed', () => again.run({ otherSeed: true }));
  const hide = button('Hide the new answers', () => again.hide());
  const marks = new Marks(() => {
    if (again.shown) return again.groups;
    return chat ? [] : { columns, reference: columns[0], mode: 'first' };
  });
  const outcome = element('p', { className: 'outcome', hidden: true });
  outcome.setAttribute('role', 'status');
  const tell = () => {
    const words = again.outcome;
    if (outcome.textContent !== words) outcome.textContent = words;
    outcome.hidden = words === '';
  };
  const again = new Again(columns, parameters, {
    look: (now) => marks.update(now),
    told: tell,
    changed: () => {
      const { running, shown, versions } = again;
      run.textContent = running ? 'Stop' : shown ? 'Run again' : offered;
      run.hidden = !again.possible;
      other.hidden = !shown || running !== null;
      hide.hidden = other.hidden;
      hide.textContent = versions.length === 1 ? 'Hide the new answer' : 'Hide the new answers';
      board.classList.toggle('twice', shown);
      page.classList.toggle('twice', shown);
      tell();
    },
  });
  again.changed();

  page.classList.toggle('comparison-of-columns', !chat);
  const actions = element('div', { className: 'row' },
    element('a', { className: 'primary', href: address(`#continue=${token}`), textContent: 'Continue from here' }), run, other, hide, copyButton('Copy the link', () => location.href));
  onceOfTwo(actions);
  page.replaceChildren(
    element('header', { className: 'snapshot-head' },
      element('h1', { textContent: share.title }), facts(snapshot, columns),
      element('p', { className: 'frozen-note', textContent: 'This is a frozen copy. It stays as it was made, and under each answer its receipt says exactly what was sent.' }),
      note, actions, outcome),
    board, figures);
  new SideBySide(() => columns.map(({ log }) => log)).watch();
  marks.update(true);
  void compareEngine(columns, note, run);
}

// What runs here now: another model is said, and so is who may not ask it.
async function compareEngine(columns, note, run) {
  const say = (...parts) => {
    note.replaceChildren(...parts);
    note.hidden = false;
  };
  try {
    const { engines } = await json('api/engines');
    const receipts = columns.flatMap(({ answer }) => answer?.receipt ?? []);
    const wrote = engines.find(({ id }) => receipts.some((receipt) => receipt.engine_id === id)) ?? engines[0];
    const { state, reason, engine } = await json(`api/engine?engine=${encodeURIComponent(wrote.id)}`);
    const gone = distinctValues(receipts.map((receipt) => engineGone(receipt, engines)).filter(Boolean));
    const words = [...gone, engine ? elsewhere(columns, engine) : ''].filter(Boolean);
    if (words.length > 0) say(words.join(' '));
    else if (state !== 'ready') say(`It cannot be run again at the moment: ${reason}`);
  } catch (error) {
    if (error.kind === 'login') {
      run.hidden = true;
      for (const { pane } of columns) pane.alone = true;
      say(element('a', { href: address(`login?next=/s/${token}`), textContent: 'Log in' }), ' to run it again or to continue it. To read it needs no login.');
    } else {
      say(error.message);
    }
  }
}

async function open() {
  try {
    draw(await patientJson(`api/shares/${encodeURIComponent(token)}`));
    document.documentElement.dataset.snapshot = 'ready';
  } catch (error) {
    page.replaceChildren(element('div', { className: 'sheet', role: 'alert' },
      element('h1', { textContent: 'The snapshot cannot be shown' }),
      element('p', { textContent: error.message }), button('Try again', open, 'primary')));
  }
}

startTheme();
$('#theme').append(themeMenu());
void open();
