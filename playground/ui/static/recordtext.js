// Records as texts: JSON, which keeps all, and Markdown for readers, which keeps what was said and
// with which settings, but not the receipts and figures. Pure.

import { anything, finite, flag, list, object, oneOf, orNull, table, text, whole } from './shapes.js';

export const format = 'kto-mistral-playground';
export const version = 1;
const olderFormat = 'kto-mistral-playground comparison';

const receipt = object({
  engine: text, model_id: text, sent: table(anything), prompt_tokens: whole, dropped_turns: whole,
  applied: table(object({ how: text, reason: text })),
}, {
  model_sha: orNull(text), preset: orNull(text), edited: list(text), prompt: text, prompt_sha256: text,
  edits: table(object({ from: orNull(finite), to: orNull(finite) })), left_out: table(text),
  system: text, continued: whole, note: text,
}, { open: true });

const done = object({
  finish_reason: text, generated_tokens: whole, input_tokens: whole, ttft_ms: orNull(finite),
  duration_ms: finite, tokens_per_second: orNull(finite), seed: orNull(whole),
}, {}, { open: true });

const answer = object({
  role: oneOf('assistant'), content: text, state: oneOf('done', 'stopped', 'failed'), preset: orNull(text),
  receipt: orNull(receipt), done: orNull(done),
  problem: orNull(object({ kind: text, message: text, retryable: flag })),
}, { letter: text, chosen: flag });
const question = object({ role: oneOf('user', 'assistant'), content: text });

export const settingShape = object({
  preset: orNull(text), name: text, sampler: table(finite), max_new_tokens: orNull(whole),
  seed: orNull(whole), stop: list(text), system: text,
});

const shape = object({
  format: oneOf(format), version: oneOf(version), kind: oneOf('chat', 'comparison'), title: text,
  columns: list(object({
    label: text,
    setting: settingShape,
    messages: list((message, path) => (message?.role === 'assistant' ? answer : question)(message, path)),
  }), { least: 1, most: 4 }),
});

// Throws in words, with the place, when this is no record.
export function checkRecord(value) {
  if (value?.format === format && value.version > version) {
    throw new Error(`It was written by a newer version of this page (its format is ${value.version}, this page knows ${version}).`);
  }
  shape(value, '');
  if (value.kind === 'chat' && value.columns.length !== 1) throw new Error('A chat has exactly one column.');
  value.columns.forEach(({ messages }, i) => messages.forEach((message, j) => {
    if (message.state === 'failed' && !message.problem) throw new Error(`columns[${i}].messages[${j}].problem is missing.`);
  }));
  if (value.columns.every(({ messages }) => messages.length === 0)) throw new Error('Nothing is said in it.');
  return value;
}

// A text in one line, cut at a word.
export function brief(words, length = 60) {
  const line = words.replace(/\s+/g, ' ').trim();
  if (line.length <= length) return line;
  const cut = line.slice(0, length + 1).replace(/\s+\S*$/, '').slice(0, length);
  return `${cut.replace(/[\ud800-\udbff]$/, '')}…`;
}

// The first words of the user.
export function titleOf(columns) {
  const first = columns.flatMap(({ messages }) => messages).find(({ role }) => role === 'user');
  return brief(first?.content ?? '') || 'Untitled';
}

// A text as a Markdown quotation of itself, which nothing in it can close.
const quoted = (words) => words.split('\n').map((line) => (line === '' ? '>' : `> ${line}`)).join('\n');

// A text in a line of Markdown, as itself.
const escaped = (words) => words.replace(/\s+/g, ' ').replace(/[\\`*_[\]<>#|~]/g, '\\$&');

// What readers need not see, in a comment that nothing in it can close.
const comment = (name, value) => `<!-- ${name} ${JSON.stringify(value).replaceAll('<', '\\u003c').replaceAll('>', '\\u003e')} -->`;

const values = ({ sampler, max_new_tokens: limit, seed, stop, system }) => [
  ...Object.entries(sampler).map((pair) => pair.join(' ')), limit !== null && `at most ${limit} tokens`,
  seed !== null && `seed ${seed}`, stop.length > 0 && `stop ${JSON.stringify(stop)}`, system !== '' && `system text ${JSON.stringify(system)}`,
].filter(Boolean).join(' · ') || 'the engine’s own choice';

function facts({ receipt: sent, done: figures }) {
  const lines = [];
  if (sent) lines.push(`model ${sent.model_id}${sent.model_sha ? `@${sent.model_sha}` : ''}`, `engine ${sent.engine}`, `${sent.prompt_tokens} prompt tokens`);
  if (figures) lines.push(`${figures.generated_tokens} tokens`, `first ${figures.ttft_ms?.toFixed(0) ?? '–'} ms`, `${figures.tokens_per_second?.toFixed(1) ?? '–'} tokens/s`, figures.finish_reason);
  const parts = lines.length > 0 ? [escaped(lines.join(' · ')), ''] : [];
  if (sent) parts.push('```json', JSON.stringify(sent.sent), '```', '');
  return parts;
}

export function recordMarkdown({ kind, title, columns }) {
  const lines = [comment(format, { version, kind, title }), '', `# ${escaped(title)}`, ''];
  for (const { label, setting, messages } of columns) {
    lines.push(comment('column', { label, setting }), '', `## ${escaped(label)}`, '', escaped(values(setting)), '');
    for (const message of messages) {
      const { role, content, receipt: _, done: __, ...rest } = message;
      lines.push(comment(role, rest), '', role === 'user' ? '**Prompt**' : `**Answer${rest.letter ? ` ${escaped(rest.letter)}${rest.chosen ? ', chosen' : ''}` : ''}**`, '', quoted(content), '');
      if (rest.state === 'failed') lines.push(`Failed: ${escaped(rest.problem.message)}`, '');
      if (rest.state === 'stopped') lines.push('Stopped.', '');
      if (role === 'assistant') lines.push(...facts(message));
    }
  }
  return lines.join('\n');
}

// All records of a text in Markdown, checked. Throws in words.
export function readMarkdown(written) {
  const windows = /^[^\n]*\r\n/.test(written);
  const lines = (windows ? written.replaceAll('\r\n', '\n') : written).split('\n');
  const records = [];
  let message = null;
  lines.forEach((line, i) => {
    if (line === '>' || line.startsWith('> ')) {
      if (message?.closed === false) message.lines.push(line.slice(2));
      return;
    }
    if (message?.lines.length > 0) message.closed = true;
    const found = /^<!-- ([\w-]+) (\{.*\}) -->\s*$/.exec(line);
    if (!found) return;
    let value;
    try {
      value = JSON.parse(found[2]);
    } catch {
      throw new Error(`Line ${i + 1} was changed and cannot be read.`);
    }
    const [, name] = found;
    const columns = records.at(-1)?.columns;
    if (name === format) records.push({ format, ...value, columns: [] });
    else if (name === 'column') columns?.push({ ...value, messages: [] });
    else if (['user', 'assistant'].includes(name) && columns?.length > 0) {
      message = { name, value, lines: [], closed: false };
      columns.at(-1).messages.push(message);
    }
  });
  if (records.length === 0) throw new Error('It is neither JSON nor Markdown that this page has written.');
  for (const column of records.flatMap(({ columns }) => columns)) {
    column.messages = column.messages.map(({ name: role, value, lines: said }) => (role === 'user'
      ? { role, content: said.join('\n') }
      : { role, content: said.join('\n'), ...value, receipt: null, done: null }));
  }
  return records.map(checkRecord);
}

// A comparison as earlier versions of the page wrote it. resolve(setting, label, receipt): all values
// of a setting of that time, which has a receipt or not.
function fromOlder({ version: number, columns }, resolve) {
  if (number !== 1 || !Array.isArray(columns)) throw new Error('It is no comparison that this page can read.');
  const made = columns.map(({ name, setting, messages }, i) => {
    if (!Array.isArray(messages) || typeof setting?.preset !== 'string') throw new Error(`columns[${i}] cannot be read.`);
    const label = String(name ?? `Column ${i + 1}`);
    const told = resolve(setting, label, messages.findLast((message) => message?.receipt)?.receipt);
    return {
      label,
      setting: told,
      messages: messages.map((message) => (message?.role === 'user' ? message : {
        role: 'assistant', content: message?.content, state: message?.state === 'streaming' ? 'stopped' : message?.state,
        preset: told.preset, receipt: message?.receipt ?? null, done: message?.done ?? null, problem: message?.problem ?? null,
      })),
    };
  });
  return { format, version, kind: 'comparison', title: titleOf(made), columns: made };
}

// One record, checked, of a value that was read as JSON. Throws in words.
export function recordOf(value, resolve) {
  return checkRecord(value?.format === olderFormat ? fromOlder(value, resolve) : value);
}

export function parseJSON(written) {
  try {
    return JSON.parse(written);
  } catch (error) {
    throw new Error(`It is not whole JSON: ${error.message}`, { cause: error });
  }
}

// Whether a text means to be JSON.
export const isJSON = (written) => /^\s*[[{]/.test(written);

// One record of a text. Throws in words.
export function readText(written, resolve) {
  const body = written.replace(/^\ufeff/, '');
  if (isJSON(body)) return recordOf(parseJSON(body), resolve);
  const [record, ...others] = readMarkdown(body);
  if (others.length > 0) throw new Error('It holds several conversations: import it in History.');
  return record;
}
