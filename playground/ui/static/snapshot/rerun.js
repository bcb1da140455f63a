// A frozen answer asked for once more: the new one beside it, and in words what changed.

import { Pane } from '../answers/pane.js';
import { paneAgain } from '../answers/request_again.js';
import { answerInto, stopAnswers } from '../answers/streaming.js';
import { newAnswer } from '../answers/versions.js';
import { json } from '../lib/api.js';
import { element } from '../lib/dom.js';
import { drawSeed } from '../lib/values.js';
import { differences, engineGone } from './receipt_differences.js';

// The engines that there are now; none where that cannot be told, and the answers will say why.
/** @returns {Promise<ListedEngine[]>} */
async function enginesHere() {
  try {
    return (await json('api/engines')).engines;
  } catch {
    return [];
  }
}

// The second version of a column's last answer.
class Version {
  constructor(column, stop, told) {
    this.column = column;
    this.told = told;
    this.untouched = false; // whether the same was asked for
    /** @type {ListedEngine[]} */
    this.engines = []; // that there are here
    this.verdict = element('p', { className: 'verdict' });
    this.changes = element('ul', { className: 'changes' });
    this.log = element('div', { className: 'log', dataset: { testid: 'again' } });
    this.log.setAttribute('role', 'log');
    this.log.setAttribute('aria-label', 'The answer now');
    this.pane = new Pane(this.log, { presetName: (name) => name, stop });
    this.node = element('section', { className: 'again' },
      element('h3', { textContent: 'New answer' }), this.log, this.verdict, this.changes);
    // What the marks compare: the frozen answer and this one, under the same question.
    const { answer, log, messages } = column; // as it is shown now: another choice makes another of these
    this.frozen = { label: 'the frozen answer', answer, log, messages, say: () => {} };
    const version = this;
    this.now = {
      label: 'this one', log: this.log, say: (text, kind = '') => this.say(text, kind),
      /** @type {Answer | null} */
      get answer() { return version.pane.messages.length > 0 ? version.pane.lastAnswer : null; },
      get messages() { return [messages.at(-2), this.answer]; },
    };
  }

  say(text, kind) {
    if (this.verdict.textContent !== text) this.verdict.textContent = text;
    this.verdict.dataset.kind = kind;
    this.#repeated(kind);
    this.told();
  }

  // Whether the new answer has the frozen one's text; null while that is open.
  get same() {
    if (this.now.answer?.state !== 'done') return null;
    return { same: true, differs: false }[this.verdict.dataset.kind] ?? null;
  }

  begin() {
    this.changes.replaceChildren();
    this.say('', '');
    this.column.node.append(this.node);
    this.column.node.classList.add('twice');
    this.pane.show([]);
    this.pane.add(newAnswer());
  }

  // Brings it into sight, where it is below; what can be seen stays where it is.
  reveal() {
    const { top } = this.node.getBoundingClientRect();
    if (top < 0 || top > innerHeight / 2) this.node.scrollIntoView({ block: 'start' });
  }

  hide() {
    this.node.remove();
    this.column.node.classList.remove('twice');
  }

  // Once the answer has ended: how its receipt differs from the frozen one.
  tell() {
    const [then, now] = [this.column.answer.receipt, this.now.answer?.receipt];
    if (!now) return;
    const gone = then ? engineGone(then, this.engines) : '';
    const found = then ? [...(gone ? [gone] : []), ...differences(then, now)] : ['The frozen answer has no receipt to compare with.'];
    if (this.column.answer.rewritten) found.unshift('The frozen text was edited by hand; the new one is the model’s own.');
    this.untouched = found.length === 0;
    const lines = this.untouched ? ['Model, engine, values, seed and prompt are the same.'] : found;
    this.changes.replaceChildren(...lines.map((textContent) => element('li', { textContent })));
    this.#repeated(this.verdict.dataset.kind);
  }

  // The same request and another text is the engine's own doing, which is worth a word.
  #repeated(kind) {
    this.changes.querySelector('.unrepeated')?.remove();
    if (!this.untouched || kind !== 'differs' || this.changes.children.length === 0) return;
    const id = this.column.answer.receipt?.engine_id;
    const { seeds_repeat: repeats } = this.engines.find((each) => each.id === id) ?? this.engines[0] ?? {};
    this.changes.append(element('li', { className: 'unrepeated', textContent: repeats === 'alone'
      ? 'The engine repeats a seed only while it writes nothing else, for anybody: that can be all of the difference.'
      : 'So it is the engine that did not repeat its own answer.' }));
  }
}

export class Again {
  // changed(): a run has begun or ended. look(now): there is something to compare anew. told(): a
  // comparison has said what came out.
  constructor(columns, parameters, { changed, look, told }) {
    this.columns = columns;
    this.told = told;
    this.parameters = parameters;
    this.changed = changed;
    this.look = look;
    /** @type {AbortController | null} */
    this.running = null;
    /** @type {string | null} */
    this.stream = null; // its id, once it is begun
    this.shown = false;
    this.versions = this.#last();
  }

  #last() {
    return this.columns.filter(({ answer }) => answer !== null).map((column) => new Version(column, () => this.stop(), this.told));
  }

  // The columns show other answers than before.
  renew() {
    this.hide();
    this.versions = this.#last();
    this.changed();
  }

  // What came out, in a line; '' until all answers are there.
  get outcome() {
    if (!this.shown || this.running) return '';
    const all = this.versions.map(({ same }) => same);
    if (all.includes(null)) return '';
    if (all.length === 1) return all[0] ? 'Same text.' : 'Another text: what differs is marked.';
    const count = all.filter(Boolean).length;
    if (count === all.length) return 'Same text in all columns.';
    return `Same text in ${count} of ${all.length} columns${count === 0 ? ': what differs is marked' : ', what differs in the others is marked'}.`;
  }

  // What is to be compared: each new answer with its frozen one.
  get groups() {
    return this.versions.map(({ frozen, now }) => ({ columns: [frozen, now], reference: frozen, mode: 'words' }));
  }

  get possible() {
    return this.versions.length > 0;
  }

  // Asks for all last answers again: with the seeds that they had, or with one that is drawn now.
  async run({ otherSeed = false } = {}) {
    const seed = otherSeed ? drawSeed() : null;
    this.running = new AbortController();
    this.stream = null;
    this.shown = true;
    for (const version of this.versions) version.begin();
    this.changed();
    this.versions[0].reveal();
    const engines = await enginesHere();
    const panes = this.versions.map((version) => {
      version.engines = engines;
      const pane = paneAgain(version.column, this.parameters, engines.map(({ id }) => id));
      return seed === null ? pane : { ...pane, seed };
    });
    await answerInto(this.versions.map(({ pane }) => pane), { panes }, this.running.signal, {
      onOpen: (id) => { this.stream = id; },
      onEvent: (i, name) => {
        if (name === 'done' || name === 'error') this.versions[i].tell();
        this.look(name === 'rendered');
      },
    });
    this.running = null;
    this.look(true);
    this.changed();
  }

  // The answers have their figures then.
  stop() {
    if (this.running) void stopAnswers(this.stream, this.versions.map((_, i) => i), this.running);
  }

  hide() {
    this.running?.abort();
    this.shown = false;
    for (const version of this.versions) version.hide();
    this.look(true);
    this.changed();
  }
}
