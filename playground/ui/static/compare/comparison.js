// The tab Compare: two to four columns, one composer for all, all answers in one stream.

import { Marks } from '../answers/difference_marks.js';
import { answerInto, renderAll, stopAnswers } from '../answers/streaming.js';
import { conversation } from '../answers/turns.js';
import { beginningOf, newAnswer, rewritten, seedOfRetry } from '../answers/versions.js';
import { areSeveral, engineOf, engines, onEngines } from '../engine/choice.js';
import { seedDoubt } from '../engine/parameter_support.js';
import { engine, onEngine } from '../engine/state.js';
import { stopPane } from '../lib/api.js';
import { $, button, fit, isSend, labelEnter, onStop } from '../lib/dom.js';
import { download } from '../lib/download.js';
import { menu } from '../lib/menu.js';
import { canWait, Notice } from '../lib/notice.js';
import { handOver, load, onRefusal, save } from '../lib/storage.js';
import { content, isBlank, within } from '../lib/text.js';
import { touch } from '../lib/url_hash.js';
import { usePreset } from '../presets/panel.js';
import { allPresets } from '../presets/presets.js';
import { isSetting, setting } from '../presets/setting.js';
import { Entry } from '../records/archive_entry.js';
import { recordMarkdown } from '../records/record_text.js';
import { comparisonRecord, isWhole, recordJSON, shownColumns } from '../records/records.js';
import { addView } from '../records/views.js';
import { BlindRound, deal } from './blind_round.js';
import { Board, fewest, most } from './columns.js';
import { Options } from './options.js';
import { panesOf, trialsOf } from './requests.js';
import { openTrials } from './seed_trials.js';
import { showVotes } from './votes.js';

const lead = 6; // pixels between a head and the question that a reader begins at
const first = 3; // columns of a first comparison, a preset each

class Comparison {
  constructor(chat) {
    this.chat = chat;
    this.node = $('#comparison');
    this.prompt = $('#compare-prompt');
    this.notice = new Notice($('#compare-notice'));
    this.kept = load('comparison', {});
    this.entry = new Entry(this.kept.entry, () => this.record(), () => this.keep());
    this.options = new Options(this.kept, {
      changed: () => this.#changed(),
      against: (i) => {
        this.board.reference = this.columns[i];
        this.settle();
      },
    });
    this.board = new Board(this.node.querySelector('.board'), $('.compare-dock'), {
      retry: (column, index, same) => this.retry(column, index, same),
      rewrite: (column, index, text) => this.rewrite(column, index, text),
      stop: (column) => this.stop(column),
      toChat: (column, index) => this.toChat(column, index),
      chosen: (column) => this.#chosen(column),
      pin: (column, seed) => this.pin(column, seed),
      join: (column) => this.join(column),
      changed: () => this.#changed(),
      complain: (words) => this.notice.complain(words),
      wait: () => this.notice.wait(),
      notice: (words, undo) => this.notice.show(words, { undo }),
    });
    this.marks = new Marks(() => ({
      columns: this.columns,
      reference: this.board.reference,
      mode: this.options.difference,
    }));
    this.blind = new BlindRound(this.node.querySelector('.blind-board'), this.node.querySelector('.ballot'), $('.compare-dock'), {
      revealed: (...round) => this.#revealed(...round),
      dropped: () => this.settle(),
      again: (round) => this.#blindAgain(round),
      changed: () => this.keep(),
      doubt: () => this.seedDoubt,
    });
  }

  get columns() {
    return this.board.columns;
  }

  get busy() {
    return this.columns.some((column) => column.running !== null);
  }

  async start() {
    const { kept } = this;
    this.prompt.value ||= kept.draft ?? ''; // what was written while this was loading stays
    this.board.show(await this.#kept(), kept.reference ?? 0);
    if (kept.round) this.blind.show(kept.round);
    this.#listen();
    onRefusal((words) => this.notice.stand(words));
    this.settle();
    fit(this.prompt);
    const shown = () => {
      for (const column of this.columns) column.showSetting();
      this.options.showDoubt(this.seedDoubt);
    };
    onEngine(shown);
    onEngines(shown);
    addView('comparison', this);
    // Who moves along the tabs by the keyboard goes on there.
    const among = document.activeElement?.matches('[role="tab"]:focus-visible');
    if (matchMedia('(hover: hover)').matches && !among) this.prompt.focus({ preventScroll: true });
  }

  // The columns that the tab showed before, as they were handed over or as the archive has them.
  async #kept() {
    const { columns } = this.kept;
    if (!Array.isArray(columns) || !columns.every((column) => isSetting(column?.setting))) {
      const presets = allPresets().slice(0, first);
      const chosen = presets.length < fewest ? [...presets, ...presets] : presets;
      return chosen.map(({ id }) => ({ setting: setting(id), messages: [] }));
    }
    if (columns.every(isWhole)) return columns;
    const record = await this.entry.read();
    if (record === null) return columns.map((column) => ({ ...column, messages: [] }));
    const archived = shownColumns(record).map(({ column }) => column);
    // The settings as they were being edited, unless columns came or went since.
    return archived.length === columns.length ? archived.map(({ messages, shown }, i) => ({ ...columns[i], messages, shown })) : archived;
  }

  #listen() {
    $('#compare-composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.send(this.prompt.value);
    });
    this.prompt.addEventListener('input', () => { fit(this.prompt); this.keep(); });
    this.prompt.addEventListener('keydown', (event) => {
      if (isSend(event)) {
        event.preventDefault();
        this.send(this.prompt.value);
      }
    });
    labelEnter(this.prompt);
    onStop($('#compare-stop'), $('#compare-send'), () => this.stopAll());
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.node.offsetParent !== null) this.stopAll();
    });
    for (const starter of this.node.querySelectorAll('.starter')) {
      starter.addEventListener('click', () => this.send(starter.textContent));
    }
    addEventListener('pagehide', () => this.#leave());
    new ResizeObserver(() => {
      if (this.node.offsetParent === null) return;
      // In the next frame: what is measured changes by it.
      requestAnimationFrame(() => this.node.style.setProperty('--above', `${this.node.getBoundingClientRect().top + scrollY}px`));
    }).observe(document.body);
    $('#compare-more').replaceWith(menu('More for the comparison', () => this.#more()));
  }

  #more() {
    const { columns } = this;
    const record = this.record();
    return [
      { label: 'This preset on all engines', hidden: !areSeveral() || this.busy, run: () => this.#spread() },
      { label: 'Try several seeds…', hidden: this.busy, run: () => openTrials(trialsOf(columns, this.options)) },
      { label: 'Votes…', run: showVotes },
      ...(record === null ? [] : [
        { label: 'Export as Markdown', run: () => download('comparison.md', 'text/markdown', recordMarkdown(record)) },
        { label: 'Export as JSON', run: () => download('comparison.json', 'application/json', recordJSON(record)) },
      ]),
    ];
  }

  // A column for each engine, with the settings of the one that all are compared against.
  #spread() {
    const { setting: value } = this.board.reference;
    const columns = engines().slice(0, most).map(({ id }) => ({ setting: { ...structuredClone(value), engine: id }, messages: [] }));
    this.adopt(columns, { sameSeed: true }, `Set up ${within(this.board.reference.name)} on ${columns.length} engines, with one seed.`, {});
  }

  // What cannot be sent stays in the composer.
  send(text) {
    if (this.blind.open || isBlank(text)) return;
    if (this.busy) {
      this.notice.wait(canWait);
      return;
    }
    /** @type {Question} */
    const question = { role: 'user', content: content(text) };
    const { beginning } = this.options;
    const panes = this.#questions(question, beginning);
    if (!panes) return;
    this.options.use({ beginning: '' });
    if (text === this.prompt.value) this.prompt.value = '';
    fit(this.prompt);
    this.notice.hide();
    this.options.fold();
    if (this.options.blind) {
      this.#blind(question.content, panes, beginning);
      return;
    }
    for (const column of this.columns) {
      column.pane.add({ ...question });
      column.pane.add(newAnswer(beginning));
    }
    this.board.end.show();
    void this.#run(this.columns, panes);
  }

  // What all columns are asked for, or null when that cannot be read, which is said.
  #questions(question, beginning) {
    const panes = this.#requests(this.columns);
    const answer = newAnswer(beginning);
    panes?.forEach((pane, i) => {
      pane.messages = conversation([...this.columns[i].messages, question, answer], answer, this.options.system);
    });
    return panes;
  }

  #blind(prompt, panes, beginning) {
    void this.blind.run(prompt, panes, beginning);
    this.settle();
  }

  // The same once more, in the place of a round that was not finished.
  #blindAgain({ prompt, answers }) {
    const beginning = beginningOf(answers[0]);
    const panes = this.#questions({ role: 'user', content: prompt }, beginning);
    if (panes) this.#blind(prompt, panes, beginning);
  }

  // Another version of one answer, in its column alone; what followed stays with the one it followed.
  retry(column, index, same) {
    const answer = column.messages[index];
    if (column.busy() || answer.role !== 'assistant') return;
    const pane = this.#request(column);
    if (!pane) return;
    const seed = seedOfRetry(answer, column.pane.tree.versions(answer), pane.seed ?? null, same);
    const version = newAnswer(beginningOf(answer));
    column.pane.again(answer, version);
    this.#answer(column, { ...pane, seed }, version);
  }

  // Another version of an answer, in the reader's own words.
  rewrite(column, index, text) {
    const answer = column.messages[index];
    if (column.busy() || answer.role !== 'assistant') return;
    column.pane.add(rewritten(answer, text), answer);
    this.#chosen(column);
  }

  // Sets a seed for the next answers: of all columns, or of this one where each has its own.
  pin(column, seed) {
    const shared = this.options.sameSeed;
    const before = shared ? this.options.value.seed : column.setting.seed;
    const set = (text) => {
      if (shared) this.options.use({ seed: text });
      else column.useSeed(text);
      this.settle();
    };
    set(String(seed));
    this.notice.show(`Seed ${seed} is set for the next answers of ${shared ? 'all columns' : within(column.label)}.`, { undo: () => set(before) });
  }

  // Another branch of a column is shown.
  #chosen(column) {
    this.settle();
    void renderAll(column.pane);
  }

  // A column that was added later takes over the conversation of the one that all are compared
  // against, and answers its last prompt.
  join(column) {
    const { messages } = this.board.reference;
    const pane = this.#request(column);
    if (!pane) return;
    const last = messages.findLastIndex(({ role }) => role === 'user');
    column.pane.show(structuredClone(messages.slice(0, last + 1)));
    this.#answer(column, pane, column.pane.add(newAnswer()));
  }

  // What was complained of may be right now.
  #changed() {
    this.notice.settle();
    this.settle();
  }

  #request(column) {
    return this.#requests([column])?.[0];
  }

  // What the settings of columns ask for, or null when one of them cannot be read, which is said.
  /** @returns {RequestPane[] | null} */
  #requests(columns) {
    try {
      const panes = panesOf(columns, this.options);
      this.notice.settle();
      return panes;
    } catch (error) {
      this.notice.complain(error.message);
      return null;
    }
  }

  #answer(column, pane, answer) {
    const messages = conversation(column.messages, answer, this.options.system);
    void this.#run([column], [{ ...pane, messages }]);
  }

  // The panes' answers are the last messages of the columns.
  async #run(chosen, panes) {
    const columns = [...chosen];
    const controller = new AbortController();
    columns.forEach((column, pane) => {
      column.running = { controller, pane, id: null, alone: columns.length === 1 };
      column.pane.lastAnswer.preset = column.setting.preset;
    });
    const answered = answerInto(columns.map((column) => column.pane), { panes }, controller.signal, {
      onOpen: (id) => columns.forEach((column) => { if (column.running) column.running.id = id; }),
      onEvent: (i, name) => this.#received(columns[i], name),
    });
    this.settle();
    this.entry.flush();
    await answered;
    this.settle();
    this.entry.flush();
  }

  #received(column, name) {
    if (name === 'done' || name === 'error') {
      column.running = null;
      this.settle();
    }
    this.entry.touch();
    if (name !== 'delta' || column.figures.textContent === 'waiting') column.showFigures();
  }

  // Stops one column. The server ends its answer; where it cannot, its text is no longer shown.
  async stop(column) {
    const { running, answer } = column;
    if (!running) return;
    if (running.alone || running.id === null) {
      void stopAnswers(running.id, [running.pane], running.controller);
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
    /** @type {Map<AbortController, any[]>} */
    const streams = new Map();
    for (const { running } of this.columns) if (running) streams.set(running.controller, [...(streams.get(running.controller) ?? []), running]);
    for (const [controller, running] of streams) void stopAnswers(running[0].id, running.map(({ pane }) => pane), controller);
    this.blind.stop();
  }

  // Stops at once, since something else is shown.
  leave() {
    for (const { running } of this.columns) running?.controller.abort();
    this.blind.leave();
  }

  // The conversation of a column, as far as this answer, goes on in the chat.
  toChat(column, index) {
    const { tree, messages } = column.pane;
    this.chat.adopt(structuredClone(tree.until(messages[index])), `Continued from ${within(column.label)} of the comparison.`);
    const { system, stop } = this.options.value;
    usePreset(column.setting.preset, column.setting.edits, column.setting.limit, { system, stop, engine: column.setting.engine, emulate: column.setting.emulate !== false });
    $('#view-chat-button').click();
    const { prompt } = this.chat;
    const focus = () => (prompt.offsetParent === null ? requestAnimationFrame(focus) : prompt.focus());
    focus(); // once Gradio shows the tab
  }

  get visible() {
    return this.node.checkVisibility();
  }

  record() {
    return comparisonRecord(this);
  }

  // Takes over columns from elsewhere, with the options that hold for all of them; what was here can
  // be brought back. handle: of the entry that they are kept in, or {}. Whether it did: a blind round
  // must be ended first. stay: whether the words do, until they are closed.
  adopt(columns, options, words, handle, stay = false) {
    if (this.blind.open) {
      this.notice.complain('A blind round waits here for its vote. Vote or reveal, and open the other one again.');
      return false;
    }
    this.entry.flush();
    this.leave();
    const before = { options: this.options.value, handle: this.entry.handle };
    const back = this.board.replace(columns);
    this.options.use(options);
    this.entry.take(handle);
    this.settle();
    this.board.bring(lead);
    this.notice.show(words, { stay, undo: () => {
      this.entry.flush();
      this.leave();
      back();
      this.options.use(before.options);
      this.entry.handle = before.handle;
      this.settle();
    } });
    return true;
  }

  #revealed(round, outcome, best, height) {
    const words = deal(this.columns, round, outcome, best);
    this.settle();
    this.notice.show(words, { more: button('Votes', showVotes), stay: true });
    this.board.bring(height);
    this.board.turnTo(this.columns.find(({ answer }) => answer?.chosen) ?? this.columns[0]);
    this.prompt.focus({ preventScroll: true });
  }

  clear() {
    if (this.blind.open) {
      this.notice.complain('A blind round waits here for its vote. Vote or reveal first.');
      return;
    }
    if (this.columns.some(({ messages }) => messages.length > 0)) this.#clear();
    this.prompt.focus();
  }

  #clear() {
    this.entry.flush();
    this.leave();
    const before = this.columns.map((column) => ({ column, ...column.pane.branches }));
    const { handle } = this.entry;
    for (const column of this.columns) column.pane.show([]);
    this.entry.begin();
    this.settle();
    this.notice.show('Started a new comparison.', { undo: () => {
      this.entry.flush();
      for (const { column, messages, shown } of before) {
        column.pane.show(messages, shown);
        void renderAll(column.pane);
      }
      this.entry.handle = handle;
      this.settle();
    } });
  }

  // Why the same seed may not give the columns the same answers again, or ''.
  get seedDoubt() {
    return seedDoubt(this.columns.map(({ setting }) => (
      areSeveral() ? engineOf(setting.engine)?.seeds_repeat : engine().engine?.seeds.repeat)));
  }

  settle() {
    const { busy, columns, blind } = this;
    if (!busy) this.notice.resume();
    $('#compare-send').hidden = busy;
    $('#compare-stop').hidden = !busy;
    const empty = columns.every((column) => column.messages.length === 0);
    this.node.querySelector('.compare-empty').hidden = !empty || blind.open;
    this.board.node.classList.toggle('bare', empty);
    this.board.node.hidden = blind.open;
    $('#compare-composer').hidden = blind.open;
    this.options.show(columns.map(({ label }) => label), columns.indexOf(this.board.reference), this.seedDoubt);
    for (const column of columns) {
      column.pane.hold(column.running !== null);
      column.ownSeed(!this.options.sameSeed);
      column.invite(!empty && this.board.reference.messages.length > 0);
      column.showFigures();
    }
    this.marks.update(true);
    this.keep();
    touch();
    this.entry.touch();
  }

  // whole: with the conversations, which the archive does not have.
  #state(whole) {
    return {
      columns: this.columns.map(({ setting: value, pane }) => (whole ? { setting: value, ...pane.branches } : { setting: value })),
      reference: this.columns.indexOf(this.board.reference),
      ...this.options.value,
      draft: this.prompt.value,
      round: this.blind.round,
      entry: this.entry.handle,
    };
  }

  keep() {
    save('comparison', this.#state(!this.entry.kept));
  }

  // A reload of this tab goes on with what it shows, whatever another tab has put into the entry.
  #leave() {
    save('comparison', this.#state(!this.entry.current));
    if (this.columns.some(({ messages }) => messages.length > 0)) handOver('comparison', this.#state(true));
  }
}

export function startComparison(chat) {
  void new Comparison(chat).start();
}
