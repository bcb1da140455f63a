// Keeps where a view is scrolled to: it is there again when the view is shown again, though views share
// the page's scroll bar, and after a reload.

import { recall, remember } from './storage.js';

export class ScrollPlace {
  /**
   * @param {string} name By which the place outlives a reload.
   * @param {HTMLElement} scroller The page's own, or a box that scrolls.
   * @param {HTMLElement} view That is shown, or not.
   */
  constructor(name, scroller, view) {
    this.scroller = scroller;
    this.view = view;
    const [kept] = recall(`scrolled.${name}`);
    this.known = Array.isArray(kept); // whether it was left at a place, and not at its end
    const [left = 0, top = 0] = this.known ? kept : [];
    this.left = left;
    this.top = top;
    this.away = true; // whether another view was shown last
    this.coming = false; // whether it is not long enough yet for its place
    this.growing = new ResizeObserver(() => this.grown());
    this.growing.observe(view);
    const page = scroller === document.documentElement;
    if (page) history.scrollRestoration = 'manual';
    this.hears = page ? document : scroller;
    this.hears.addEventListener('scroll', () => { if (this.here && !this.coming) this.scrolled(); }, { passive: true });
    for (const moves of ['wheel', 'touchmove', 'keydown', 'pointerdown']) {
      document.addEventListener(moves, () => this.moved(), { capture: true, passive: true });
    }
    addEventListener('pagehide', () => remember(`scrolled.${name}`, [this.place]));
  }

  // Whether the view is shown, and was when it was last looked at: what scrolls in between is a browser's doing.
  get here() {
    return !this.away && this.view.checkVisibility();
  }

  /** @returns {number[] | null} */
  get place() {
    return [this.left, this.top];
  }

  grown() {
    if (!this.view.checkVisibility()) this.away = true;
    else if (this.away || this.coming) this.comeBack();
  }

  // The reader does something, by which it may move.
  moved() {
    this.coming = false;
  }

  comeBack() {
    this.away = false;
    this.scroller.scrollTo({ left: this.left, top: this.top, behavior: 'instant' });
    this.coming = this.scroller.scrollTop < this.top - 1;
  }

  scrolled() {
    this.left = this.scroller.scrollLeft;
    this.top = this.scroller.scrollTop;
  }
}
