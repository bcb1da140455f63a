// What a record is made of: checked wherever one comes from elsewhere, as from a file. Pure.

import { brief, plainName } from '../lib/text.js';
import { checkTree, shownOf } from '../lib/tree.js';
import {
  anything, finite, flag, list, object, oneOf, orNull, table, text, whole,
} from '../lib/validate.js';

export const format = 'kto-mistral-playground';
export const version = 4; // 1 knew no engines, 2 no emulation, and 3 no versions of messages
const olderFormat = 'kto-mistral-playground comparison';

const receipt = object({
  engine: text, model_id: text, sent: table(anything), prompt_tokens: whole, dropped_turns: whole,
  applied: table(object({ how: text, reason: text })),
}, {
  engine_id: text, model_sha: orNull(text), quantisation: text, preset: orNull(text), edited: list(text), prompt: text, prompt_sha256: text,
  edits: table(object({ from: orNull(finite), to: orNull(finite) })), left_out: table(text),
  system: text, continued: whole, note: text, emulate: flag, emulated: table(finite), asked: orNull(table(finite)), max_new_tokens: orNull(whole),
  prompt_format: orNull(object({ id: text, label: text, bos: text, stop: list(text) }, { default_system: text }, { open: true })),
}, { open: true });

const emulation = object({
  parameters: list(text), restarts: whole, proposed: whole, accepted: whole, bound: finite, reread: whole,
  added_ms: finite, given_up_at: orNull(whole),
}, {}, { open: true });

const done = object({
  finish_reason: text, generated_tokens: whole, input_tokens: whole, ttft_ms: orNull(finite),
  duration_ms: finite, tokens_per_second: orNull(finite), seed: orNull(whole),
}, { emulation: orNull(emulation) }, { open: true });

const answerFields = {
  role: oneOf('assistant'), content: text, state: oneOf('done', 'stopped', 'failed'), preset: orNull(text),
  receipt: orNull(receipt), done: orNull(done),
  problem: orNull(object({ kind: text, message: text, retryable: flag })),
};
const answerOptions = { letter: text, chosen: flag, notices: list(text), emulation: orNull(emulation) };
const after = orNull(whole);
const linear = { answer: object(answerFields, answerOptions), question: object({ role: oneOf('user', 'assistant'), content: text }) };
const branched = {
  answer: object(answerFields, { ...answerOptions, after, prefilled: whole, rewritten: flag }),
  question: object({ role: oneOf('user', 'assistant'), content: text }, { after }),
};

const firstSetting = {
  preset: orNull(text), name: text, sampler: table(finite), max_new_tokens: orNull(whole),
  seed: orNull(whole), stop: list(text), system: text,
};
const secondSetting = { ...firstSetting, engine: orNull(text) };
export const settingShape = object({ ...secondSetting, emulate: flag });

const shapeOf = (number, setting, { answer, question } = linear, options = {}) => object({
  format: oneOf(format), version: oneOf(number), kind: oneOf('chat', 'comparison'), title: text,
  columns: list(object({
    label: text,
    setting,
    messages: list((message, path) => (message?.role === 'assistant' ? answer : question)(message, path)),
  }, options), { least: 1, most: 4 }),
});
const older = new Map([
  [1, shapeOf(1, object(firstSetting))], [2, shapeOf(2, object(secondSetting))], [3, shapeOf(3, settingShape)],
]);
const shape = shapeOf(version, settingShape, branched, { shown: whole });

// A setting of an earlier version as one of today, with its name as names are taken.
export const asOfToday = (setting) => ({ engine: null, emulate: true, ...setting, name: plainName(setting.name) });

const allOfToday = (record) => ({
  ...record, version, title: plainName(record.title),
  columns: record.columns.map((column) => ({ ...column, label: plainName(column.label), setting: asOfToday(column.setting) })),
});

// The record in today's version, with names as they are taken. Throws in words, with the place, when this is none.
export function checkRecord(value) {
  if (value?.format === format && value.version > version) {
    throw new Error(`It was written by a newer version of this page (its format is ${value.version}, this page knows ${version}).`);
  }
  (older.get(value?.version) ?? shape)(value, '');
  if (value.kind === 'chat' && value.columns.length !== 1) throw new Error('A chat has exactly one column.');
  value.columns.forEach((column, i) => {
    checkTree(column, `columns[${i}]`);
    column.messages.forEach((message, j) => {
      if (message.state === 'failed' && !message.problem) throw new Error(`Message ${j + 1} of column ${i + 1} failed, and does not say why.`);
    });
  });
  if (value.columns.every(({ messages }) => messages.length === 0)) throw new Error('Nothing is said in it.');
  return allOfToday(value);
}

// The first words of the user among the messages that are shown.
export function titleOf(columns) {
  const first = columns.flatMap(shownOf).find(({ role }) => role === 'user');
  return brief(plainName(first?.content ?? '')) || 'Untitled';
}

// A comparison as earlier versions of the page wrote it. resolve(setting, label, receipt): all values
// of a setting of that time, which has a receipt or not.
function fromOlder({ version: number, columns }, resolve) {
  if (number !== 1 || !Array.isArray(columns)) throw new Error('It is no comparison that this page can read.');
  const made = columns.map(({ name, setting, messages }, i) => {
    if (!Array.isArray(messages) || typeof setting?.preset !== 'string') throw new Error(`Column ${i + 1} cannot be read.`);
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
