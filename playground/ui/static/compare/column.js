// One column of a comparison: its settings, its figures, and its own conversation.

import { Pane } from '../answers/pane.js';
import { areSeveral, engineGone, engineOf, engineSelect, showEngines } from '../engine/choice.js';
import { $, button, element } from '../lib/dom.js';
import { menu } from '../lib/menu.js';
import { within } from '../lib/text.js';
import { emulatedBy, lacking } from '../presets/edited_values.js';
import { presetName } from '../presets/panel.js';
import { allPresets } from '../presets/presets.js';
import { fields, isChanged, nameOf, presetOf, restoreButton, summary } from '../presets/setting.js';

const edited = '*';
const words = { streaming: 'writing', stopped: 'stopped', failed: 'failed' };

function pace({ ttft_ms: first, tokens_per_second: rate }) {
  return [first !== null && `first ${Math.round(first)} ms`, rate > 0 && `${Math.round(rate)} t/s`].filter(Boolean).join(' · ');
}
const paceTold = 'milliseconds to the first token · tokens per second from there on';

export class Column {
  /**
   * @param {EditedSetting} setting
   * @param {any} board {changed(), retry(column, index, same), rewrite(column, index, text), stop(column),
   *   toChat(column, index), join(column), chosen(column), pin(column, seed), menu(column), complain(words), wait(), reading()}
   */
  constructor(setting, board) {
    this.setting = setting;
    this.board = board;
    this.seedShown = false;
    /** @type {{ controller: AbortController, id: string | null, pane: number, alone: boolean } | null} */
    this.running = null; // the stream that writes this column's answer
    this.index = 0;
    this.label = '';
    this.log = element('div', { className: 'log' });
    this.log.setAttribute('role', 'log');
    this.pane = new Pane(this.log, {
      retry: (index, same) => board.retry(this, index, same),
      rewrite: (index, text) => board.rewrite(this, index, text),
      stop: () => board.stop(this),
      toChat: (index) => board.toChat(this, index),
      busy: () => this.busy(),
      chosen: () => board.chosen(this),
      reading: () => board.reading(),
      pin: (seed) => board.pin(this, seed),
      presetName,
    }, { plain: true });
    this.select = element('select', { className: 'preset-of' });
    this.select.addEventListener('change', () => {
      if (this.select.value === edited) return;
      Object.assign(this.setting, { preset: this.select.value, edits: {}, limit: '' });
      this.#values();
      this.settingChanged();
    });
    this.engineSelect = engineSelect((id) => {
      this.setting.engine = id;
      this.settingChanged();
    });
    this.engineSelect.hidden = !areSeveral();
    this.voted = element('span', { className: 'voted' }); // where its last answer stood in a blind round
    this.figures = element('span', { className: 'figures' });
    this.summary = element('summary');
    this.inputs = element('div');
    this.emulate = element('input', { type: 'checkbox' });
    this.emulate.addEventListener('change', () => {
      this.setting.emulate = this.emulate.checked;
      this.settingChanged();
    });
    this.emulation = element('label', { className: 'line' }, element('span', { textContent: 'emulate what the engine lacks' }), this.emulate);
    this.values = element('details', { className: 'values' }, this.summary, this.inputs);
    this.warning = element('p', { className: 'warning', hidden: true });
    this.verdict = element('p', { className: 'verdict', hidden: true });
    this.invitation = element('p', { className: 'invitation', hidden: true },
      'Answers from the next prompt on. ', button('Answer the last prompt now', () => this.board.join(this)));
    this.node = element('section', { className: 'column' },
      element('header', {},
        element('div', { className: 'title' }, this.select, this.voted, this.figures,
          menu('More for this column', () => this.board.menu(this))),
        this.engineSelect, this.values, this.warning, this.verdict),
      this.log, this.invitation);
    this.#values();
    /** @type {HTMLElement[]} */
    this.heads = [$('.title', this.node), this.engineSelect, this.summary, this.warning, this.verdict];
  }

  get messages() {
    return this.pane.messages;
  }

  // Whether an answer is being written here, which is then said.
  busy() {
    if (this.running) this.board.wait();
    return this.running !== null;
  }

  // The last answer, if the last message is one.
  get answer() {
    const last = this.messages.at(-1);
    return last?.role === 'assistant' ? last : null;
  }

  // The node of the last question, if there is one.
  /** @returns {HTMLElement | null} */
  get lastQuestion() {
    return /** @type {HTMLElement | undefined} */ ([...this.log.querySelectorAll(':scope > [data-role="user"]')].at(-1)) ?? null;
  }

  get name() {
    return nameOf(this.setting);
  }

  // The name of the engine that answers here; '' where there is one alone.
  get engineName() {
    return areSeveral() ? engineOf(this.setting.engine)?.name ?? '' : '';
  }

  // How high the head is while its values are closed, in pixels.
  get headHeight() {
    return this.heads.reduce((sum, part) => sum + (part.hidden ? 0 : part.offsetHeight), 0);
  }

  // Names the column by its place, which it also has as a test's handle.
  place(index, count) {
    this.index = index;
    this.log.dataset.testid = `pane-${index}`;
    this.log.setAttribute('aria-label', `Conversation of column ${index + 1}`);
    this.node.setAttribute('aria-label', `Column ${index + 1} of ${count}`);
    this.node.setAttribute('role', 'group');
    this.select.setAttribute('aria-label', `Preset of column ${index + 1}`);
    this.engineSelect.setAttribute('aria-label', `Engine of column ${index + 1}`);
  }

  #values() {
    const restore = restoreButton(this.setting, () => {
      this.#values();
      this.settingChanged();
      this.summary.focus();
    });
    this.inputs.replaceChildren(
      ...fields(this.setting, this.seedShown, () => this.settingChanged()), this.emulation, restore);
    this.showSetting();
  }

  // Whether the column has a seed of its own, among its values.
  ownSeed(shown) {
    if (this.seedShown === shown) return;
    this.seedShown = shown;
    this.#values();
  }

  useSeed(text) {
    this.setting.seed = text;
    this.#values();
    this.settingChanged();
  }

  // An empty column beside others can catch up.
  invite(others) {
    this.invitation.hidden = !others || this.messages.length > 0;
  }

  settingChanged() {
    this.showSetting();
    this.board.changed();
  }

  showSetting() {
    const options = allPresets().map(({ id, name }) => new Option(within(name), id));
    if (isChanged(this.setting)) options.push(new Option(within(nameOf(this.setting)), edited));
    this.select.replaceChildren(...options);
    this.select.value = isChanged(this.setting) ? edited : presetOf(this.setting).id;
    this.summary.textContent = summary(this.setting);
    $('button', this.values).hidden = !isChanged(this.setting);
    showEngines(this.engineSelect, this.setting.engine);
    const engine = engineOf(this.setting.engine);
    const emulate = this.setting.emulate !== false;
    this.emulate.checked = emulate;
    this.emulation.hidden = emulatedBy(engine).length === 0;
    const missing = lacking(presetOf(this.setting), this.setting.edits, emulate, engine);
    const off = missing.some((name) => emulatedBy(engine).includes(name));
    // Where there is nothing to choose, it was said once when the column came.
    const words = [areSeveral() && engineGone(this.setting.engine), missing.length > 0 && `Not applied ${off ? 'without emulation' : 'by this engine'}: ${missing.join(', ')}.`];
    this.warning.textContent = words.filter(Boolean).join(' ');
    this.warning.hidden = this.warning.textContent === '';
  }

  // The verdict of the comparison, as words under the head.
  say(text, kind = '') {
    this.verdict.hidden = text === '';
    if (this.verdict.textContent !== text) this.verdict.textContent = text;
    this.verdict.dataset.kind = kind;
  }

  // The figures of the last answer, or its state in a word.
  showFigures() {
    const { answer } = this;
    this.node.dataset.state = answer?.state ?? 'empty';
    if (!answer) this.figures.textContent = '';
    else if (answer.done) this.figures.textContent = [words[answer.state], pace(answer.done)].filter(Boolean).join(' · ');
    else if (answer.state === 'streaming' && answer.content === '') this.figures.textContent = 'waiting';
    else this.figures.textContent = words[answer.state] ?? '';
    this.voted.textContent = answer?.letter ? `answer ${answer.letter}${answer.chosen ? ', your choice' : ''}` : '';
    this.figures.title = answer?.done ? `${this.figures.textContent}: ${paceTold}` : ''; // a narrow column cuts it
  }
}
