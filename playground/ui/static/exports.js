// Files: votes as a table, and what downloads them. Pure but for `download`.

import { element } from './dom.js';

export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = element('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
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
