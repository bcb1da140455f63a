// Records: one conversation or comparison as data, without any HTML. History keeps them, files and
// snapshots hold them, and Chat and Compare are filled from them.
//
// {format, version, kind: chat or comparison, title, columns: [{label, setting, messages, shown}]}, where a
// setting has all of its values (presets/resolved_setting.js), the messages are a tree as data
// (lib/tree.js), and each is {role, content, after} and, for an answer, {state, preset, receipt, done,
// problem, letter, chosen, notices, emulation, prefilled, rewritten}.

import { $ } from '../lib/dom.js';
import { panelState, usePanel, usePreset } from '../presets/panel.js';
import { presetById } from '../presets/presets.js';
import { columnSetting, editable, labelOf, panelSetting } from '../presets/resolved_setting.js';
import { asOfToday, checkRecord, format, settingShape, titleOf, version } from './record_shape.js';
import { viewOf } from './views.js';

/**
 * A stored setting, or null when it is none.
 * @param {any} value
 * @returns {Setting | null}
 */
export function readSetting(value) {
  try {
    const read = asOfToday(value);
    settingShape(read, '');
    return read;
  } catch {
    return null;
  }
}

// The name of a preset for others: a server's id, or what an own one is called.
function presetText(preset) {
  if (typeof preset !== 'string') return preset?.name ?? null;
  const known = presetById(preset);
  return known && known.kind !== 'server' ? known.name : preset;
}

/**
 * @param {Message} message
 * @returns {any}
 */
function recorded(message) {
  const place = message.after === undefined ? {} : { after: message.after };
  if (message.role === 'user') return { role: message.role, content: message.content, ...place };
  const { role, content, state, preset, receipt = null, done = null, problem = null, notices = [], emulation, prefilled = 0 } = message;
  /** @type {any} */
  const answer = { role, content, state: state === 'streaming' ? 'stopped' : state, preset: presetText(preset), receipt, done, problem, ...place };
  if (prefilled > 0) answer.prefilled = prefilled;
  if (message.rewritten) answer.rewritten = true;
  if (problem) answer.problem = { kind: problem.kind ?? 'unknown', message: problem.message, retryable: problem.retryable ?? false };
  if (notices.length > 0) answer.notices = notices;
  if (emulation) answer.emulation = emulation;
  return message.letter ? { ...answer, letter: message.letter, chosen: message.chosen === true } : answer;
}

/**
 * @param {Conversation['kind']} kind
 * @param {Conversation['columns']} columns
 * @returns {Conversation | null}
 */
function record(kind, columns) {
  if (columns.every(({ messages }) => messages.length === 0)) return null;
  const made = columns.map(({ label, setting, messages, ...shown }) => ({ label, setting, messages: messages.map(recorded), ...shown }));
  // A copy: what is shown goes on changing.
  return structuredClone({ format, version, kind, title: titleOf(made), columns: made });
}

// The conversation of the tab Chat with the settings of its last answer, or null without messages.
export function chatRecord({ pane: { branches }, setting }) {
  const asked = setting ?? panelSetting();
  return record('chat', [{ label: labelOf(asked), setting: asked, ...branches }]);
}

// Whether what a tab handed over is a conversation, and no storage's remains of one.
/** @type {(held: { messages: any, shown?: number }) => boolean} */
export function isWhole({ messages, shown }) {
  if (!Array.isArray(messages)) return false;
  try {
    const setting = panelSetting();
    const made = record('chat', [{ label: '', setting, messages, ...(shown === undefined ? {} : { shown }) }]);
    if (made) checkRecord(made);
    return true;
  } catch {
    return false;
  }
}

// The columns of the tab Compare, or null without messages.
export function comparisonRecord({ columns, options }) {
  return record('comparison', columns.map(({ label, setting, pane: { branches } }) => (
    { label, setting: columnSetting(setting, options.value), ...branches })));
}

/**
 * Messages as panes have them. Their texts are rendered anew.
 * @type {(messages: Message[]) => Message[]}
 */
export const shownMessages = (messages) => structuredClone(messages).map((message) => (
  message.role === 'user' ? message : { ...message, blocks: [], shown: 0 }));

function openChat(chat, { columns: [{ setting, messages, shown }] }, words, handle) {
  const before = panelState();
  const { preset, edits, limit, note, ...others } = editable(setting);
  chat.adopt({ messages: shownMessages(messages), shown }, [words, note].filter(Boolean).join(' '), { setting, handle, undone: () => usePanel(before), stay: note !== '' });
  usePreset(preset, edits, limit, others);
  return true;
}

// The columns of a record as Compare has them, and all that `editable` says of their settings.
export function shownColumns({ columns }) {
  return columns.map(({ setting, messages, shown }) => {
    const made = editable(setting);
    const { preset, edits, limit, seed, engine, emulate } = made;
    return { made, column: { setting: { preset, edits, limit, seed, engine, emulate }, messages: shownMessages(messages), shown } };
  });
}

function openComparison(comparison, record, words, handle) {
  const columns = shownColumns(record);
  const made = columns.map((each) => each.made);
  const notes = new Set(made.map(({ note }) => note).filter(Boolean));
  const shared = (name) => new Set(made.map((each) => each[name])).size === 1;
  if (!shared('stop') || !shared('system')) {
    notes.add('Its columns have stop sequences or system texts of their own; here those of the first hold for all.');
  }
  const [{ seed, stop, system }] = made;
  return comparison.adopt(
    columns.map(({ column }) => column),
    { sameSeed: shared('seed'), seed: shared('seed') ? seed : '', stop, system },
    [words, ...notes].join(' '),
    handle,
    notes.size > 0,
  );
}

// Puts a record into Chat or Compare, which says `words` with a way back. The sampler values become
// the record's own. handle: of the history's entry that is gone on with; else it gets one when it is
// changed. Gives whether it did; where not, the tab says why. Throws in words.
export async function openRecord(opened, words, handle = {}) {
  const record = checkRecord(opened);
  const chat = record.kind === 'chat';
  $(`#view-${chat ? 'chat' : 'compare'}-button`).click();
  const view = await viewOf(record.kind);
  return (chat ? openChat : openComparison)(view, record, words, handle);
}

/** @type {(kept: Conversation) => string} */
export const recordJSON = (kept) => JSON.stringify(kept, null, 2);
