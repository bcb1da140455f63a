// The tab Compare: two to four columns, one composer for all, all answers in one stream.

import { answerInto, conversation } from './answers.js';
import { BlindRound } from './blind.js';
import { Board, fewest, most } from './board.js';
import { button, element, fit } from './dom.js';
import { engine, onEngine } from './engine.js';
import { comparisonJSON, comparisonMarkdown, download } from './exports.js';
import { Marks } from './marks.js';
import { menu } from './menu.js';
import { tables, usePreset } from './samplers.js';
import { stopPane } from './server.js';
import { paneOf, setting, summary, wholeNumber } from './settings.js';
import { load, save } from './storage.js';
import { openTrials } from './trials.js';
import { addVote, showVotes } from './votes.js';

const $ = (selector) => document.querySelector(selector);
const draw = () => crypto.getRandomValues(new Uint32Array(1))[0];

class Comparison {
  constructor(chat) {
    this.chat = chat;
    this.node = $('#comparison');
    this.prompt = $('#compare-prompt');
    this.kept = load('comparison', {});
    this.sameSeed = this.kept.sameSeed ?? true;
    this.board = new Board(this.node.querySelector('.board'), {
      retry: (column) => this.retry(column),
      stop: (column) => this.stop(column),
      toChat: (column) => this.toChat(column),
      sameSeed: () => this.sameSeed,
      changed: () => this.settle(),
      notice: (words, undo) => this.notice(words, { undo }),
    });
    this.marks = new Marks(() => ({
      columns: this.columns,
      reference: this.board.reference,
      mode: $('#compare-difference').value,
    }));
    this.blind = new BlindRound(this.node.querySelector('.blind-board'), this.node.querySelector('.ballot'), {
      revealed: (...round) => this.#revealed(...round),
      dropped: () => this.settle(),
      changed: () => this.keep(),
    });
  }

  get columns() {
    return this.board.columns;
  }

  get busy() {
    return this.columns.some((column) => column.running !== null);
  }

  start() {
    const { kept } = this;
    $('#compare-difference').value = kept.difference ?? 'first';
    $('#compare-same-seed').checked = this.sameSeed;
    $('#compare-seed').value = kept.seed ?? String(draw());
    this.prompt.value = kept.draft ?? '';
    const presets = tables().presets.slice(0, most);
    const columns = presets.length < fewest ? [...presets, ...presets] : presets;
    const fresh = columns.map(({ id }) => ({ setting: setting(id), messages: [] }));
    this.board.show(kept.columns ?? fresh, kept.reference ?? 0);
    if (kept.round) this.blind.show(kept.round);
    this.#listen();
    this.settle();
    fit(this.prompt);
    onEngine(() => this.columns.forEach((column) => column.showSetting()));
    if (matchMedia('(hover: hover)').matches) this.prompt.focus({ preventScroll: true });
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
    $('#compare-seed').addEventListener('input', () => this.settle());
    $('#compare-new-seed').addEventListener('click', () => {
      $('#compare-seed').value = String(draw());
      this.settle();
    });
    for (const id of ['#compare-blind', '#compare-difference']) {
      $(id).addEventListener('change', () => this.settle());
    }
    $('#compare-against').addEventListener('change', (event) => {
      this.board.reference = this.columns[event.target.value];
      this.settle();
    });
    const options = $('#compare-options');
    options.addEventListener('click', () => {
      const open = this.node.querySelector('.options').classList.toggle('open');
      options.setAttribute('aria-expanded', String(open));
    });
    for (const starter of this.node.querySelectorAll('.starter')) {
      starter.addEventListener('click', () => this.send(starter.textContent));
    }
    addEventListener('pagehide', () => this.keep());
    new ResizeObserver(() => {
      const { top } = this.node.getBoundingClientRect();
      if (this.node.offsetParent !== null) this.node.style.setProperty('--above', `${top + scrollY}px`);
    }).observe(document.body);
    $('#compare-more').replaceWith(menu('More for the comparison', () => this.#more()));
  }

  #more() {
    const { columns } = this;
    const said = columns.some(({ messages }) => messages.length > 0);
    return [
      { label: 'Seeds × presets…', run: () => openTrials(this.#trials()) },
      { label: 'Votes…', run: showVotes },
      { label: 'Export as Markdown', hidden: !said, run: () => download('comparison.md', 'text/markdown', comparisonMarkdown(columns)) },
      { label: 'Export as JSON', hidden: !said, run: () => download('comparison.json', 'application/json', comparisonJSON(columns)) },
      { label: 'New comparison', hidden: !said || this.busy, run: () => this.clear() },
    ];
  }

  // The panes of a request for these columns, with the messages that each has. Throws in words.
  #panes(columns, seed = this.#sharedSeed()) {
    return columns.map((column) => {
      try {
        const own = this.sameSeed || seed === undefined ? seed : wholeNumber(column.setting.seed, 'seed', 0);
        const pane = { ...paneOf(column.setting), messages: conversation(column.messages) };
        return (own ?? null) === null ? pane : { ...pane, seed: own };
      } catch (error) {
        column.values.open = true;
        column.values.querySelector('[aria-invalid="true"]')?.focus();
        throw new Error(`Column ${column.index + 1}: ${error.message}`, { cause: error });
      }
    });
  }

  // The seed of all columns; a new one when the field is empty. Throws in words.
  #sharedSeed() {
    return wholeNumber($('#compare-seed').value, 'seed', 0) ?? draw();
  }

  // What cannot be sent stays in the composer.
  send(text) {
    if (this.busy || this.blind.open || text.trim() === '') return;
    const question = { role: 'user', content: text.trim() };
    let panes;
    try {
      panes = this.#panes(this.columns);
    } catch (error) {
      this.notice(error.message);
      return;
    }
    for (const pane of panes) pane.messages.push(question);
    this.prompt.value = '';
    fit(this.prompt);
    $('#compare-notice').hidden = true;
    if ($('#compare-blind').checked) {
      this.blind.run(question.content, panes);
      this.settle();
      return;
    }
    for (const column of this.columns) column.pane.add({ ...question });
    this.board.following = true;
    this.#run(this.columns, panes);
  }

  // Answers the last message of the user once more, in this column alone.
  retry(column) {
    if (column.running) return;
    const before = column.answer ? column.messages.slice(0, -1) : column.messages;
    let panes;
    try {
      panes = this.#panes([column]);
    } catch (error) {
      this.notice(error.message);
      return;
    }
    panes[0].messages = conversation(before);
    column.pane.truncate(before.length);
    this.#run([column], panes);
  }

  async #run(chosen, panes) {
    const columns = [...chosen];
    const controller = new AbortController();
    columns.forEach((column, pane) => {
      column.running = { controller, pane, id: null, alone: columns.length === 1 };
      column.pane.add({ role: 'assistant', content: '', blocks: [], state: 'streaming', preset: column.setting.preset });
    });
    const keeping = setInterval(() => this.keep(), 1000);
    const answered = answerInto(columns.map((column) => column.pane), { panes }, controller.signal, {
      onOpen: (id) => columns.forEach((column) => { if (column.running) column.running.id = id; }),
      onEvent: (i, name) => this.#received(columns[i], name),
    });
    this.settle();
    await answered;
    clearInterval(keeping);
    this.settle();
  }

  #received(column, name) {
    if (name === 'done' || name === 'error') {
      column.running = null;
      this.settle();
    }
    if (name !== 'delta' || column.figures.textContent === 'waiting') column.showFigures();
    this.marks.update();
    if (this.board.following) this.board.toEnd();
  }

  // Stops one column. The server ends its answer; where it cannot, its text is no longer shown.
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
    this.blind.stop();
  }

  toChat(column) {
    this.chat.adopt(structuredClone(column.messages), `Continued from ${column.label} of the comparison.`);
    usePreset(column.setting.preset, column.setting.edits, column.setting.limit);
    $('#view-chat-button').click();
    this.chat.prompt.focus();
  }

  // The answers of a blind round go to their columns, and the vote to the others.
  #revealed({ prompt, answers }, outcome, best) {
    const { columns } = this;
    columns.forEach((column, i) => {
      const answer = answers.find((each) => each.column === i)
        ?? { role: 'assistant', content: '', blocks: [], state: 'stopped' };
      delete answer.column;
      column.pane.add({ role: 'user', content: prompt });
      column.pane.add(answer);
    });
    const named = columns.map((column) => ({ column, answer: column.answer }))
      .filter(({ answer }) => answer.letter).sort((a, b) => (a.answer.letter < b.answer.letter ? -1 : 1));
    const words = named.map(({ column, answer }) => `${answer.letter} was ${column.label}`).join(', ');
    if (outcome) {
      addVote({
        at: new Date().toISOString(),
        prompt,
        model: engine().engine?.model_id ?? null,
        settings: columns.map(({ name, setting: value }) => ({
          name: name.endsWith(', edited') ? `${name}: ${summary(value)}` : name,
          preset: value.preset,
          sampler: paneOf(value).sampler ?? null,
        })),
        outcome,
        best: best === null ? null : columns.indexOf(named[best].column),
      });
    }
    const verdict = { best: () => `You chose ${named[best].column.label}. `, tie: () => 'A tie. ', bad: () => 'All bad. ' };
    this.settle();
    this.notice((verdict[outcome]?.() ?? '') + words + '.', { more: button('Votes', showVotes), stay: true });
    this.board.toEnd();
    this.prompt.focus({ preventScroll: true });
  }

  // What the window Seeds × presets needs: the last prompt of each column and how to ask it.
  #trials() {
    if (this.busy || this.blind.open) return { refusal: 'Answers are being written. Wait for them, or stop them.' };
    const last = this.columns.map(({ messages }) => messages.findLastIndex(({ role }) => role === 'user'));
    if (last.some((place) => place < 0)) return { refusal: 'Send a prompt to all columns first: the last one is what is asked again with several seeds.' };
    try {
      const panes = this.#panes(this.columns);
      return {
        prompt: this.columns[0].messages[last[0]].content,
        labels: this.columns.map(({ label }) => label),
        seed: this.#sharedSeed(),
        ask: (seed) => panes.map((pane, i) => (
          { ...pane, seed, messages: conversation(this.columns[i].messages.slice(0, last[i] + 1)) })),
      };
    } catch (error) {
      return { refusal: error.message };
    }
  }

  clear() {
    const before = this.columns.map((column) => [column, [...column.messages]]);
    for (const column of this.columns) column.pane.show([]);
    this.settle();
    this.notice('Started a new comparison.', { undo: () => {
      for (const [column, messages] of before) column.pane.show(messages);
      this.settle();
    } });
    this.prompt.focus();
  }

  settle() {
    const { busy, columns, blind } = this;
    $('#compare-send').hidden = busy;
    $('#compare-stop').hidden = !busy;
    $('#compare-seed').hidden = !this.sameSeed;
    $('#compare-new-seed').hidden = !this.sameSeed;
    const empty = columns.every((column) => column.messages.length === 0);
    this.node.querySelector('.compare-empty').hidden = !empty || blind.open;
    this.board.node.classList.toggle('bare', empty);
    this.board.node.hidden = blind.open;
    $('#compare-composer').hidden = blind.open;
    const mode = $('#compare-difference');
    const against = $('#compare-against');
    against.replaceChildren(...columns.map(({ label }, i) => new Option(label, i)));
    against.value = columns.indexOf(this.board.reference);
    $('#compare-against-label').hidden = mode.value === 'off';
    $('#compare-options').textContent = [
      this.sameSeed && `seed ${$('#compare-seed').value || 'random'}`,
      $('#compare-blind').checked ? 'blind' : mode.value !== 'off' && `difference: ${mode.selectedOptions[0].text}`,
    ].filter(Boolean).join(' · ') || 'Options';
    for (const column of columns) column.showFigures();
    this.marks.update(true);
    this.keep();
  }

  keep() {
    save('comparison', {
      columns: this.columns.map(({ setting: value, messages }) => ({ setting: value, messages })),
      reference: this.columns.indexOf(this.board.reference),
      sameSeed: this.sameSeed,
      seed: $('#compare-seed').value.trim(),
      difference: $('#compare-difference').value,
      draft: this.prompt.value,
      round: this.blind.round,
    });
  }

  // undo: brings back what was before. more: a further button. stay: until the next prompt.
  notice(words, { undo, more, stay = false } = {}) {
    const shown = $('#compare-notice');
    const back = undo ? button('Undo', () => { shown.hidden = true; undo(); }) : '';
    shown.replaceChildren(element('span', { textContent: words }), back, more ?? '');
    shown.hidden = false;
    clearTimeout(this.noticing);
    if (!stay) this.noticing = setTimeout(() => { shown.hidden = true; }, 12_000);
  }
}

export function startComparison(chat) {
  new Comparison(chat).start();
}
