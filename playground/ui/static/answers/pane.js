// One column of conversation: the messages that are shown of a tree, and the answer that streams into
// the last one.
//
// A message is a plain value that can be stored.

import { address } from '../lib/api.js';
import { $, button, copyIcon, element, fit, iconButton, isSend, markdown, wordedButton } from '../lib/dom.js';
import { icon } from '../lib/icons.js';
import { menu } from '../lib/menu.js';
import { inTheWay } from '../lib/notice.js';
import { patch } from '../lib/patch.js';
import { content, count, isBlank, ordinal, within } from '../lib/text.js';
import { Tree } from '../lib/tree.js';
import { setMaths } from './maths.js';
import { loadPreview, preview } from './preview.js';
import { receiptView, takeReceipt } from './receipt.js';
import { asideOf, isBare, isContinued, seedOf, versionSwitch } from './versions.js';

const reasons = {
  eos_token: '',
  stop_sequence: 'ended at a stop sequence',
  length: 'reached max new tokens',
  budget: 'cut: the budget of this demo',
  unfinished: '', // which the state says
};

// The figures of an answer that was stopped or broke off, as one has them that ended by itself.
/** @type {(answer: Answer, figures: Figures) => Done} */
export const brokenOff = ({ receipt, emulation = null }, figures) => ({
  ...figures, finish_reason: 'unfinished', input_tokens: receipt?.prompt_tokens ?? 0, seed: receipt?.sent?.seed ?? null, emulation,
});

const remark = (textContent) => element('p', { className: 'remark', textContent });

// What is said of an answer that failed. That nobody is logged in is told on the whole page, too.
/**
 * @param {string} content
 * @param {Problem} problem
 */
function problemWords(content, problem) {
  if (problem.kind === 'login') return `Not ${content === '' ? 'sent' : 'continued'}: you are logged out.`;
  return content === '' ? problem.message : `Incomplete. ${problem.message.replace(/^The text is not complete[.:] (.)/, (_, first) => first.toUpperCase())}`;
}

// Marks what an answer that is being written is in the way of: a button, or what has some.
/** @type {<Made extends HTMLElement>(node: Made) => Made} */
const waiting = (node) => {
  node.classList.add('waits');
  return node;
};

const longest = 50_000; // characters of an answer that a snapshot takes
// A conversation of more messages is drawn from its end, and so many more of them for each ask.
const atOnce = 200;

export class Pane {
  // actions: {presetName(id)} and, for what is to be offered: retry(index, same), with the same seed
  // or another one, resume(index), edit(index, text), rewrite(index, text), remove(index),
  // stop(index), toChat(index), pin(seed); repeats(), whether a seed can be asked for again; busy(), whether no
  // other version can be shown now, and chosen(index), one is; reading(), what is in sight is to stay there. With
  // `plain`, the figures stand elsewhere. With `alone`, receipts ask nothing of the server.
  constructor(log, actions, { plain = false, alone = false } = {}) {
    this.log = log;
    this.actions = actions;
    this.plain = plain;
    this.alone = alone;
    this.tree = new Tree();
    /** @type {HTMLDetailsElement | null} */
    this.aside = null; // what followed another version
    this.first = 0; // the place of the first message that is drawn
    this.earlier = button('Show earlier messages', () => this.#drawEarlier(), 'quiet earlier');
    this.whenEarlier = () => {}; // called when earlier ones are drawn
    this.told = element('span', { className: 'visually-hidden' }); // which version is shown
    this.told.setAttribute('role', 'status');
    /** @type {HTMLElement | null} */
    this.place = null; // says where the request stands in line, while it does
    this.replay = false; // whether an answer that is continued has not been sent anew yet
    /** @type {Message | null} */
    this.failing = null;
    /** @type {WeakMap<Message, string>} */
    this.drafts = new WeakMap(); // of each message that is being edited the text so far
    /** @type {WeakMap<Message, string>} */
    this.unsent = new WeakMap(); // of each whose editor was left by Escape, the text for the next one
    this.drawing = 0; // the frame that the block under way is drawn in next, 0 for none
    this.rested = 0; // when it may be drawn again: a long block leaves the page time for the rest
    this.held = false; // whether what makes or shows other versions waits for an answer
    this.#refuseHeld(log);
  }

  /**
   * The messages that are shown.
   * @returns {Message[]}
   */
  get messages() {
    return this.tree.path;
  }

  // Those of them that are drawn.
  get drawn() {
    return this.messages.slice(this.first);
  }

  // Those that followed another version and are drawn below what is shown.
  get beside() {
    return this.tree.aside?.messages.slice(0, atOnce) ?? [];
  }

  /**
   * All of them, other versions included, as data.
   * @returns {Branches}
   */
  get branches() {
    return this.tree.branches;
  }

  // The answer that the last message is.
  get lastAnswer() {
    const last = this.messages.at(-1);
    if (last?.role !== 'assistant') throw new Error('The last message is no answer.');
    return last;
  }

  // Says at what must wait for the answer under way that it does, or that it need not any longer.
  hold(held) {
    if (held === this.held) return;
    this.held = held;
    this.#mark(this.log);
    if (this.aside) this.#mark(this.aside);
  }

  // A click on what waits does nothing, and says why.
  #refuseHeld(root) {
    root.addEventListener('click', (event) => {
      if (!this.held || !event.target.closest('button')?.closest('.waits')) return;
      event.stopPropagation();
      this.actions.busy?.();
    }, { capture: true });
  }

  #mark(root) {
    for (const each of root.querySelectorAll(':is(button.waits, .waits button)')) {
      if (this.held === each.hasAttribute('aria-description')) continue;
      if (this.held) {
        Object.assign(each.dataset, { title: each.title, disabled: each.getAttribute('aria-disabled') ?? 'false' });
        each.setAttribute('aria-description', inTheWay);
      } else each.removeAttribute('aria-description');
      each.title = this.held ? inTheWay : each.dataset.title;
      each.setAttribute('aria-disabled', this.held ? 'true' : each.dataset.disabled);
    }
  }

  /**
   * @param {Message[]} messages
   * @param {number} [shown]
   */
  show(messages, shown) {
    this.tree = new Tree(messages, shown);
    this.draw(0);
  }

  /**
   * @template {Message} Added
   * @param {Added} message
   * @param {Message | null} [beside] What it is a version of; else it goes behind the last one.
   */
  add(message, beside = null) {
    const place = beside ? this.messages.indexOf(beside) : this.messages.length;
    this.tree.add(message, beside);
    this.draw(place);
    return message;
  }

  // Whether another try at an answer would take its place: it is the last one and has no word.
  isBare(index) {
    const answer = this.messages[index];
    return answer.role === 'assistant' && isBare(answer) && index === this.messages.length - 1;
  }

  /**
   * Another try at an answer.
   * @param {Message} answer
   * @param {Answer} version
   * @param {boolean} [bare] Whether it takes the answer's place.
   */
  again(answer, version, bare = this.isBare(this.messages.indexOf(answer))) {
    const place = this.messages.indexOf(answer);
    this.tree.add(version, answer);
    if (bare) this.tree.remove(answer);
    this.tree.choose(version);
    this.draw(place);
  }

  // Takes out a message: see Tree.remove. Gives what is gone and what brings it back.
  remove(index) {
    const { gone, restore } = this.tree.remove(this.messages[index]);
    this.draw(Math.max(0, index - 1));
    return { gone, restore: () => { restore(); this.draw(0); } };
  }

  // Shows another version of one of the messages that are shown.
  choose(version) {
    const place = this.messages.findIndex((each) => this.tree.versions(version).includes(each));
    this.tree.choose(version);
    this.draw(place);
    return place;
  }

  // The same for who asked for it by an arrow, which keeps the focus.
  #leaf(version, arrow) {
    if (this.actions.busy?.()) return;
    this.actions.reading?.();
    const place = this.choose(version);
    const versions = this.tree.versions(version);
    this.told.textContent = `Version ${versions.indexOf(version) + 1} of ${versions.length}`;
    const [previous, next] = /** @type {HTMLElement[]} */ ([...this.#node(place)?.querySelectorAll('.versions .arrow') ?? []]);
    (arrow === 'next' ? next : previous)?.focus();
    this.actions.chosen?.(place);
  }

  // Brings the last message that is shown into sight.
  reveal() {
    this.log.lastElementChild?.scrollIntoView({ block: 'nearest' });
  }

  // Draws what is shown from a place on, and what is not but followed another version.
  draw(place = 0) {
    const { length } = this.messages;
    const whole = place <= this.first || length - place > 2 * atOnce;
    // In whole steps, so that columns of a comparison begin with the same turn.
    if (whole) this.first = Math.max(0, (Math.ceil(length / atOnce) - 2) * atOnce);
    const from = whole ? this.first : place;
    const kept = from - this.first;
    for (const article of this.#articles.slice(kept)) article.remove();
    this.log.append(...this.messages.slice(from).map((message) => this.#article(message)));
    this.#offerEarlier();
    this.#drawAside();
  }

  #drawEarlier() {
    const { first } = this;
    this.actions.reading?.();
    this.first = Math.max(0, first - atOnce);
    this.earlier.after(...this.messages.slice(this.first, first).map((message) => this.#article(message)));
    this.#offerEarlier();
    if (this.first === 0) {
      const article = this.#articles[0];
      article.tabIndex = -1; // the button is gone, and its focus goes on here
      article.focus({ preventScroll: true });
    }
    this.whenEarlier();
  }

  #offerEarlier() {
    if (this.first === 0) this.earlier.remove();
    else if (!this.earlier.isConnected) this.log.prepend(this.earlier);
  }

  /** @returns {HTMLElement[]} */
  get #articles() {
    return /** @type {any} */ ([...this.log.children].filter((each) => each !== this.earlier));
  }

  // The element of the message at this place, if it is drawn.
  #node(place) {
    return place < this.first ? undefined : this.#articles[place - this.first];
  }

  #drawAside() {
    const { aside } = this.tree;
    const open = this.aside?.open ?? true;
    this.aside?.remove();
    this.aside = null;
    if (!this.told.isConnected) this.log.after(this.told);
    if (!aside) return;
    const back = () => {
      if (this.actions.busy?.()) return;
      this.actions.reading?.();
      this.actions.chosen?.(this.choose(aside.version));
    };
    this.aside = asideOf({ ...aside, drawn: this.beside }, this.tree.versions(aside.version), (message) => this.#article(message, false), back,
      { open, lasting: this.actions.retry !== undefined });
    this.#refuseHeld(this.aside);
    if (this.held) this.#mark(this.aside);
    this.log.after(this.aside);
  }

  /**
   * Makes the last message ready to receive events. An answer that is continued keeps its text
   * until the server begins to send it anew with what follows.
   * @param {Answer} message
   */
  begin(message) {
    void loadPreview().then(() => { if (message.content !== '') this.#draw(message); }); // what is there already
    message.state = 'streaming';
    message.problem = null;
    message.done = null;
    message.receipt = null;
    message.notices = [];
    message.emulation = null;
    this.place = null;
    this.replay = message.content !== '';
    this.#redraw(message);
  }

  /** @param {StreamEvent} event */
  receive({ name, data }) {
    const message = this.lastAnswer;
    if (name === 'waiting') {
      this.#wait(data.place);
      return;
    }
    this.place?.remove();
    this.place = null;
    if (name === 'delta') {
      if (this.replay) {
        this.replay = false;
        Object.assign(message, { content: '', blocks: [], shown: 0 });
        this.#redraw(message);
      }
      if (message.content === '') this.#running().classList.remove('waiting');
      message.content += data.text;
      this.#draw(message);
    } else if (name === 'block') {
      message.blocks[data.index] = data.html;
      message.shown = message.content.length;
      const running = this.#running();
      patch(running, block(data.html));
      running.className = 'block-html';
      running.after(underWay(''));
    } else if (name === 'notice') {
      (message.notices ??= []).push(data.text);
      const notice = remark(data.text);
      notice.setAttribute('role', 'status');
      this.log.lastElementChild.querySelector(':scope > :is(.body, .remark):not(:has(~ .remark))').after(notice);
    } else if (name === 'receipt') {
      const { pane, sealed, ...receipt } = data;
      if (sealed) message.seals = [sealed];
      else message.receipt = takeReceipt(receipt);
    } else if (name === 'done') {
      const { pane, sealed, ...done } = data;
      if (sealed) (message.seals ??= []).push(sealed);
      this.end(message, 'done', { done: sealed ? null : done });
    } else if (name === 'error') {
      const { pane, sealed, emulation = null, figures, ...problem } = data;
      if (sealed) (message.seals ??= []).push(sealed);
      message.emulation = emulation;
      const done = figures ? brokenOff(message, figures) : null;
      if (problem.kind === 'stopped') this.end(message, 'stopped', { done });
      else this.end(message, 'failed', { problem, done });
    }
  }

  /**
   * @param {Answer} message
   * @param {Answer['state']} state
   * @param {Partial<Answer>} [outcome]
   */
  end(message, state, outcome = {}) {
    Object.assign(message, { state, ...outcome });
    this.failing = state === 'failed' ? message : null;
    this.#redraw(message);
    this.failing = null;
  }

  /**
   * The text that no block shows.
   * @param {Answer} message
   */
  rest(message) {
    return restOf(message);
  }

  /**
   * Puts rendered blocks in the place of raw text, as after a stop.
   * @param {Answer} message
   * @param {string[]} blocks
   */
  setBlocks(message, blocks) {
    Object.assign(message, { blocks, shown: message.content.length });
    const drawn = this.#node(this.messages.indexOf(message));
    if (!drawn) this.#redraw(message);
    else if (!this.drafts.has(message)) patch($('.body', drawn), bodyOf(message)); // its buttons stay under the pointer
  }

  #running() {
    return this.log.lastElementChild.querySelector('.running');
  }

  // Where the request stands in the server's line, until its answer is begun.
  #wait(place) {
    if (!this.place) {
      this.place = element('p', { className: 'place' });
      this.place.setAttribute('role', 'status');
      this.log.lastElementChild.querySelector('.body').after(this.place);
    }
    this.place.textContent = `Waiting, ${ordinal(place)} in line`;
  }

  // Draws the block under way in the next frame, however much of it comes until then.
  #draw(message) {
    if (this.drawing !== 0) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      if (message !== this.messages.at(-1) || message.state !== 'streaming') return;
      const begun = performance.now();
      if (begun < this.rested) {
        this.#draw(message);
        return;
      }
      const drawn = underWay(this.rest(message));
      const running = this.#running();
      running.className = drawn.className;
      patch(running, drawn);
      this.rested = performance.now() + 8 * (performance.now() - begun);
    });
  }

  #redraw(message) {
    const index = this.messages.indexOf(message);
    if (index < 0) {
      if (this.tree.aside?.messages.includes(message)) this.#drawAside();
      return;
    }
    if (this.drafts.has(message)) return;
    const before = this.#node(index);
    if (!before) return;
    const drawn = this.#article(message);
    const [body, made] = [$('.body', before), $('.body', drawn)];
    patch(body, made);
    made.replaceWith(body);
    before.replaceWith(drawn);
  }

  #index(article) {
    return this.first + this.#articles.indexOf(article);
  }

  // editable: whether a message that is being edited goes on being so.
  /** @param {Message} message */
  #article(message, editable = true) {
    const article = this.#made(message, editable);
    if (this.held) this.#mark(article);
    return article;
  }

  /**
   * @param {Message} message
   * @param {boolean} editable
   */
  #made(message, editable) {
    const article = element('article', { className: 'message', dataset: { testid: 'message', role: message.role } });
    article.setAttribute('aria-label', message.role === 'user' ? 'You' : 'Answer');
    const at = (action) => () => this.actions[action](this.#index(article));
    if (editable && this.drafts.has(message)) {
      article.append(this.#editor(article, message));
      return article;
    }
    const body = bodyOf(message);
    article.append(body);
    const versions = this.tree.versions(message);
    const leafing = versions.length < 2 ? []
      : [waiting(versionSwitch(message, versions, (version, arrow) => this.#leaf(version, arrow)))];
    if (message.role === 'user') {
      article.append(...leafing);
      if (!this.actions.edit) return article;
      article.append(element('div', { className: 'actions' },
        this.#editButton(article, message), copyIcon(() => message.content), waiting(iconButton('delete', 'Delete', at('remove'), 'Delete the message and its answers'))));
      return article;
    }
    article.dataset.state = message.state;
    if (message.state === 'streaming') {
      article.setAttribute('aria-busy', 'true');
      article.append(...(message.notices ?? []).map(remark));
      if (this.actions.stop) article.append(element('div', { className: 'meta' }, button('Stop', at('stop'))));
      return article;
    }
    const meta = this.#meta(article, message, at);
    meta.prepend(...leafing);
    article.append(...this.#ending(message), meta);
    return article;
  }

  /** @param {Answer} message */
  #ending(message) {
    const parts = (message.notices ?? []).map(remark);
    const dropped = message.receipt?.dropped_turns ?? 0;
    if (dropped > 0) {
      const turns = dropped === 1 ? 'The oldest turn' : `The oldest ${dropped} turns`;
      parts.push(remark(`${turns} did not fit the context and ${dropped === 1 ? 'was' : 'were'} left out.`));
    }
    if (message.state === 'done' && message.content === '') {
      parts.push(remark('The model wrote nothing.'));
    }
    if (message.state === 'failed' && message.problem) {
      const problem = element('p', { className: 'problem', textContent: problemWords(message.content, message.problem) });
      if (message.problem.kind === 'login') problem.append(' ', element('a', { href: address('login?next=/login'), target: '_blank', textContent: 'Log in' }));
      if (this.failing === message) problem.setAttribute('role', 'alert');
      parts.push(problem);
    }
    return parts;
  }

  /**
   * @param {HTMLElement} article
   * @param {Answer} message
   */
  #meta(article, message, at) {
    const { done, receipt } = message;
    const facts = [];
    if (!this.plain && (receipt?.preset || message.preset)) {
      const edited = (receipt?.edited ? receipt.edited.length > 0 : message.edited) ? ', edited' : '';
      facts.push(within(this.actions.presetName(receipt?.preset ?? message.preset)) + edited);
    }
    if (message.letter) facts.push(`answer ${message.letter}${message.chosen ? ', chosen' : ''}`);
    if (message.prefilled) facts.push('beginning given');
    if (isContinued(message)) facts.push('continued');
    if (message.rewritten) facts.push('edited by hand');
    if (message.state === 'stopped') facts.push('stopped');
    if (message.state === 'failed') facts.push('incomplete');
    if (done && !message.rewritten) {
      facts.push(
        count(done.generated_tokens, 'token'),
        !this.plain && done.ttft_ms !== null && `first token ${Math.round(done.ttft_ms)} ms`,
        !this.plain && done.tokens_per_second && `${done.tokens_per_second.toFixed(1)} tokens/s`,
        reasons[done.finish_reason] ?? done.finish_reason,
      );
    }
    const seed = seedOf(message);
    const unfinished = message.content !== ''
      && (message.rewritten || message.state !== 'done' || ['length', 'budget'].includes(done?.finish_reason ?? ''));
    const actions = [
      message.content !== '' && copyIcon(() => message.content),
      this.actions.retry && waiting(this.#retryButtons(article, message)),
      message.content !== '' && this.actions.rewrite && this.#editButton(article, message),
      unfinished && this.actions.resume && waiting(wordedButton('continue', 'Continue', at('resume'), 'Go on where this answer ends')),
      message.content !== '' && this.actions.toChat && iconButton('chat', 'Continue in chat', at('toChat')),
      receipt && this.#receiptButton(article, message),
      this.actions.remove && waiting(iconButton('delete', 'Delete', at('remove'),
        this.tree.versions(message).length > 1 ? 'Delete this version of the answer' : 'Delete the answer and its question')),
    ];
    return element('div', { className: 'meta' },
      element('div', { className: 'actions' }, ...actions.filter(Boolean)),
      element('div', { className: 'facts-line' },
        ...facts.filter(Boolean).map((text) => element('span', { textContent: text })),
        ...(seed === null ? [] : [this.#seed(seed)])));
  }

  #editButton(article, message) {
    return iconButton('edit', 'Edit', () => {
      this.drafts.set(message, this.unsent.get(message) ?? message.content);
      const editor = this.#editor(article, message);
      article.replaceChildren(editor);
      const area = $('textarea', editor);
      fit(area); // or the focus would bring a low one into sight
      area.focus();
    });
  }

  // The seed of an answer, which a click sets for the next ones.
  #seed(seed) {
    const words = `seed ${seed}`;
    if (!this.actions.pin) return element('span', { textContent: words });
    const pin = button(words, () => this.actions.pin(seed), 'quiet fact');
    pin.title = 'Use this seed for the next answers';
    return pin;
  }

  // Retry, and with which seed: another one where nothing is chosen.
  #retryButtons(article, message) {
    const again = (same) => this.actions.retry(this.#index(article), same);
    const seed = seedOf(message);
    const retry = iconButton('retry', 'Retry', () => again(false), seed === null ? 'Try again' : 'Retry with a new seed');
    if (seed === null || this.actions.repeats?.() === false) return retry;
    return element('span', { className: 'retry' }, retry, menu('Seed of another version', () => [
      { label: 'New seed', run: () => again(false) },
      { label: `Same seed: ${seed}`, run: () => again(true) },
    ], icon('more')));
  }

  #receiptButton(article, message) {
    const toggle = wordedButton('receipt', 'Receipt', () => {
      const open = article.querySelector('.receipt');
      if (open) open.remove();
      else {
        this.actions.reading?.();
        const receipt = receiptView(message, () => this.messages.slice(0, this.messages.indexOf(message)), this.alone);
        article.append(receipt);
        receipt.scrollIntoView({ block: 'nearest' });
      }
      toggle.setAttribute('aria-expanded', String(!open));
    }, 'What was sent, and how it was answered');
    toggle.setAttribute('aria-expanded', 'false');
    return toggle;
  }

  // A question is sent anew; the text of an answer becomes a version of it.
  #editor(article, message) {
    const answer = message.role === 'assistant';
    const area = element('textarea', { value: this.drafts.get(message) ?? '', rows: 1, dir: 'auto' });
    if (answer) area.maxLength = longest;
    area.setAttribute('aria-label', answer ? 'Edit the answer' : 'Edit the message');
    const close = (unsent = '') => {
      this.drafts.delete(message);
      if (unsent === '') this.unsent.delete(message);
      else this.unsent.set(message, unsent);
      const drawn = this.#article(message);
      article.replaceWith(drawn);
      $('.actions [aria-label="Edit"]', drawn).focus();
    };
    const send = () => {
      const text = answer ? area.value.trimEnd() : content(area.value);
      if (answer && text === message.content) close();
      else if (!isBlank(text) && !this.actions.busy?.()) {
        this.drafts.delete(message);
        this.unsent.delete(message);
        this.actions[answer ? 'rewrite' : 'edit'](this.#index(article), text);
      }
    };
    area.addEventListener('input', () => {
      this.drafts.set(message, area.value);
      fit(area);
    });
    area.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        close(area.value === message.content ? '' : area.value);
      } else if (answer ? event.key === 'Enter' && (event.ctrlKey || event.metaKey) : isSend(event)) {
        event.preventDefault();
        send();
      }
    });
    const save = waiting(button(answer ? 'Save as a version' : 'Send', send, 'primary'));
    if (answer) save.title = 'Ctrl+Enter';
    fit(area);
    const editor = element('div', { className: 'editor' }, area,
      element('div', { className: 'row' }, button('Cancel', () => close()), save));
    if (this.held) this.#mark(editor);
    return editor;
  }
}

/**
 * The text that no block of an answer shows.
 * @param {Answer} message
 */
const restOf = ({ content: text, blocks, shown }) => text.slice(shown ?? (blocks.length > 0 ? text.length : 0));

// A message's text as it is drawn now.
/** @param {Message} message */
function bodyOf(message) {
  const body = element('div', { className: 'body' });
  if (message.role === 'user') return Object.assign(body, { textContent: message.content, dir: 'auto' });
  body.append(...message.blocks.filter(Boolean).map(block));
  const rest = restOf(message);
  if (message.state === 'streaming') {
    const running = underWay(rest);
    if (message.content === '') running.classList.add('waiting');
    body.append(running);
  } else if (rest.trim() !== '') body.append(underWay(rest, false));
  return body;
}

// HTML of one block.
function block(html) {
  const node = markdown(html, 'block-html');
  for (const figure of node.querySelectorAll('figure.code')) {
    figure.append(copyIcon(() => $('code', figure).textContent));
  }
  setMaths(node);
  return node;
}

// The block under way, with a caret at its end while more comes.
function underWay(text, goesOn = true) {
  const html = preview(text);
  const node = html === null ? element('div', { className: 'plain', textContent: text.replace(/^\n+/, '') }) : block(html);
  node.classList.add('running');
  if (goesOn) tip(node)?.classList.add('caret');
  return node;
}

const opens = 'div, p, ul, ol, li, blockquote, table, thead, tbody, tr, td, th, figure, pre, code, h1, h2, h3, h4, h5, h6';

// Where the text of a node ends, as deep as its blocks go; null behind a formula with lines of its own.
function tip(node) {
  const end = node.lastChild;
  if (end instanceof Element && end.matches('.math.display')) return end.matches('code') ? end : null;
  const last = [...node.children].findLast((child, i) => !child.matches('button, figcaption')
    && !(i > 0 && child.matches('td, th') && child.textContent === '')); // a row is filled up to the head's width
  const inner = last?.matches(opens) && !(last.matches('code') && !node.matches('pre'));
  return inner ? tip(last) : node;
}
