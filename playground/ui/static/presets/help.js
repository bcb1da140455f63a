// What a field does, in a note: while the pointer is at the field's name or at the word below it, or
// the keyboard at the field, and kept by its “?”. It lies over the panel, above the field: what is read beside the panel stays in sight, and
// nothing moves for it. Unless it is kept, a pointer meets what is below it.

import { $, element } from '../lib/dom.js';
import { closeLayer, openLayer } from '../lib/layers.js';

const intent = 300; // ms that a pointer must stay
const grace = 150; // ms that it may take to the next name
const gap = 10; // pixels

export class Help {
  /** @param {HTMLElement} panel Its fields are `.field` with a `.help`, and a `.ask` to ask for it. */
  constructor(panel) {
    this.panel = panel;
    this.note = element('div', { id: 'field-help', hidden: true });
    this.note.setAttribute('role', 'note');
    /** @type {HTMLElement | null} */
    this.field = null; // the one that is told of
    this.kept = false;
    this.keyed = false; // whether it is there for the keyboard, until a pointer comes
    this.timer = 0;
    this.pointed = false; // whether the focus comes by the pointer
    panel.after(this.note);
    panel.addEventListener('pointerover', (event) => { if (event.pointerType !== 'touch') this.#point(event.target instanceof Element && event.target.closest('.name, .how') ? this.#at(event) : null); });
    panel.addEventListener('pointerleave', () => this.#leave());
    document.addEventListener('pointerdown', () => { this.pointed = true; }, { capture: true });
    document.addEventListener('keydown', () => { this.pointed = false; }, { capture: true });
    panel.addEventListener('focusin', (event) => this.#focus(event));
    panel.addEventListener('focusout', () => { if (!this.kept) this.hide(); });
    panel.addEventListener('click', (event) => this.#click(event));
    panel.addEventListener('scroll', () => this.hide());
    // A browser tells of a pointer that rests, too, where what is below it changes.
    document.addEventListener('pointermove', ({ movementX, movementY }) => { if (this.keyed && (movementX || movementY)) this.hide(); });
    document.addEventListener('pointerdown', ({ target }) => {
      if (this.kept && target instanceof Node && !panel.contains(target) && !this.note.contains(target)) this.hide();
    });
  }

  #at({ target }) {
    return target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest('.field')) : null;
  }

  #point(field) {
    if (this.kept || (field === this.field && !this.note.hidden)) return;
    clearTimeout(this.timer);
    if (field === null) this.#leave();
    else if (this.note.hidden) this.timer = setTimeout(() => this.#show(field), intent);
    else this.#show(field);
  }

  #leave() {
    if (this.kept) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(), grace);
  }

  // In a drawer the note would lie over what is being written beside the keyboard.
  #focus(event) {
    const field = this.#at(event);
    if (field && !this.#drawer && !this.kept && !this.pointed) {
      this.#show(field);
      this.keyed = true;
    }
  }

  #click(event) {
    const field = this.#at(event);
    const again = this.kept && field === this.field;
    if (field && event.target.closest('.ask, .how') && !again) {
      this.#show(field, true);
    } else if (this.kept) this.hide();
  }

  get #drawer() {
    return getComputedStyle(this.panel).position === 'fixed';
  }

  /** @param {HTMLElement} field */
  #show(field, kept = false) {
    if (!field.isConnected || !field.checkVisibility()) return;
    this.hide();
    Object.assign(this, { field, kept });
    this.note.classList.toggle('kept', kept);
    const help = $('.help', field);
    this.note.replaceChildren(...[...help.children].filter(({ textContent }) => textContent !== '').map((part) => element('p', { textContent: part.textContent })));
    this.note.hidden = false;
    field.querySelector('.ask')?.setAttribute('aria-expanded', 'true');
    this.#place(field.getBoundingClientRect(), this.panel.getBoundingClientRect().top + gap);
    openLayer(this.note, () => this.hide(), { entry: kept });
  }

  // Above the field, or below where there is no room in the panel.
  #place(field, top) {
    const { style } = this.note;
    Object.assign(style, { left: `${field.left}px`, width: `${field.width}px` });
    const above = field.top - this.note.offsetHeight - gap;
    style.top = `${above >= top ? above : Math.min(field.bottom + gap, innerHeight - this.note.offsetHeight - gap)}px`;
  }

  hide() {
    clearTimeout(this.timer);
    this.kept = false;
    this.keyed = false;
    this.note.hidden = true;
    closeLayer(this.note);
    this.field?.querySelector('.ask')?.setAttribute('aria-expanded', 'false');
  }
}
