// The entry of the history that a conversation or comparison is kept in as it goes on.

import { refuse } from '../lib/storage.js';
import { handleOf, keep } from './archive.js';

const pause = 1500; // milliseconds between two writes of an answer that grows
let refusal = null;
let onRefusal = () => {};

// Why the history keeps nothing at present, in words, or null; told to the listener when it changes.
export const currentRefusal = () => refusal;
export function whenRefusal(listener) {
  onRefusal = listener;
}

export function setRefusal(words) {
  if (refusal === words) return;
  refusal = words;
  if (words) refuse(words);
  onRefusal();
}

const isHandle = (value) => typeof value?.mark === 'string'
  && (value.id === undefined || (typeof value.id === 'string' && Number.isInteger(value.revision)));

export class Entry {
  // kept: the handle that the running tab had before a reload. record(): what is to be kept, or null
  // when nothing is said. written(): the handle has changed.
  constructor(kept, record, written) {
    this.handle = isHandle(kept) ? kept : {};
    this.record = record;
    this.written = written;
    this.writing = Promise.resolve();
    this.timer = null;
    addEventListener('pagehide', () => this.flush());
    document.addEventListener('visibilitychange', () => document.hidden && this.flush());
  }

  // Something may have changed: writes soon.
  touch() {
    this.timer ??= setTimeout(() => this.flush(), pause);
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = null;
    const record = this.record();
    if (!record) {
      this.handle = {}; // what is said next is another conversation
      return;
    }
    const { handle } = this;
    this.writing = this.writing.then(() => keep(handle, record)).then(() => {
      setRefusal(null);
      this.written();
    }, ({ message }) => setRefusal(message));
  }

  // Goes on with another entry, or a new one, in which what is shown now stands already.
  take(handle) {
    const record = this.record();
    this.handle = record ? handleOf(handle ?? {}, record) : {};
  }

  // Begins a new one with what is shown now.
  begin() {
    this.handle = {};
  }
}
