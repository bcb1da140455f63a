// Records as texts: JSON, which keeps all, and Markdown for readers, which keeps what was said and
// with which settings, but not the receipts and figures. Pure.

import { followed, numbered } from '../lib/tree.js';
import { brief } from '../lib/text.js';
import { checkRecord, format, version } from './record_shape.js';

const deepest = 50; // levels of lists and objects: a history of today has 15

// A text as a Markdown quotation of itself, which nothing in it can close.
const quoted = (words) => words.split('\n').map((line) => (line === '' ? '>' : `> ${line}`)).join('\n');

// A text in a line of Markdown, as itself.
const escaped = (words) => words.replace(/\s+/g, ' ').replace(/[\\`*_[\]<>#|~]/g, '\\$&');

// What readers need not see, in a comment that nothing in it can close.
const comment = (name, value) => `<!-- ${name} ${JSON.stringify(value).replaceAll('<', '\\u003c').replaceAll('>', '\\u003e')} -->`;

const values = ({ sampler, max_new_tokens: limit, seed, stop, system, engine, emulate }) => [
  ...Object.entries(sampler).map((pair) => pair.join(' ')), limit !== null && `at most ${limit} tokens`,
  seed !== null && `seed ${seed}`, stop.length > 0 && `stop ${JSON.stringify(stop)}`, system !== '' && `system text ${JSON.stringify(system)}`,
  engine !== null && `engine ${engine}`, emulate === false && 'emulation off',
].filter(Boolean).join(' · ') || 'the engine’s own choice';

function facts({ receipt: sent, done: figures }) {
  const lines = [];
  if (sent) lines.push(`model ${sent.model_id}${sent.model_sha ? `@${sent.model_sha}` : ''}`, ...(sent.quantisation ? [`quantisation ${sent.quantisation}`] : []), `engine ${sent.engine}`, `${sent.prompt_tokens} prompt tokens`);
  if (figures) lines.push(`${figures.generated_tokens} tokens`, `first ${figures.ttft_ms?.toFixed(0) ?? '–'} ms`, `${figures.tokens_per_second?.toFixed(1) ?? '–'} tokens/s`, figures.finish_reason);
  const parts = lines.length > 0 ? [escaped(lines.join(' · ')), ''] : [];
  if (sent) parts.push('```json', JSON.stringify(sent.sent), '```', '');
  return parts;
}

// What a message is, in a line: which version, if there are several, and what the reader wrote of it.
function heading(message, { number, of }, asked) {
  const { role, letter = '', chosen, prefilled, rewritten } = message;
  const name = role === 'user' ? 'Prompt' : `Answer${letter && ` ${escaped(letter)}${chosen ? ', chosen' : ''}`}`;
  const said = [name, ...(of > 1 ? [`version ${number} of ${of}`] : []), ...(prefilled ? ['beginning given'] : []), ...(rewritten ? ['edited by hand'] : [])];
  return `**${said.join(', ')}**${message.after !== undefined && asked ? ` to “${escaped(brief(asked.content))}”` : ''}`;
}

export function recordMarkdown({ kind, title, columns }) {
  const lines = [comment(format, { version, kind, title }), '', `# ${escaped(title)}`, ''];
  for (const { label, setting, messages, ...others } of columns) {
    lines.push(comment('column', { label, setting, ...others }), '', `## ${escaped(label)}`, '', escaped(values(setting)), '');
    const numbers = numbered(messages);
    for (const [i, message] of messages.entries()) {
      const { role, content, receipt: _, done: __, ...rest } = message;
      const asked = message.after === undefined ? null : followed(messages, i);
      lines.push(comment(role, rest), '', heading(message, numbers[i], asked), '', quoted(content), '');
      for (const notice of rest.notices ?? []) lines.push(escaped(notice), '');
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
  /** @type {any[]} */
  const records = [];
  /** @type {any} */
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
      value = parseJSON(found[2]);
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
      ? { role, content: said.join('\n'), ...('after' in value ? { after: value.after } : {}) }
      : { ...value, role, content: said.join('\n'), receipt: null, done: null }));
  }
  return records.map(checkRecord);
}

export function parseJSON(written) {
  let value;
  try {
    value = JSON.parse(written);
  } catch (error) {
    throw new Error(`It is not whole JSON: ${error.message}`, { cause: error });
  }
  checkDepth(value);
  return value;
}

// Throws in words for what no storage can copy and no page has written.
function checkDepth(value) {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > deepest) throw new Error(`Something in it is nested more than ${deepest} levels deep, as nothing is that this page writes.`);
    level = level.flatMap((each) => (typeof each === 'object' && each !== null ? Object.values(each) : []));
  }
}

// Whether a text means to be JSON.
export const isJSON = (written) => /^\s*[[{]/.test(written);
