// A line that says what was done, with a way back, or why something was not. It goes by itself, unless
// it is to stay, and leaves room for what holds all the time.

import { button, element } from './dom.js';

const lasting = 12_000; // milliseconds
export const inTheWay = 'Stop the answer first.';
export const canWait = 'An answer is being written. The message can be sent after it, or when it is stopped.';

export class Notice {
  constructor(node) {
    this.node = node;
    this.stays = false;
    this.complains = false; // whether it says why something was not done
    this.waits = false; // whether what was in the way is an answer that is being written
    this.timer = 0;
    this.standing = ''; // what it says when there is nothing else to say
  }

  // undo: brings back what was before. more: a further button. lines: what is told one by one. stay:
  // until it is closed or hidden.
  /**
   * @param {string} words
   * @param {NoticeOptions} [options]
   */
  show(words, options = {}) {
    this.#say(words, options, false);
  }

  /**
   * Says why something is not done, until it is.
   * @param {string} words
   * @param {NoticeOptions} [options]
   */
  complain(words, options = {}) {
    this.#say(words, options, true);
  }

  /**
   * @param {string} words
   * @param {NoticeOptions} options
   * @param {boolean} error
   */
  #say(words, { undo, more, lines = [], stay = false }, error) {
    this.node.classList.remove('standing');
    this.node.classList.toggle('error', error);
    this.node.setAttribute('role', error ? 'alert' : 'status');
    const hide = () => this.hide();
    const said = element('span', { textContent: words });
    const text = lines.length === 0 ? said
      : element('div', {}, said, element('ul', {}, ...lines.map((line) => element('li', { textContent: line }))));
    this.node.replaceChildren(text,
      ...(undo ? [button('Undo', () => { hide(); undo(); })] : []),
      ...(more ? [more] : []),
      ...(stay ? [button('Close', hide)] : []));
    this.node.hidden = false;
    this.stays = stay;
    this.complains = error;
    this.waits = false;
    clearTimeout(this.timer);
    if (!stay) this.timer = setTimeout(hide, lasting);
  }

  // Says that an answer is in the way, until it has ended.
  wait(words = inTheWay) {
    this.show(words);
    this.waits = true;
  }

  // The answer that it waited for has ended.
  resume() {
    if (this.waits) this.hide();
  }

  // What it complained of is done now.
  settle() {
    if (this.complains) this.hide();
  }

  hide() {
    clearTimeout(this.timer);
    this.complains = false;
    this.waits = false;
    this.stays = false;
    this.node.classList.remove('error');
    this.node.classList.toggle('standing', this.standing !== '');
    this.node.setAttribute('role', 'status');
    this.node.replaceChildren(element('span', { textContent: this.standing }));
    this.node.hidden = this.standing === '';
  }

  /**
   * Says something as long as it holds, quietly; '' when it does no longer.
   * @param {string} words
   */
  stand(words) {
    const idle = this.node.hidden || this.node.classList.contains('standing');
    this.standing = words;
    if (idle) this.hide();
  }
}
