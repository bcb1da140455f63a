// The entry of the archive that a conversation or comparison is kept in as it goes on. The archive
// is where conversations are stored; the browser's other storage has only which entry a tab shows,
// and the conversation itself where the archive refuses it, or while the page is being left.

import { refuseArchive } from '../lib/storage.js';
import { firstSentence } from '../lib/text.js';
import { entriesOf, handleOf, keep, markOf, readEntry } from './archive.js';

const pause = 1000; // milliseconds between two writes of an answer that grows
const share = 10; // how much longer than a write itself that pause is, of a conversation that takes long to write
/** @type {string | null} */
let refusal = null;
let onRefusal = () => {};

// Why the archive keeps nothing at present, in words, or null; told to the listener when it changes.
export const currentRefusal = () => refusal;
export function whenRefusal(listener) {
  onRefusal = listener;
}

function setRefusal(words) {
  if (refusal === words) return;
  refusal = words;
  refuseArchive(words ? firstSentence(words) : undefined);
  onRefusal();
}

/**
 * @param {any} value
 * @returns {value is Handle}
 */
function isHandle(value) {
  return typeof value?.mark === 'string'
    && (value.id === undefined || (typeof value.id === 'string' && Number.isInteger(value.revision)));
}

export class Entry {
  /**
   * @param {Handle | undefined} kept The handle that the tab had before.
   * @param {() => Conversation | null} record What is to be kept, or null when nothing is said.
   * @param {() => void} stored The archive has taken it, or refused it.
   */
  constructor(kept, record, stored) {
    /** @type {Handle} */
    this.handle = isHandle(kept) ? kept : {};
    this.record = record;
    this.stored = stored;
    this.kept = false; // whether the archive has what it was given last
    // Whether the archive was not asked yet, or could not be, for what the tab showed before.
    this.unread = this.handle.id !== undefined;
    this.left = false;
    this.took = 0; // ms of the last write
    this.taken = false; // whether what is shown was taken over just now, and nothing has changed since
    this.writing = Promise.resolve();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    addEventListener('pagehide', () => {
      this.flush();
      this.left = true;
    });
    addEventListener('pageshow', () => { this.left = false; });
    document.addEventListener('visibilitychange', () => document.hidden && this.flush());
  }

  // Whether the archive has all that is shown now.
  get current() {
    const record = this.record();
    return record === null || (this.kept && markOf(record.columns) === this.handle.mark);
  }

  // The record that the archive has, as for a new tab; null without one.
  async read() {
    const { id } = this.handle;
    if (id === undefined) return null;
    try {
      const [found] = await entriesOf([id]);
      const read = found && readEntry(found);
      if (!read || read.problem) {
        this.unread = false;
        return null;
      }
      this.handle = handleOf({ id, revision: read.revision }, read.record);
      return read.record;
    } catch ({ message }) {
      setRefusal(message);
      return null;
    }
  }

  // Something may have changed: writes soon.
  touch() {
    if (this.taken) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), Math.max(pause, share * this.took));
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.taken) {
      this.#took(this.handle.id !== undefined);
      return;
    }
    const begun = performance.now();
    const record = this.record();
    if (!record) {
      if (this.unread) return; // the next visit asks again
      this.handle = {}; // what is said next is another conversation
      this.#took(true, begun);
      return;
    }
    this.unread = false;
    const { handle } = this;
    this.writing = this.writing.then(() => keep(handle, record)).then(() => {
      setRefusal(null);
      this.#took(handle.id !== undefined, begun);
    }, ({ message }) => {
      setRefusal(message);
      this.#took(false, begun);
    });
  }

  #took(kept, begun = performance.now()) {
    this.took = performance.now() - begun;
    this.kept = kept;
    if (!this.left) this.stored();
  }

  // Goes on with another entry, or a new one, in which what is shown now stands already: until this task
  // is over, there is nothing to write, and a long record is not made once more to see that.
  take(handle) {
    const record = this.record();
    this.handle = record ? handleOf(handle ?? {}, record) : {};
    this.taken = record !== null;
    queueMicrotask(() => { this.taken = false; });
  }

  // Begins a new one with what is shown now.
  begin() {
    this.handle = {};
  }
}
