// A conversation with all of its versions: messages as a tree, of which one branch is shown. Pure.
//
// As data it is a list in which every message stands behind the one that it follows: `after` is that
// one's place, null for none. Without it a message follows the one before it in the list, so that a
// list without any is a conversation of one branch. Messages that follow the same one are versions of
// each other. `shown` is the place of the last message that is shown; without it, the list's last.

import { placeOf } from './validate.js';

// The place that the message at place i follows; -1 for none.
const follows = ({ after }, i) => (after === undefined ? i - 1 : after ?? -1);

// Throws in words when such a list is no tree. All that stands behind what it follows has no circle.
export function checkTree({ messages, shown }, path) {
  messages.forEach((message, i) => {
    if (follows(message, i) >= i) throw new Error(`${placeOf(`${path}.messages[${i}]`)} must follow a message before it.`);
  });
  if (shown !== undefined && shown >= messages.length) throw new Error(`${placeOf(path)} must show a message that it has.`);
}

/**
 * The messages in front of the one at this place of such a list.
 * @param {any[]} messages
 * @param {number} place
 */
export function before(messages, place) {
  const found = [];
  for (let i = follows(messages[place], place); i >= 0; i = follows(messages[i], i)) found.push(messages[i]);
  return found.reverse();
}

/**
 * The messages of such a list that are shown.
 * @param {{ messages: any[], shown?: number }} branches
 */
export const shownOf = ({ messages, shown = messages.length - 1 }) => (
  messages[shown] ? [...before(messages, shown), messages[shown]] : []);

/**
 * The message that the one at this place of such a list follows, or null.
 * @param {any[]} messages
 * @param {number} place
 */
export const followed = (messages, place) => messages[follows(messages[place], place)] ?? null;

/**
 * Of each message of such a list its number among its versions, from 1, and how many there are.
 * @param {any[]} messages
 */
export function numbered(messages) {
  const counts = new Map();
  const numbers = messages.map((message, i) => {
    const at = follows(message, i);
    counts.set(at, (counts.get(at) ?? 0) + 1);
    return counts.get(at);
  });
  return messages.map((message, i) => ({ number: numbers[i], of: counts.get(follows(message, i)) }));
}

/**
 * Whether a list has all messages of another one, each behind the same one: those of the same text or
 * of a longer one, and of what was whole the one of the same seed. Versions must come in the same
 * order: a list that is denied may have them all the same.
 * @param {any[]} messages
 * @param {any[]} others
 */
export function contains(messages, others) {
  const next = new Map(); // by the place of what they follow, the places of messages that are left
  messages.forEach((message, i) => {
    const at = follows(message, i);
    if (next.has(at)) next.get(at).push(i);
    else next.set(at, [i]);
  });
  for (const places of next.values()) places.reverse();
  const mine = new Map([[-1, -1]]); // by a place there, the place here
  return others.every(({ role, content, done, ...rest }, i) => {
    const left = next.get(mine.get(follows(rest, i))) ?? [];
    for (let place = left.pop(); place !== undefined; place = left.pop()) {
      const each = messages[place];
      if (each.role !== role || !each.content.startsWith(content) || (done && done.finish_reason !== 'unfinished' && done.seed !== each.done?.seed)) continue;
      mine.set(i, place);
      return true;
    }
    return false;
  });
}

/** @typedef {{ message: any, before: Node | null, next: Node[], chosen: Node | null }} Node */

/** @returns {Node} */
const node = (message, parent) => ({ message, before: parent, next: [], chosen: null });

export class Tree {
  /**
   * @param {any[]} messages As such a list; they are taken over, without `after`.
   * @param {number} [shown]
   */
  constructor(messages = [], shown = messages.length - 1) {
    this.root = node(null, null);
    /** @type {Map<any, Node>} */
    this.nodes = new Map();
    /** @type {any[] | null} */
    this.known = null; // what `path` was
    const nodes = [];
    messages.forEach((message, i) => {
      const at = follows(message, i);
      delete message.after;
      nodes.push(this.#hang(message, at < 0 ? this.root : nodes[at]));
    });
    if (nodes[shown]) this.choose(nodes[shown].message);
  }

  #hang(message, parent) {
    const made = node(message, parent);
    this.nodes.set(message, made);
    parent.next.push(made);
    parent.chosen = made;
    this.known = null;
    return made;
  }

  /** @returns {Node} */
  #of(message) {
    const found = this.nodes.get(message);
    if (!found) throw new Error('This message is not in the conversation.');
    return found;
  }

  // The messages that are shown.
  get path() {
    if (this.known === null) {
      this.known = [];
      for (let each = this.root.chosen; each; each = each.chosen) this.known.push(each.message);
    }
    return this.known;
  }

  // All of it as data: {messages, shown}, each branch behind the one that it leaves.
  get branches() {
    const messages = [];
    /** @type {Map<Node | null, number>} */
    const places = new Map([[this.root, -1]]);
    const left = [...this.root.next].reverse();
    for (let each = left.pop(); each; each = left.pop()) {
      const place = messages.length;
      const at = places.get(each.before) ?? -1;
      places.set(each, place);
      messages.push(at === place - 1 ? each.message : { ...each.message, after: at < 0 ? null : at });
      for (let i = each.next.length - 1; i >= 0; i -= 1) left.push(each.next[i]);
    }
    const last = this.path.at(-1);
    const shown = last ? places.get(this.#of(last)) : -1;
    return shown === messages.length - 1 ? { messages } : { messages, shown };
  }

  // The versions of a message, itself among them.
  versions(message) {
    return this.#of(message).before?.next.map((each) => each.message) ?? [];
  }

  /**
   * Adds a message behind those that are shown, or as a version of `beside`, and shows it.
   * @param {any} message
   * @param {any} [beside]
   */
  add(message, beside = null) {
    const last = this.path.at(-1);
    const parent = beside ? this.#of(beside).before : last ? this.#of(last) : this.root;
    this.#hang(message, parent);
    if (beside) this.choose(message);
  }

  // Shows a message, with what was shown behind it last.
  choose(message) {
    for (let each = this.#of(message); each.before; each = each.before) each.before.chosen = each;
    this.known = null;
  }

  // What followed another version of the last message that is shown: {version, messages}, or null.
  get aside() {
    const last = this.path.at(-1);
    if (!last) return null;
    const other = this.#of(last).before?.next.findLast(({ message, next }) => message !== last && next.length > 0);
    if (!other) return null;
    const messages = [];
    for (let each = other.chosen; each; each = each.chosen) messages.push(each.message);
    return { version: other.message, messages };
  }

  // The data without what follows this message, which is the last one that is shown.
  until(message) {
    const whole = this.branches;
    const copy = new Tree(whole.messages.map((each) => ({ ...each })), whole.shown);
    const place = this.path.indexOf(message);
    const last = copy.#of(copy.path[place]);
    Object.assign(last, { next: [], chosen: null });
    copy.known = null;
    return copy.branches;
  }

  // Takes a message out: an answer alone where it has other versions, else a question with all of its
  // answers. What followed goes on behind the version next to it, or behind what stood in front. Gives
  // the messages that are gone, and what brings them back, whatever was said since.
  /** @returns {{ gone: any[], restore: () => void }} */
  remove(message) {
    const top = this.#of(message);
    const parent = /** @type {Node} */ (top.before);
    const answer = message.role === 'assistant';
    if (answer && parent.next.length === 1 && parent.message?.role === 'user') return this.remove(parent.message);
    const gone = new Set(answer ? [top] : [top, ...top.next.filter((each) => each.message.role === 'assistant')]);
    const freed = [...gone].flatMap(({ next }) => next.filter((each) => !gone.has(each)));
    const owners = freed.map((each) => each.before);
    let goesOn = top.chosen;
    while (goesOn && gone.has(goesOn)) goesOn = goesOn.chosen;
    const at = parent.next.indexOf(top);
    parent.next.splice(at, 1);
    const beside = parent.next[at] ?? parent.next[at - 1] ?? null;
    const heir = answer && beside ? beside : parent;
    heir.next = heir === parent ? [...heir.next.slice(0, at), ...freed, ...heir.next.slice(at)] : [...heir.next, ...freed];
    for (const each of freed) each.before = heir;
    if (heir !== parent) parent.chosen = heir;
    heir.chosen = goesOn ?? (heir === parent ? freed.at(-1) ?? beside : heir.chosen ?? freed.at(-1) ?? null);
    for (const each of gone) this.nodes.delete(each.message);
    this.known = null;
    const restore = () => {
      const back = new Set(freed.filter((each) => this.nodes.has(each.message)));
      for (const holder of new Set([...back].map((each) => each.before))) {
        if (!holder) continue;
        holder.next = holder.next.filter((each) => !back.has(each));
        if (holder.chosen && back.has(holder.chosen)) holder.chosen = holder.next.at(-1) ?? null;
      }
      freed.forEach((each, i) => { if (back.has(each)) each.before = owners[i]; });
      for (const each of gone) {
        this.nodes.set(each.message, each);
        each.next = each.next.filter((next) => gone.has(next) || back.has(next));
        if (each.chosen && !each.next.includes(each.chosen)) each.chosen = each.next.at(-1) ?? null;
      }
      parent.next.splice(at, 0, top);
      this.choose(message);
    };
    return { gone: [...gone].map((each) => each.message), restore };
  }
}
