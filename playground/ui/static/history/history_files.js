// The history as files: entries in and out. Pure but for `readFiles`, which reads the files.

import { plainName } from '../lib/text.js';
import { date, finite, flag, list, object, oneOf, text, whole } from '../lib/validate.js';
import { olderSetting } from '../presets/resolved_setting.js';
import { addEntries, entryVersion, markOf, readEntry } from '../records/archive.js';
import { recordOf, titleOf } from '../records/record_shape.js';
import { isJSON, parseJSON, readMarkdown, recordMarkdown } from '../records/record_text.js';

const format = 'kto-mistral-playground history';
const version = 1;

const shape = object({
  format: oneOf(format), version: oneOf(version), exported: date,
  entries: list(object({ id: text, version: whole, created: finite, updated: finite, renamed: flag }, {}, { open: true })),
});

// All of these entries, as they are stored, in one text.
export const entriesJSON = (entries, at = new Date()) => JSON.stringify({ format, version, exported: at.toISOString(), entries }, null, 2);

// All that can be read, in one text.
export const entriesMarkdown = (entries) => entries.map(readEntry).filter(({ problem }) => !problem)
  .map(({ record }) => recordMarkdown(record)).join('\n---\n\n');

// A name for a file, of letters and digits of any script.
export const fileName = (title, suffix) => `${title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 60) || 'conversation'}.${suffix}`;

function readHistory(value) {
  if (value.version > version) throw new Error('It was written by a newer version of this page.');
  shape(value, '');
  return value.entries.map((entry, i) => {
    if (entry.version > entryVersion) return entry; // kept for the page that can read it
    try {
      return { ...entry, record: recordOf(entry.record, olderSetting) };
    } catch ({ message }) {
      throw new Error(`Entry ${i + 1}: ${message}`);
    }
  });
}

// The entries of one file's text. Throws in words.
export function readEntries(written, now = Date.now()) {
  const body = written.replace(/^\ufeff/, '');
  const made = (record, i) => ({
    version: entryVersion, created: now - i, updated: now - i, renamed: record.title !== titleOf(record.columns), record,
  });
  if (!isJSON(body)) return readMarkdown(body).map(made);
  const value = parseJSON(body);
  return value?.format === format ? readHistory(value) : [made(recordOf(value, olderSetting), 0)];
}

const bare = ({ columns }) => columns.map(({ setting, messages }) => ({
  setting, messages: messages.map(({ role, content, after }) => ({ role, content, after })), // JSON leaves out what is undefined
}));
const hasFigures = ({ columns }) => columns.some(({ messages }) => messages.some(({ receipt, done }) => receipt || done));

// The marks of an entry by which a copy of it is known: of all of it, and of what is said in it. A copy
// that has receipts is none of an entry that has not.
/** @param {ArchiveEntry} entry */
function marks({ id, version: written, record, problem }) {
  if (problem || written > entryVersion) return [`${id} ${written}`];
  const said = `said ${markOf(bare(record))}`;
  return hasFigures(record) ? [markOf(record.columns), said] : [said];
}

// Reads files and adds what is new in them, all at once: {added, known, broken: [{name, reason}]}.
// A file that cannot be read in whole adds nothing. Throws Refused.
export async function importFiles(files) {
  /** @type {ArchiveEntry[]} */
  const found = [];
  const broken = [];
  for (const file of files) {
    try {
      found.push(...readEntries(await file.text()));
    } catch (error) {
      broken.push({ name: plainName(file.name), reason: error.message });
    }
  }
  const added = await addEntries((entries) => {
    const there = new Set(entries.map(readEntry).flatMap(marks));
    return found.filter((entry) => {
      const [mark, ...others] = marks(entry);
      if (there.has(mark)) return false;
      for (const each of [mark, ...others]) there.add(each);
      return true;
    }).map((entry) => ({ ...entry, revision: entry.revision ?? 1 }));
  });
  return { added, known: found.length - added, broken };
}
