// Versions of a message: how the reader leafs through them, and what another try at an answer is.

import { button, element } from '../lib/dom.js';
import { count } from '../lib/text.js';
import { drawSeed } from '../lib/values.js';

const characters = (text) => [...text].length;

/**
 * An answer that is to be written.
 * @param {string} [beginning] What the reader has written of it.
 * @returns {Answer}
 */
export function newAnswer(beginning = '') {
  /** @type {Answer} */
  const answer = { role: 'assistant', content: beginning, blocks: [], state: 'streaming' };
  return beginning === '' ? answer : { ...answer, prefilled: characters(beginning) };
}

/**
 * What the reader wrote of an answer's beginning.
 * @type {(answer: Answer) => string}
 */
export const beginningOf = ({ content, prefilled = 0 }) => [...content].slice(0, prefilled).join('');

/**
 * Whether the model has written nothing of an answer, so that another try may take its place.
 * @type {(answer: Answer) => boolean}
 */
export const isBare = ({ content, state, prefilled = 0 }) => state !== 'done' && characters(content) <= prefilled;

/**
 * Whether an answer goes on behind what an earlier request wrote of it, so that its figures are of the rest.
 * @type {(answer: Answer) => boolean}
 */
export const isContinued = ({ receipt, prefilled = 0 }) => (receipt?.continued ?? 0) > prefilled;

/**
 * The same answer with another text, as its reader wants it.
 * @param {Answer} answer
 * @param {string} content
 * @returns {Answer}
 */
export function rewritten(answer, content) {
  const { letter, chosen, problem, prefilled, ...rest } = structuredClone(answer);
  /** @type {Answer} */
  const made = { ...rest, content, blocks: [], shown: 0, state: answer.state === 'done' ? 'done' : 'stopped', rewritten: true };
  return prefilled && content.startsWith(beginningOf(answer)) ? { ...made, prefilled } : made;
}

/**
 * The seed that an answer had, or null.
 * @type {(answer: Answer) => number | null}
 */
export const seedOf = ({ done, receipt }) => done?.seed ?? receipt?.sent?.seed ?? null;

/**
 * The seed of another try: the answer's own, or else one by which none of its versions was written:
 * the one that is set now, or a new one.
 * @param {Answer} answer
 * @param {Message[]} versions
 * @param {number | null} set
 * @param {boolean} same
 */
export function seedOfRetry(answer, versions, set, same) {
  if (same) return seedOf(answer) ?? set;
  const had = versions.map((each) => (each.role === 'assistant' && !isBare(each) ? seedOf(each) : null));
  return set === null || had.includes(set) ? drawSeed() : set;
}

/**
 * “‹ 2/3 ›” of a message, whose arrows leaf, as the arrow keys do on them.
 * @param {Message} message
 * @param {Message[]} versions
 * @param {(version: Message, arrow: 'previous' | 'next') => void} choose
 */
export function versionSwitch(message, versions, choose) {
  const place = versions.indexOf(message);
  const step = (by) => {
    const version = versions[place + by];
    if (version) choose(version, by < 0 ? 'previous' : 'next');
  };
  const arrow = (text, label, by) => {
    const made = button(text, () => step(by), 'quiet arrow');
    made.setAttribute('aria-label', label);
    made.setAttribute('aria-disabled', String(!versions[place + by])); // and not disabled: it keeps the focus
    return made;
  };
  const node = element('span', { className: 'versions', dataset: { testid: 'versions' } },
    arrow('‹', 'Previous version', -1),
    element('span', { textContent: `${place + 1}/${versions.length}` }),
    arrow('›', 'Next version', 1));
  node.setAttribute('role', 'group');
  node.setAttribute('aria-label', `Version ${place + 1} of ${versions.length}`);
  node.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  });
  return node;
}

/**
 * What followed another version, below those that are shown: it is no part of what is answered next.
 * @param {{ version: Message, messages: Message[], drawn: Message[] }} aside drawn: those that are, the first ones.
 * @param {Message[]} versions
 * @param {(message: Message) => HTMLElement} article
 * @param {() => void} back
 * @param {{ open: boolean, lasting: boolean }} state lasting: the reader can write on.
 */
export function asideOf({ version, messages, drawn }, versions, article, back, { open, lasting }) {
  const number = versions.indexOf(version) + 1;
  const left = messages.length - drawn.length;
  const words = `${count(messages.length, 'message')} that followed version ${number}`;
  const note = lasting ? `What you send now goes on from the version above; this stays with version ${number}.`
    : `This is no part of the version above.`;
  const node = element('details', { className: 'aside', open },
    element('summary', { textContent: words }),
    element('p', { className: 'note' }, `${note} `, button(`Back to version ${number}`, back, 'quiet waits')),
    element('div', { className: 'aside-messages' }, ...drawn.map((message) => {
      const made = article(message);
      delete made.dataset.testid;
      for (const part of made.querySelectorAll('.meta, .actions, .versions')) part.remove();
      return made;
    }), ...(left > 0 ? [element('p', { className: 'note', textContent: `${count(left, 'more message')}, which the version itself shows.` })] : [])));
  return node;
}
