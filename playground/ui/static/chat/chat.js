// The tab Chat: one conversation, its composer, and what is done to its messages.

import { Pane } from '../answers/pane.js';
import { answerInto, renderAll, stopAnswers } from '../answers/streaming.js';
import { conversation } from '../answers/turns.js';
import { beginningOf, newAnswer, rewritten, seedOfRetry } from '../answers/versions.js';
import { engine, followedEngine, onEngine } from '../engine/state.js';
import { patientJson } from '../lib/api.js';
import { $, fit, isSend, labelEnter, onStop, write } from '../lib/dom.js';
import { canWait, Notice } from '../lib/notice.js';
import { ScrollEnd } from '../lib/scroll_end.js';
import { handOver, load, onRefusal, save } from '../lib/storage.js';
import { content, count, isBlank, number, within } from '../lib/text.js';
import { currentRequest, presetName } from '../presets/panel.js';
import { panelSetting } from '../presets/resolved_setting.js';
import { Entry } from '../records/archive_entry.js';
import { chatRecord, isWhole, readSetting, shownMessages } from '../records/records.js';
import { addView } from '../records/views.js';


const perToken = 4; // characters of an English text that make about one token

// Whether the focus is on something that can be seen: what is hidden or replaced loses it.
const focused = () => document.activeElement !== document.body && document.activeElement?.checkVisibility();

export class Chat {
  constructor() {
    const kept = load('chat', {});
    this.kept = kept;
    this.entry = new Entry(kept.entry, () => this.record(), () => this.#keep());
    /** @type {HTMLTextAreaElement} */
    this.prompt = $('#chat-prompt');
    /** @type {HTMLTextAreaElement} */
    this.beginning = $('#chat-beginning');
    this.pane = new Pane($('[data-testid="pane-0"]'), {
      retry: (index, same) => this.retry(index, same),
      resume: (index) => this.resume(index),
      edit: (index, text) => this.edit(index, text),
      rewrite: (index, text) => this.rewrite(index, text),
      remove: (index) => this.remove(index),
      pin: (seed) => this.pin(seed),
      busy: () => !this.#idle(),
      chosen: () => this.#chosen(),
      reading: () => this.end.leave(),
      presetName,
    });
    /** @type {AbortController | null} */
    this.running = null; // the AbortController of the answer under way
    /** @type {string | null} */
    this.stream = null; // its id, null while it is not begun
    /** @type {Setting | null} */
    this.setting = null; // what the last answer was asked for with, all values
    this.notice = new Notice($('#notice'));
    this.end = new ScrollEnd('chat', document.documentElement, [$('#chat .talk')], $('#chat .dock'), () => this.pane.messages.length > 0, () => this.pane.aside?.offsetHeight ?? 0);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.metering = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.growing = undefined;
    /** @type {string | null} */
    this.measured = null; // what the context meter shows the tokens of
  }

  async start() {
    onRefusal((words) => this.notice.stand(words));
    const { messages, shown } = await this.#kept();
    this.pane.show(messages, shown);
    this.prompt.value = load('draft', '');
    this.#begin(load('beginning', ''));
    this.#listen();
    this.#settle();
    this.#render();
    addView('chat', this);
    fit(this.prompt);
    onEngine((state) => this.#engineChanged(state));
    this.#focusPrompt();
  }

  // The conversation that the tab showed before, as it was handed over or as the archive has it.
  /** @returns {Promise<Branches>} */
  async #kept() {
    const { messages, shown, setting } = this.kept;
    if (isWhole(this.kept)) {
      for (const message of messages) if (message.state === 'streaming') message.state = 'stopped';
      this.setting = readSetting(setting);
      return { messages, shown };
    }
    const record = await this.entry.read();
    if (record === null) return { messages: [] };
    const [column] = record.columns;
    this.setting = column.setting;
    return { messages: shownMessages(column.messages), shown: column.shown };
  }

  #listen() {
    $('#composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.send(this.prompt.value);
    });
    this.prompt.addEventListener('input', () => {
      fit(this.prompt);
      save('draft', this.prompt.value);
      this.meter();
    });
    this.prompt.addEventListener('keydown', (event) => {
      if (isSend(event)) {
        event.preventDefault();
        this.send(this.prompt.value);
      }
    });
    this.beginning.addEventListener('input', () => {
      fit(this.beginning);
      save('beginning', this.beginning.value);
    });
    $('#chat-begin-open').addEventListener('click', () => {
      const open = $('#chat-begin').hidden;
      this.#begin(open ? this.beginning.value : '', open);
      (open ? this.beginning : this.prompt).focus();
    });
    labelEnter(this.prompt);
    onStop($('#chat-stop'), $('#chat-send'), () => this.stop());
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.prompt.checkVisibility()) this.stop();
    });
    for (const starter of document.querySelectorAll('.starter')) {
      starter.addEventListener('click', () => this.send(starter.textContent));
    }
    addEventListener('pagehide', () => this.#leave());
  }

  // Sends a new user message. What cannot be sent stays in the composer, and so does a draft when
  // it is not what is sent.
  send(text) {
    if (isBlank(text)) return;
    if (this.running) {
      this.notice.wait(canWait);
      return;
    }
    const request = this.#request();
    if (!request) return;
    if (this.notice.stays || this.pane.messages.length === 0) this.notice.hide();
    const beginning = this.beginning.value.trimEnd();
    this.pane.add({ role: 'user', content: content(text) });
    this.#begin('');
    if (text === this.prompt.value) {
      this.prompt.value = '';
      save('draft', '');
      fit(this.prompt);
    }
    this.#answer(request, beginning);
  }

  // Shows what the next answer begins with, in its own field.
  #begin(text, open = text !== '') {
    this.beginning.value = text;
    save('beginning', text);
    $('#chat-begin').hidden = !open;
    $('#chat-begin-open').setAttribute('aria-expanded', String(open));
    fit(this.beginning);
  }

  // Another version of an answer; what followed stays with the one that it followed.
  retry(index, same) {
    const request = this.#request();
    const { pane } = this;
    const answer = pane.messages[index];
    if (!request || answer.role !== 'assistant') return;
    const seed = seedOfRetry(answer, pane.tree.versions(answer), request.pane.seed ?? null, same);
    const version = newAnswer(beginningOf(answer));
    pane.again(answer, version);
    void this.#run({ ...request, pane: { ...request.pane, seed } }, version);
  }

  // Another version of a question, whose answer begins a branch.
  edit(index, text) {
    const request = this.#request();
    if (!request) return;
    this.pane.add({ role: 'user', content: text }, this.pane.messages[index]);
    this.#answer(request);
  }

  // Another version of an answer, in the reader's own words.
  rewrite(index, text) {
    const answer = this.pane.messages[index];
    if (!this.#idle() || answer.role !== 'assistant') return;
    this.pane.add(rewritten(answer, text), answer);
    this.#chosen();
    this.#focusPrompt();
  }

  // An answer that was gone on with is continued as another version, so that it stays what it was.
  resume(index) {
    const request = this.#request();
    const answer = this.pane.messages[index];
    if (!request || answer.role !== 'assistant') return;
    const last = index + 1 === this.pane.messages.length;
    void this.#run(request, last ? answer : this.pane.add(structuredClone(answer), answer));
  }

  // One version of an answer, or a question with its answers. What followed stays.
  remove(index) {
    if (!this.#idle()) return;
    const { role } = this.pane.messages[index];
    const { gone, restore } = this.pane.remove(index);
    const [first, ...answers] = gone;
    const words = first.role === 'assistant' ? 'Deleted this version of the answer.'
      : answers.length === 0 ? 'Deleted the message.'
        : role === 'assistant' ? 'Deleted the answer and its question.' : `Deleted the message and its ${answers.length === 1 ? 'answer' : count(answers.length, 'answer')}.`;
    this.notice.show(words, { undo: () => {
      this.leave();
      restore();
      this.#chosen();
    } });
    this.#chosen();
    this.#focusPrompt();
  }

  // Sets a seed for the next answers.
  pin(seed) {
    const field = $('#seed');
    const before = field.value;
    write(field, String(seed));
    this.notice.show(`Seed ${seed} is set for the next answers.`, { undo: () => write(field, before) });
  }

  // Another branch is shown than before.
  #chosen() {
    this.#settle();
    this.#render();
  }

  // Begins a new one; what is being written is stopped, and kept with the rest. Gives what brings it back.
  clear() {
    const undo = this.pane.messages.length > 0 ? this.adopt({ messages: [] }, 'Started a new chat.') : () => {};
    this.#focusPrompt();
    return undo;
  }

  // As the reader asks for it: the answer has its figures then.
  stop() {
    if (this.running) void stopAnswers(this.stream, [0], this.running);
  }

  // Stops at once, since something else is shown.
  leave() {
    this.running?.abort();
  }

  #idle() {
    if (this.running) this.notice.wait();
    return !this.running;
  }

  #request() {
    if (!this.#idle()) return null;
    try {
      const request = currentRequest();
      this.notice.settle();
      return request;
    } catch (error) {
      this.notice.complain(error.message);
      return null;
    }
  }

  #answer(request, beginning = '') {
    void this.#run(request, this.pane.add(newAnswer(beginning)));
  }

  /**
   * @param {{ pane: RequestPane, system: string, edited: boolean }} request
   * @param {Answer} answer
   */
  async #run(request, answer) {
    const messages = conversation(this.pane.messages, answer, request.system);
    this.measuring?.abort();
    this.measured = null;
    answer.preset = request.pane.preset;
    answer.edited = request.edited;
    this.setting = panelSetting();
    const running = new AbortController();
    Object.assign(this, { running, stream: null });
    this.#settle();
    if (!focused()) $('#chat-stop').focus({ preventScroll: true });
    if (this.pane.aside) {
      this.pane.reveal();
      this.end.leave();
    } else this.end.show();
    // The answer is over with its last event, and its stream soon after.
    const over = () => {
      if (this.running !== running) return;
      const stopping = document.activeElement === $('#chat-stop');
      this.running = null;
      this.#settle();
      if (stopping) this.#focusPrompt();
    };
    await answerInto([this.pane], { messages, panes: [request.pane] }, running.signal, {
      onOpen: (id) => { if (this.running === running) this.stream = id; },
      onEvent: (_, name) => {
        this.entry.touch();
        this.#grow(answer);
        if (name === 'done' || name === 'error') over();
      },
    });
    over();
  }

  get visible() {
    return this.prompt.checkVisibility();
  }

  record() {
    return chatRecord(this);
  }

  // Takes over a conversation that began elsewhere; the one that was here can be brought back.
  // setting: what it was asked for with. handle: of the entry that it is kept in, {} for one that it
  // need not be kept in as it is; else it gets a new one. undone(): it was. Gives what undoes it.
  /**
   * @param {Branches} branches
   * @param {string} words
   * @param {{ setting?: Setting | null, handle?: Handle, undone?: () => void, stay?: boolean }} [options]
   */
  adopt({ messages, shown }, words, { setting = null, handle, undone, stay = false } = {}) {
    this.entry.flush();
    this.leave();
    const undo = this.#change(words, () => {
      this.setting = setting;
      this.pane.show(messages, shown);
      if (handle) this.entry.take(handle);
      else this.entry.begin();
    }, { undone, stay });
    this.#settle();
    this.end.show();
    this.#render();
    return undo;
  }

  #render() {
    void renderAll(this.pane);
  }

  #change(words, change, { undone = () => {}, stay = false } = {}) {
    const before = structuredClone(this.pane.branches);
    for (const message of before.messages) if (message.role === 'assistant' && message.state === 'streaming') message.state = 'stopped';
    const { setting } = this;
    const { handle } = this.entry;
    change();
    const undo = () => {
      this.leave();
      this.entry.flush();
      this.setting = setting;
      this.entry.handle = handle;
      this.pane.show(before.messages, before.shown);
      undone();
      this.#settle();
      this.#render();
    };
    this.notice.show(words, { undo, stay });
    return undo;
  }

  #settle() {
    const busy = this.running !== null;
    if (!busy) this.notice.resume();
    this.pane.hold(busy);
    $('#chat-send').hidden = busy;
    $('#chat-stop').hidden = !busy;
    const empty = this.pane.messages.length === 0;
    $('.empty').hidden = !empty;
    this.entry.flush();
    this.meter();
  }

  // On a touch screen the focus would open the keyboard.
  #focusPrompt() {
    if (matchMedia('(hover: hover)').matches) this.prompt.focus({ preventScroll: true });
  }

  // whole: with the conversation, which the archive does not have.
  #state(whole) {
    const { handle } = this.entry;
    return whole ? { ...this.pane.branches, setting: this.setting, entry: handle } : { entry: handle };
  }

  #keep() {
    save('chat', this.#state(!this.entry.kept));
  }

  // A reload of this tab goes on with what it shows, whatever another tab has put into the entry.
  #leave() {
    save('chat', this.#state(!this.entry.current));
    if (this.pane.messages.length > 0) handOver('chat', this.#state(true));
  }

  // What a field of the panel was complained of may be right now.
  panelChanged() {
    this.notice.settle();
    this.meter();
  }

  // The context meter: how many tokens the conversation and the draft take, counted by the engine.
  meter() {
    clearTimeout(this.metering);
    this.metering = setTimeout(() => this.#measure(), 300);
  }

  // While an answer is written the meter moves with it, by an estimate.
  /** @param {Answer} answer */
  #grow(answer) {
    this.growing ??= setTimeout(() => {
      this.growing = undefined;
      const total = engine().engine?.max_total_tokens;
      const { receipt, content: text, state } = answer;
      if (state !== 'streaming' || !receipt || !total) return;
      const { prompt_tokens: before, continued = 0 } = receipt;
      this.#showContext(before + Math.ceil((text.length - continued) / perToken), total, '~');
    }, 250);
  }

  #showContext(tokens, total, about = '', dropped = 0) {
    const shown = $('#context-meter');
    const share = tokens / total;
    shown.querySelector('meter').value = share;
    shown.querySelector('span').textContent = `${about}${number.format(tokens)} / ${number.format(total)}`;
    shown.classList.toggle('full', share > 0.9 || dropped > 0);
    shown.title = dropped > 0 ? `${dropped} of the oldest turns do not fit and will be left out.`
      : 'Tokens of the conversation and the draft, of those that the context holds.';
    shown.hidden = false;
  }

  async #measure() {
    if (engine().state !== 'ready' || this.running) return;
    const shown = $('#context-meter');
    const draft = { role: /** @type {'user'} */ ('user'), content: this.prompt.value.trim() };
    const asked = isBlank(draft.content) ? this.pane.messages : [...this.pane.messages, draft];
    const messages = conversation(asked, null, $('#system').value.trim());
    if (!messages.some((message) => message.role === 'user')) {
      this.measuring?.abort();
      this.measured = null;
      shown.hidden = true;
      return;
    }
    const measured = JSON.stringify([messages, engine().engine, followedEngine()]);
    if (measured === this.measured) return;
    this.measured = measured;
    this.measuring?.abort();
    this.measuring = new AbortController();
    try {
      const count = await patientJson('api/tokenize', { messages, engine: followedEngine() }, this.measuring.signal);
      this.#showContext(count.prompt_tokens, count.max_total_tokens, '', count.dropped_turns);
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.kind !== 'too_long') this.measured = null; // the next look asks again
      shown.hidden = error.kind !== 'too_long';
      shown.classList.add('full');
      shown.querySelector('meter').value = 1;
      shown.querySelector('span').textContent = 'too long for the context';
    }
  }

  #engineChanged(state) {
    if (state.state === 'unknown') $('.model-note').textContent = '';
    if (state.state !== 'ready') return;
    $('.model-note').textContent = `${state.engine.label.is_default ? 'Mistral 7B, aligned with KTO.' : `${within(state.engine.label.title)} answers here.`} Pick a preset, and compare what the samplers do.`;
    this.meter();
  }
}
