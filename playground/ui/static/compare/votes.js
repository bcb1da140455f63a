// The votes of blind comparisons, in this browser only, and what they add up to.
//
// A vote is {at, prompt, model, settings: [{name, preset, sampler}], outcome: best, tie or bad,
// best: the index of the setting that was chosen, or null}.

import { openDialog } from '../lib/dialog.js';
import { button, element } from '../lib/dom.js';
import { download } from '../lib/download.js';
import { wilson } from '../lib/statistics.js';
import { load, save } from '../lib/storage.js';
import { count, within } from '../lib/text.js';

export function addVote(vote) {
  save('votes', [...load('votes', []), vote]);
}

// A line for each setting, the best first: {name, votes, win, tie, loss, bad, rate, low, high,
// chance}. Two columns of one setting count once in a vote, which it wins if either does. The rate
// is wins ÷ (wins and losses), with Wilson's interval; chance is what blind luck would give.
export function tally(votes) {
  const lines = new Map();
  for (const vote of votes) {
    const names = vote.settings.map(({ name }) => name);
    for (const name of new Set(names)) {
      const results = names.flatMap((each, i) => (each === name ? [resultOf(vote, i)] : []));
      const line = lines.get(name) ?? { name, votes: 0, win: 0, tie: 0, loss: 0, bad: 0, luck: 0 };
      line.votes += 1;
      line[results.includes('win') ? 'win' : results[0]] += 1;
      if (vote.outcome === 'best') line.luck += results.length / names.length;
      lines.set(name, line);
    }
  }
  return [...lines.values()].map(({ luck, ...line }) => {
    const decided = line.win + line.loss;
    const [low, high] = wilson(line.win, decided);
    return { ...line, rate: decided === 0 ? null : line.win / decided, low, high, chance: decided === 0 ? null : luck / decided };
  }).sort((a, b) => (b.rate ?? -1) - (a.rate ?? -1));
}

const cell = (value) => {
  // A leading = + - @ would be a formula to a spreadsheet.
  const text = String(value ?? '').replace(/^[=+\-@\t\r]/, "'$&");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

// A line for each setting of each vote.
export function votesCSV(votes) {
  const rows = [['at', 'vote', 'prompt', 'setting', 'preset', 'sampler', 'result']];
  votes.forEach((vote, i) => vote.settings.forEach((each, j) => rows.push([
    vote.at, i + 1, vote.prompt, each.name, each.preset, JSON.stringify(each.sampler), resultOf(vote, j)])));
  return `${rows.map((row) => row.map(cell).join(',')).join('\r\n')}\r\n`;
}

// What a vote says of its n-th setting: win, loss, tie or bad.
export function resultOf(vote, n) {
  if (vote.outcome !== 'best') return vote.outcome;
  return vote.best === n ? 'win' : 'loss';
}

const percent = (share) => `${Math.round(100 * share)} %`;

// The win rate with its interval on a line from 0 to 100 %, and a line where chance would be.
function interval({ rate, low, high, chance }) {
  const place = (share) => `${(100 * share).toFixed(1)}%`;
  const bar = element('span', { className: 'interval' });
  bar.setAttribute('aria-hidden', 'true');
  const range = element('i', { className: 'range' });
  Object.assign(range.style, { left: place(low), width: place(high - low) });
  const dot = element('i', { className: 'at' });
  dot.style.left = place(rate);
  const luck = element('i', { className: 'luck' });
  luck.style.left = place(chance);
  bar.append(range, luck, dot);
  return bar;
}

function table(votes) {
  const head = ['setting', 'won', 'lost', 'tied', 'all bad', 'win rate', '95 % interval'];
  const rows = tally(votes).map((line) => element('tr', {},
    element('th', { textContent: within(line.name), scope: 'row' }),
    ...[line.win, line.loss, line.tie, line.bad].map((value) => element('td', { textContent: value })),
    element('td', { textContent: line.rate === null ? '–' : percent(line.rate) }),
    element('td', { className: 'wide' }, ...(line.rate === null ? ['–'] : [
      interval(line), element('span', { textContent: `${percent(line.low)} to ${percent(line.high)}; chance alone ${percent(line.chance)}` })]))));
  return element('div', { className: 'scroll' }, element('table', {},
    element('thead', {}, element('tr', {}, ...head.map((text) => element('th', { textContent: text, scope: 'col' })))),
    element('tbody', {}, ...rows)));
}

export function showVotes() {
  const body = element('div', {});
  const show = (cleared = []) => {
    const votes = load('votes', []);
    if (votes.length === 0) {
      body.replaceChildren(element('p', { textContent: 'No votes yet. Tick “blind vote” below the prompt, send, and choose before you know which is which.' }));
      if (cleared.length > 0) body.append(button('Undo: bring the votes back', () => { save('votes', cleared); show(); }));
      return;
    }
    body.replaceChildren(
      element('p', { textContent: `${count(votes.length, 'vote')}, kept in this browser. The win rate leaves ties out, and its 95 % interval is Wilson’s. The thin line is what chance alone would give: while the interval contains it, the votes do not tell the settings apart.` }),
      table(votes),
      element('p', { className: 'row' },
        button('Export CSV', () => download('votes.csv', 'text/csv', votesCSV(votes))),
        button('Export JSON', () => download('votes.json', 'application/json', JSON.stringify({ votes, tally: tally(votes) }, null, 2))),
        button('Clear', () => { save('votes', []); show(votes); })),
    );
  };
  show();
  openDialog('Votes', body);
}
