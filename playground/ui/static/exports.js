// Comparisons and votes as files. Pure but for `download`.

import { element } from './dom.js';

export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = element('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// columns: [{label, setting, messages}].
export function comparisonJSON(columns, at = new Date()) {
  return JSON.stringify({
    format: 'kto-mistral-playground comparison',
    version: 1,
    exported: at.toISOString(),
    columns: columns.map(({ label, setting, messages }) => ({
      name: label,
      setting,
      messages: messages.map(({ role, content, state, receipt, done, problem }) => (
        role === 'user' ? { role, content } : { role, content, state, receipt, done, problem })),
    })),
  }, null, 2);
}

// A text as a Markdown quotation of itself, which nothing in it can close.
const quoted = (text) => text.split('\n').map((line) => `> ${line}`.trimEnd()).join('\n');

function receiptLines({ receipt, done, state, problem }) {
  const lines = [];
  if (state === 'failed') lines.push(`Failed: ${problem.message}`, '');
  if (state === 'stopped') lines.push('Stopped.', '');
  const facts = [];
  if (receipt) facts.push(`model ${receipt.model_id}${receipt.model_sha ? `@${receipt.model_sha}` : ''}`, `engine ${receipt.engine}`, `${receipt.prompt_tokens} prompt tokens`);
  if (done) facts.push(`${done.generated_tokens} tokens`, `first ${done.ttft_ms?.toFixed(0) ?? '–'} ms`, `${done.tokens_per_second?.toFixed(1) ?? '–'} tokens/s`, done.finish_reason);
  if (facts.length > 0) lines.push(facts.join(' · '), '');
  if (receipt) lines.push('```json', JSON.stringify(receipt.sent), '```', '');
  return lines;
}

export function comparisonMarkdown(columns, at = new Date()) {
  const lines = ['# Comparison', '', `Exported ${at.toISOString()}.`, ''];
  for (const { label, messages } of columns) {
    lines.push(`## ${label}`, '');
    for (const message of messages) {
      lines.push(message.role === 'user' ? '**Prompt**' : '**Answer**', '', quoted(message.content), '');
      if (message.role === 'assistant') lines.push(...receiptLines(message));
    }
  }
  return lines.join('\n');
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
