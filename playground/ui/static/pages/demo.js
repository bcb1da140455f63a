// The page /d/<token>: a conversation within what the owner of the link fixed.
//
// The page asks the server again and again whether the link still works and what is left of its
// budget. Whatever comes back, what was written stays; a reload finds it, too, in this browser tab.

import { Pane } from '../answers/pane.js';
import { SideBySide } from '../answers/side_by_side.js';
import { answerInto, renderAll, stopAnswers } from '../answers/streaming.js';
import { conversation } from '../answers/turns.js';
import { newAnswer } from '../answers/versions.js';
import { InSight } from '../compare/in_sight.js';
import { nameModel } from '../engine/model_name.js';
import { progressBar } from '../engine/progress.js';
import { json } from '../lib/api.js';
import { $, fit, isSend, labelEnter, onStop } from '../lib/dom.js';
import { Notice } from '../lib/notice.js';
import { ScrollEnd } from '../lib/scroll_end.js';
import { content, isBlank, number } from '../lib/text.js';
import { startTheme, themeMenu } from '../lib/theme.js';

const calm = 15_000; // ms between looks while everything is well
const keen = 3_000; // and while it is not

const page = $('#demo');
const { token } = page.dataset;
const at = `api/demos/${encodeURIComponent(token)}`;
const place = `kto-playground.demo.${token}`;

function load() {
  try {
    return JSON.parse(sessionStorage.getItem(place) ?? 'null') ?? {};
  } catch {
    return {};
  }
}

class Demo {
  constructor() {
    this.prompt = $('#demo-prompt');
    const logs = [...page.querySelectorAll('[role="log"]')];
    const single = logs.length === 1;
    this.actions = {
      presetName: (name) => name,
      busy: () => this.busy(),
      repeats: () => this.known?.panes.some(({ seed }) => seed !== null) ?? false,
    };
    this.offers = { retry: (index, same) => this.retry(index, same) };
    if (single) this.offers.resume = (index) => this.resume(index);
    Object.assign(this.actions, this.offers);
    this.offering = true; // whether the answers have these buttons
    this.panes = logs.map((log, i) => {
      const actions = Object.assign(Object.create(this.actions), { chosen: (place) => this.#chosen(i, place), reading: () => this.end.leave() });
      return new Pane(log, actions, { alone: true, plain: !single });
    });
    /** @type {{ controller: AbortController, id: string | null } | null} */
    this.running = null; // the stream of the answers under way
    this.known = null; // what the server said of the link last
    this.gone = false;
    this.trouble = '';
    this.loggedOut = false; // where links need a login
    this.notice = new Notice($('#demo-notice'));
    this.progress = progressBar();
    $('#demo-note').after(this.progress.node);
    this.end = new ScrollEnd(`demo.${token}`, document.documentElement, [page, ...logs], $('.dock, .compare-dock'), () => this.messages.length > 0);
  }

  get messages() {
    return this.panes[0].messages;
  }

  start() {
    const kept = load();
    this.panes.forEach((pane, i) => {
      const { messages = kept.messages?.[i] ?? [], shown } = kept.panes?.[i] ?? {}; // of earlier versions: messages
      for (const message of messages) if (message.state === 'streaming') message.state = 'stopped';
      pane.show(messages, shown);
      void renderAll(pane, at);
    });
    new SideBySide(() => this.panes.map(({ log }) => log)).watch();
    const board = page.querySelector('.board');
    if (board) {
      const sight = new InSight(board, () => this.end.grown());
      for (const column of board.children) sight.watch(column);
    }
    this.prompt.value = kept.draft ?? '';
    this.#listen();
    this.#settle();
    fit(this.prompt);
    for (const time of page.querySelectorAll('time')) {
      time.textContent = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(time.dateTime));
    }
    if (matchMedia('(hover: hover)').matches) this.prompt.focus({ preventScroll: true });
    void this.look();
  }

  #listen() {
    $('#demo-composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.send();
    });
    this.prompt.addEventListener('input', () => { fit(this.prompt); this.#keep(); });
    this.prompt.addEventListener('keydown', (event) => {
      if (!isSend(event)) return;
      event.preventDefault();
      this.send();
    });
    labelEnter(this.prompt);
    onStop($('#demo-stop'), $('#demo-send'), () => this.stop());
    $('#demo-new').addEventListener('click', () => this.clear());
    document.addEventListener('keydown', (event) => { if (event.key === 'Escape') this.stop(); });
    document.addEventListener('visibilitychange', () => { if (!document.hidden) void this.look(); });
    addEventListener('online', () => this.look());
    addEventListener('focus', () => { if (this.loggedOut) void this.look(); });
    addEventListener('pagehide', () => this.#keep());
  }

  // Whether nothing can be sent, and why in words.
  get closed() {
    const kept = this.messages.length > 0 ? ' What was written stays on this page.' : '';
    if (this.gone) return `This link is not open any more: its time is over, or its owner closed it.${kept}`;
    if (!this.known?.used_up) return '';
    const { budget, left } = this.known;
    const used = left === 0 ? 'all' : number.format(budget - left);
    const rest = left === 0 ? '' : `; the rest is too little for ${this.panes.length > 1 ? 'an answer in each column' : 'an answer'}`;
    return `This demo has used ${used} of its ${number.format(budget)} tokens${rest}.${kept} Ask who sent you the link for a new one.`;
  }

  send() {
    const text = content(this.prompt.value);
    if (isBlank(text) || this.running || this.closed) return;
    for (const pane of this.panes) pane.add({ role: 'user', content: text });
    this.prompt.value = '';
    fit(this.prompt);
    this.#ask();
  }

  // Asks once more for an answer; in all columns, which are at the same turn and show the same version.
  retry(index, same) {
    if (this.running || this.closed) return;
    const bare = this.panes.every((pane) => pane.isBare(index));
    for (const pane of this.panes) pane.again(pane.messages[index], newAnswer(), bare);
    void this.#run({ new_seed: !same && !bare });
  }

  resume(index) {
    if (this.running || this.closed) return;
    const [pane] = this.panes;
    const answer = pane.messages[index];
    if (index + 1 < pane.messages.length) pane.add(structuredClone(answer), answer);
    void this.#run();
  }

  // Whether an answer is being written, which is then said. Its stream may last a little longer.
  busy() {
    const writing = this.running !== null && this.panes.some(({ messages }) => messages.some((message) => message.role === 'assistant' && message.state === 'streaming'));
    if (writing) this.notice.wait();
    return writing;
  }

  // The other columns show the same version.
  #chosen(chosen, place) {
    const [message, tree] = [this.panes[chosen].messages[place], this.panes[chosen].tree];
    const number = tree.versions(message).indexOf(message);
    this.panes.forEach((pane, i) => {
      if (i !== chosen) pane.choose(pane.tree.versions(pane.messages[place])[number]);
      void renderAll(pane, at);
    });
    this.#settle();
  }

  clear() {
    if (this.running) return;
    this.#change('Started a new conversation.', () => this.panes.forEach((pane) => pane.show([])));
    this.#settle();
    this.prompt.focus();
  }

  // The server ends the answers, so that it counts what they took; where it cannot, the page leaves.
  stop() {
    const { running } = this;
    if (running) void stopAnswers(running.id, this.panes.map((_, i) => i), running.controller);
  }

  #ask() {
    for (const pane of this.panes) pane.add(newAnswer());
    void this.#run();
  }

  async #run(asked = {}) {
    const controller = new AbortController();
    this.running = { controller, id: null };
    this.notice.settle();
    const panes = this.panes.map((pane) => ({ messages: conversation(pane.messages) }));
    this.#settle();
    if (this.panes[0].aside) {
      this.panes[0].reveal();
      this.end.leave();
    } else this.end.show();
    const keeping = setInterval(() => this.#keep(), 1000);
    await answerInto(this.panes, { panes, ...asked }, controller.signal, {
      at,
      onOpen: (id) => { if (this.running) this.running.id = id; },
      onFailure: () => {},
    });
    clearInterval(keeping);
    this.running = null;
    this.#settle();
    await this.look();
  }

  // Does something that can be taken back.
  #change(words, change) {
    const before = this.panes.map((pane) => structuredClone(pane.branches));
    change();
    const undo = () => {
      if (this.running) this.running.controller.abort();
      this.panes.forEach((pane, i) => pane.show(before[i].messages, before[i].shown));
      this.#settle();
    };
    this.notice.show(words, { undo });
  }

  // Asks the server how the link stands.
  async look() {
    clearTimeout(this.timer);
    this.loggedOut = false;
    const first = this.known === null;
    try {
      this.known = await json(at);
      if (first && !this.running) for (const pane of this.panes) pane.draw(); // whether a seed can be repeated
      this.gone = false;
      this.trouble = this.known.engine.reason;
    } catch (error) {
      this.gone = error.kind === 'not_found';
      this.loggedOut = error.kind === 'login'; // until the reader comes back from logging in
      this.trouble = error.message;
    }
    this.#settle();
    clearTimeout(this.timer); // another look may have ended meanwhile
    if (!document.hidden && !this.loggedOut) this.timer = setTimeout(() => this.look(), this.trouble === '' ? calm : keen);
  }

  #settle() {
    const { closed, known } = this;
    const busy = this.running !== null;
    if (!busy) this.notice.resume();
    for (const pane of this.panes) pane.hold(busy);
    $('#demo-send').hidden = busy;
    $('#demo-send').disabled = closed !== '';
    this.prompt.readOnly = closed !== ''; // not disabled: what was typed can still be copied
    $('#demo-stop').hidden = !busy;
    $('#demo-new').hidden = busy || closed !== '' || this.messages.length === 0; // it could not be written again
    const note = $('#demo-note');
    const words = closed || this.trouble;
    if (note.textContent !== words) note.textContent = words;
    note.hidden = words === '';
    this.progress.show(closed ? null : known?.engine.progress);
    if (known) {
      const held = known.held < known.left ? `, ${number.format(known.held)} of them` : ',';
      const left = `${number.format(known.left)} of ${number.format(known.budget)} tokens left`
        + (known.held > 0 ? `${held} held by answers that are being written` : '');
      if ($('#demo-left').textContent !== left) $('#demo-left').textContent = left;
      if (known.engine.label) nameModel(known.engine.label);
    }
    if (!busy) this.#offer(closed === '');
    page.dataset.state = this.gone ? 'gone' : closed ? 'used-up' : known?.engine.state ?? 'unknown';
    this.#keep();
  }

  // Retry and Continue stand below the answers only while they can do something.
  #offer(offering) {
    if (offering === this.offering) return;
    this.offering = offering;
    for (const [name, action] of Object.entries(this.offers)) this.actions[name] = offering ? action : undefined;
    for (const pane of this.panes) pane.draw();
  }

  #keep() {
    try {
      const panes = this.panes.map((pane) => pane.branches);
      sessionStorage.setItem(place, JSON.stringify({ panes, draft: this.prompt.value }));
    } catch {
      // forbidden or full: the conversation is on the page, and only a reload loses it
    }
  }
}

startTheme();
$('#theme').append(themeMenu());
new Demo().start();
document.documentElement.dataset.playground = 'ready';
