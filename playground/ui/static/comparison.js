// The tab Compare: two to four columns, one composer for all, all answers in one stream.

import { answerInto, conversation, renderStopped } from './answers.js';
import { Column } from './column.js';
import { button, element, fit } from './dom.js';
import { onEngine } from './engine.js';
import { tables, usePreset } from './samplers.js';
import { stopPane } from './server.js';
import { paneOf, setting, wholeNumber } from './settings.js';
import { load, save } from './storage.js';
import { menu } from './menu.js';

const fewest = 2;
const most = 4;
const $ = (selector) => document.querySelector(selector);
const draw = () => crypto.getRandomValues(new Uint32Array(1))[0];

class Comparison {
  constructor(chat) {
    this.chat = chat;
    this.node = $('#comparison');
    this.board = this.node.querySelector('.board');
    this.prompt = $('#compare-prompt');
    this.columns = [];
    this.following = true;
  }

  start() {
    const kept = load('comparison', {});
    this.sameSeed = kept.sameSeed ?? true;
    this.seed = kept.seed ?? String(draw());
    $('#compare-same-seed').checked = this.sameSeed;
    $('#compare-seed').value = this.seed;
    this.prompt.value = kept.draft ?? '';
    const presets = tables().presets.slice(0, most);
    const columns = kept.columns ?? (presets.length < fewest ? [...presets, ...presets] : presets)
      .map(({ id }) => ({ setting: setting(id), messages: [] }));
    for (const { setting: value, messages } of columns) this.#insert(value, messages);
    this.add = button('Add column', () => this.duplicate(this.columns.at(-1), false), 'quiet add-column');
    this.board.append(this.add);
    this.#listen();
    for (const column of this.columns) this.#level(column);
    this.#arrange();
    this.settle();
    fit(this.prompt);
    onEngine(() => this.columns.forEach((column) => column.showSetting()));
  }

  #insert(value, messages, at = this.columns.length) {
    for (const message of messages) if (message.state === 'streaming') message.state = 'stopped';
    const column = new Column(value, {
      changed: () => this.keep(),
      retry: (each) => this.retry(each),
      stop: (each) => this.stop(each),
      toChat: (each) => this.toChat(each),
      menu: (each) => this.#menu(each),
      sameSeed: () => this.sameSeed,
    });
    column.pane.show(messages);
    for (const message of messages) renderStopped(column.pane, message);
    this.columns.splice(at, 0, column);
    if (this.levelling) this.#level(column);
    return column;
  }

  #level(column) {
    for (const part of column.heads) this.levelling.observe(part);
  }

  // Puts the columns' nodes into their order and names them by it.
  #arrange() {
    const { scrollLeft } = this.board;
    this.columns.forEach((column, i) => {
      if (this.board.children[i] !== column.node) this.board.insertBefore(column.node, this.board.children[i]);
      column.place(i, this.columns.length);
    });
    while (this.board.children[this.columns.length] !== this.add) this.board.children[this.columns.length].remove();
    this.add.hidden = this.columns.length >= most;
    this.board.style.setProperty('--columns', this.columns.length);
    this.board.scrollLeft = scrollLeft;
  }

  #menu(column) {
    const at = this.columns.indexOf(column);
    const alone = this.columns.length <= fewest;
    const wide = column.node.classList.contains('wide');
    return [
      { label: wide ? 'Back to all columns' : 'Full width', run: () => this.widen(wide ? null : column) },
      { label: 'Duplicate', run: () => this.duplicate(column, true), hidden: this.columns.length >= most },
      { label: 'Move left', run: () => this.move(column, at - 1), hidden: at === 0 },
      { label: 'Move right', run: () => this.move(column, at + 1), hidden: at === this.columns.length - 1 },
      { label: 'Remove', run: () => this.remove(column), hidden: alone || column.running !== null },
    ];
  }

  #listen() {
    $('#compare-composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.send(this.prompt.value);
    });
    this.prompt.addEventListener('input', () => { fit(this.prompt); this.keep(); });
    this.prompt.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.send(this.prompt.value);
      }
    });
    $('#compare-stop').addEventListener('click', () => this.stopAll());
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.node.offsetParent !== null) this.stopAll();
    });
    $('#compare-same-seed').addEventListener('change', (event) => {
      this.sameSeed = event.target.checked;
      for (const column of this.columns) column.seedMoved();
      this.settle();
    });
    const seed = $('#compare-seed');
    seed.addEventListener('input', () => { this.seed = seed.value.trim(); this.keep(); });
    $('#compare-new-seed').addEventListener('click', () => {
      this.seed = seed.value = String(draw());
      this.keep();
    });
    for (const starter of this.node.querySelectorAll('.starter')) {
      starter.addEventListener('click', () => this.send(starter.textContent));
    }
    this.board.addEventListener('scroll', () => {
      this.following = this.board.scrollHeight - this.board.scrollTop - this.board.clientHeight < 60;
    }, { passive: true });
    addEventListener('pagehide', () => this.keep());
    const top = () => this.node.style.setProperty('--above', `${this.node.getBoundingClientRect().top + scrollY}px`);
    new ResizeObserver(top).observe(document.body);
    // As high as the highest head, so that the conversations begin side by side.
    this.levelling = new ResizeObserver(() => {
      const highest = Math.max(...this.columns.map((column) => column.headHeight));
      this.board.style.setProperty('--head', `${highest}px`);
    });
    $('#compare-more').replaceWith(menu('More for the comparison', () => this.#more()));
  }

  #more() {
    return [
      { label: 'New comparison', run: () => this.clear() },
    ];
  }

  get busy() {
    return this.columns.some((column) => column.running !== null);
  }

  // The panes of a request for these columns, with the messages that each has. Throws in words.
  panes(columns, shared = this.sharedSeed()) {
    return columns.map((column) => {
      try {
        const seed = this.sameSeed ? shared : wholeNumber(column.setting.seed, 'seed', 0);
        const pane = { ...paneOf(column.setting), messages: conversation(column.messages) };
        return seed === null ? pane : { ...pane, seed };
      } catch (error) {
        column.values.open = true;
        column.values.querySelector('[aria-invalid="true"]')?.focus();
        throw new Error(`Column ${column.index + 1}: ${error.message}`, { cause: error });
      }
    });
  }

  // The seed of all columns; a new one when the field is empty. Throws in words.
  sharedSeed() {
    return wholeNumber($('#compare-seed').value, 'seed', 0) ?? draw();
  }

  // What cannot be sent stays in the composer.
  send(text) {
    if (this.busy || text.trim() === '') return;
    const question = { role: 'user', content: text.trim() };
    let panes;
    try {
      panes = this.panes(this.columns);
    } catch (error) {
      this.notice(error.message);
      return;
    }
    this.columns.forEach((column, i) => {
      panes[i].messages.push(question);
      column.pane.add({ ...question });
    });
    this.prompt.value = '';
    fit(this.prompt);
    this.following = true;
    this.run(this.columns, panes);
  }

  // Answers the last message of the user once more, in this column alone.
  retry(column) {
    if (column.running) return;
    if (column.answer) column.pane.truncate(column.messages.length - 1);
    try {
      this.run([column], this.panes([column]));
    } catch (error) {
      this.notice(error.message);
    }
  }

  async run(columns, panes) {
    const controller = new AbortController();
    columns.forEach((column, pane) => {
      column.running = { controller, pane, id: null, alone: columns.length === 1 };
      column.pane.add({ role: 'assistant', content: '', blocks: [], state: 'streaming', preset: column.setting.preset });
    });
    this.settle();
    const keeping = setInterval(() => this.keep(), 1000);
    await answerInto(columns.map((column) => column.pane), { panes }, controller.signal, {
      onOpen: (id) => columns.forEach((column) => { if (column.running) column.running.id = id; }),
      onEvent: (i, name) => this.#received(columns[i], name),
    });
    clearInterval(keeping);
    this.settle();
  }

  #received(column, name) {
    if (name === 'done' || name === 'error') {
      column.running = null;
      this.settle();
    }
    if (name !== 'delta' || column.figures.textContent === 'waiting') column.showFigures();
    if (this.following) this.#toEnd();
  }

  // Stops one column. The server ends its stream; where it cannot, the text is no longer shown.
  async stop(column) {
    const { running, answer } = column;
    if (!running) return;
    if (running.alone || running.id === null) {
      running.controller.abort();
      return;
    }
    try {
      await stopPane(running.id, running.pane);
    } catch {
      if (column.running !== running) return;
      column.pane.end(answer, 'stopped');
      this.#received(column, 'error');
    }
  }

  stopAll() {
    for (const { running } of this.columns) running?.controller.abort();
  }

  toChat(column) {
    this.chat.adopt(structuredClone(column.messages), `Continued from ${column.name} of the comparison.`);
    usePreset(column.setting.preset, column.setting.edits, column.setting.limit);
    $('#view-chat-button').click();
    this.chat.prompt.focus();
  }

  duplicate(column, withMessages) {
    const value = structuredClone(column.setting);
    const messages = withMessages && !column.running ? structuredClone(column.messages) : [];
    const added = this.#insert(value, messages, this.columns.indexOf(column) + 1);
    this.#arrange();
    this.settle();
    added.node.scrollIntoView({ inline: 'nearest', block: 'nearest' });
    added.select.focus();
  }

  move(column, to) {
    this.columns.splice(this.columns.indexOf(column), 1);
    this.columns.splice(to, 0, column);
    this.#arrange();
    this.settle();
    column.node.scrollIntoView({ inline: 'nearest', block: 'nearest' });
  }

  remove(column) {
    const at = this.columns.indexOf(column);
    this.columns.splice(at, 1);
    this.#arrange();
    this.settle();
    this.notice('Removed the column.', () => {
      if (this.columns.length < most) this.columns.splice(at, 0, column);
      this.#arrange();
      this.settle();
    });
  }

  widen(column) {
    this.board.classList.toggle('single', column !== null);
    for (const each of this.columns) each.node.classList.toggle('wide', each === column);
  }

  clear() {
    this.stopAll();
    const before = this.columns.map((column) => structuredClone(column.messages));
    for (const column of this.columns) column.pane.show([]);
    this.settle();
    this.notice('Started a new comparison.', () => {
      this.columns.forEach((column, i) => column.pane.show(before[i] ?? []));
      this.settle();
    });
    this.prompt.focus();
  }

  settle() {
    $('#compare-send').hidden = this.busy;
    $('#compare-stop').hidden = !this.busy;
    $('#compare-seed').hidden = !this.sameSeed;
    $('#compare-new-seed').hidden = !this.sameSeed;
    const empty = this.columns.every((column) => column.messages.length === 0);
    this.node.querySelector('.compare-empty').hidden = !empty;
    this.board.classList.toggle('bare', empty);
    for (const column of this.columns) column.showFigures();
    this.keep();
  }

  keep() {
    save('comparison', {
      columns: this.columns.map(({ setting: value, messages }) => ({ setting: value, messages })),
      sameSeed: this.sameSeed,
      seed: this.seed,
      draft: this.prompt.value,
    });
  }

  notice(words, undo) {
    const shown = $('#compare-notice');
    const back = undo ? [button('Undo', () => { shown.hidden = true; undo(); })] : [];
    shown.replaceChildren(element('span', { textContent: words }), ...back);
    shown.hidden = false;
    clearTimeout(this.noticing);
    this.noticing = setTimeout(() => { shown.hidden = true; }, 12_000);
  }

  #toEnd() {
    cancelAnimationFrame(this.scrolling);
    this.scrolling = requestAnimationFrame(() => { this.board.scrollTop = this.board.scrollHeight; });
  }
}

export function startComparison(chat) {
  const comparison = new Comparison(chat);
  comparison.start();
}
