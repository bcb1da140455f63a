// The history in this browser's IndexedDB: one entry for each conversation and comparison.
//
// An entry is {id, version, revision, created, updated, renamed, record}, the dates in milliseconds.
// Who writes an entry holds a handle on it, {id, revision, turns, mark}: what it was when it was read
// or written last. So two tabs with one conversation never overwrite what the other one wrote.

import { tabChannel } from '../lib/tab_channel.js';
import { olderSetting } from '../presets/resolved_setting.js';
import { contains } from '../lib/tree.js';
import { recordOf } from './record_shape.js';

const name = 'kto-playground';
const layout = 1; // of the database
const store = 'entries';
const patience = 1000; // milliseconds
const lastDay = 8.64e15; // milliseconds that a date can be away from 1970
export const entryVersion = 1;

const words = {
  QuotaExceededError: 'The storage of this browser is full, so History does not keep what is new. Export and delete entries there, or make room in the browser’s settings. What is on the page stays and goes on.',
  VersionError: 'A newer version of this page has taken over the history in this browser. Reload the page to go on with it; what is on the page stays meanwhile.',
  blocked: 'Another tab with an older version of this page holds the history. Close or reload that tab. What is on the page stays and goes on.',
};
const forbidden = 'This browser does not let the page keep a history, as in a private window or where site data is blocked. Allow site data for this address, or export what you want to keep. What is on the page stays and goes on.';

export class Refused extends Error {
  constructor(error) {
    super(words[error?.name] ?? `${forbidden} (${error?.message ?? error})`, { cause: error });
    this.name = 'Refused';
  }
}

/** @type {Promise<IDBDatabase> | null} */
let opening = null;
/** @type {Promise<IDBDatabase> | null} */
let heldUp = null; // what an older page's connection keeps from opening; nothing else opens meanwhile

/** @returns {Promise<IDBDatabase>} */
async function openDatabase() {
  if (heldUp) {
    const late = new Promise((_, reject) => { setTimeout(reject, patience, { name: 'blocked' }); });
    return /** @type {Promise<any>} */ (Promise.race([heldUp, late]));
  }
  const request = indexedDB.open(name, layout); // where there is none, this throws
  request.onupgradeneeded = ({ oldVersion }) => {
    if (oldVersion < 1) request.result.createObjectStore(store, { keyPath: 'id' });
  };
  return new Promise((resolve, reject) => {
    const opened = new Promise((done, failed) => {
      request.onerror = () => failed(request.error);
      request.onsuccess = () => {
        const database = request.result;
        const forget = () => { opening = null; };
        // A newer page wants to change the layout, or somebody deletes the site's data.
        database.onversionchange = () => { database.close(); forget(); };
        database.onclose = forget;
        done(database);
      };
    });
    request.onblocked = () => {
      heldUp = opened;
      reject({ name: 'blocked' });
    };
    opened.then(resolve, reject).finally(() => { heldUp = null; });
  });
}

function transaction(database, mode, work) {
  return new Promise((resolve, reject) => {
    const made = database.transaction(store, mode);
    let result;
    made.oncomplete = () => resolve(result);
    made.onabort = () => reject(made.error);
    work(made.objectStore(store), (value) => { result = value; });
  });
}

// work(store, give) asks for what it needs and gives the result. Throws Refused.
async function transact(mode, work) {
  for (let again = true; ; again = false) {
    try {
      opening ??= openDatabase().catch((error) => {
        opening = null;
        throw error;
      });
      return await transaction(await opening, mode, work);
    } catch (error) {
      // The connection was closed between two transactions: once more with a new one.
      if (!again || error?.name !== 'InvalidStateError') throw new Refused(error);
      opening = null;
    }
  }
}

const listeners = [];
const tell = tabChannel(`${name}.history`, (ids) => listeners.forEach((each) => each(ids)));

// Tells when entries were changed, here or in another tab: listener(ids).
export function onEntries(listener) {
  listeners.push(listener);
}

function changed(ids) {
  listeners.forEach((each) => each(ids));
  tell(ids);
}

const newId = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join('-');

function sorted(_, value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

// A short text by which a value is known again, whatever the order of its fields.
export function markOf(value) {
  const text = JSON.stringify(value, sorted);
  let [a, b] = [text.length, 0];
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b + code, 0x9e3779b1) ^ (b >>> 15);
  }
  return [a, b].map((part) => (part >>> 0).toString(36)).join('-');
}

// How many messages there are, all versions among them.
const turnsOf = ({ columns }) => columns.reduce((sum, { messages }) => sum + messages.length, 0);

// Whether all that is said in one record is said in the other, too, behind the same messages.
/** @type {(record: Conversation, other: Conversation) => boolean} */
export const covers = (record, other) => other.columns.every((column, i) => contains(record.columns[i]?.messages ?? [], column.messages));

/**
 * An entry as it can be shown: with a record of today's form, or with a `problem` in words, and with
 * the date 1970 where it has none that a calendar knows.
 * @param {ArchiveEntry} entry
 * @returns {ArchiveEntry}
 */
export function readEntry(entry) {
  const dated = { ...entry, updated: Math.abs(entry.updated) <= lastDay ? entry.updated : 0 };
  if (!(entry.version <= entryVersion)) {
    return { ...dated, problem: 'A newer version of this page has written this. It is kept as it is and can be exported.' };
  }
  try {
    return { ...dated, record: recordOf(entry.record, olderSetting) };
  } catch (error) {
    return { ...dated, problem: `This cannot be read, and is kept as it is. ${error.message}` };
  }
}

/**
 * What a handle says of a record that is in its entry just so.
 * @type {(handle: Handle, record: Conversation) => Handle}
 */
export const handleOf = (handle, record) => ({ ...handle, mark: markOf(record.columns), turns: turnsOf(record) });

// Keeps a record in the entry of the handle, and brings the handle up to date. What another tab has
// written there meanwhile, and this record does not contain, stays: the record gets an entry of its
// own. An entry that was deleted comes back only when something more was said.
/**
 * @param {Handle} handle
 * @param {Conversation} record
 */
export async function keep(handle, record) {
  const { mark, turns } = handleOf(handle, record);
  if (mark === handle.mark) return;
  const told = await transact('readwrite', (entries, give) => {
    const put = (id, found) => {
      const now = Date.now();
      const { revision = 0, created = now, renamed = false } = found ?? {};
      const kept = renamed ? { ...record, title: found.record.title } : record;
      entries.put({ id, version: entryVersion, revision: revision + 1, created, updated: now, renamed, record: kept });
      give({ id, revision: revision + 1 });
    };
    if (!handle.id) {
      put(newId());
      return;
    }
    entries.get(handle.id).onsuccess = ({ target: { result: found } }) => {
      if (!found) {
        if ((turns ?? 0) > (handle.turns ?? 0)) put(newId());
        return;
      }
      const read = readEntry(found);
      if (read.problem) put(newId());
      else if (found.revision === handle.revision || covers(record, read.record)) put(handle.id, found);
      else if (!covers(read.record, record)) put(newId());
    };
  });
  Object.assign(handle, told, { mark, turns });
  if (told) changed([told.id]);
}

/**
 * All entries as they are stored, the newest first.
 * @returns {Promise<ArchiveEntry[]>}
 */
export async function allEntries() {
  const entries = await transact('readonly', (each, give) => {
    each.getAll().onsuccess = ({ target }) => give(target.result);
  });
  return entries.sort((a, b) => b.updated - a.updated);
}

/**
 * Of these ids the entries that are there.
 * @param {string[]} ids
 */
export async function entriesOf(ids) {
  /** @type {ArchiveEntry[]} */
  const found = [];
  await transact('readonly', (each) => ids.forEach((id) => {
    each.get(id).onsuccess = ({ target: { result } }) => result && found.push(result);
  }));
  return found;
}

export async function renameEntry(id, title) {
  await transact('readwrite', (each) => {
    each.get(id).onsuccess = ({ target: { result: entry } }) => {
      if (entry) each.put({ ...entry, renamed: true, record: { ...entry.record, title } });
    };
  });
  changed([id]);
}

export async function deleteEntries(ids) {
  await transact('readwrite', (each) => ids.forEach((id) => each.delete(id)));
  changed(ids);
}

// Adds entries, all or none: those that `choose` gives in view of what is there in that very
// transaction, where no other tab and no second import adds the same between a look and a step. An
// id that is taken stays with who has it. Gives how many were added.
/**
 * @param {(there: ArchiveEntry[]) => ArchiveEntry[]} choose
 * @returns {Promise<number>}
 */
export async function addEntries(choose) {
  const ids = await transact('readwrite', (each, give) => {
    each.getAll().onsuccess = ({ target: { result: there } }) => {
      const taken = new Set(there.map(({ id }) => id));
      give(choose(there).map((entry) => {
        const id = entry.id && !taken.has(entry.id) ? entry.id : newId();
        taken.add(id);
        each.put({ ...entry, id });
        return id;
      }));
    };
  });
  if (ids.length > 0) changed(ids);
  return ids.length;
}
