// Keeps the end of what scrolls in sight while it grows, until the reader moves up; at the end it is
// followed again.
//
// Nothing is asked of a later frame: a frame that was asked for before the reader moved would scroll
// back. What has grown is followed in the frame in which it has, when it is laid out.

import { button } from './dom.js';
import { ScrollPlace } from './scroll_place.js';

const near = 60; // pixels from the end at which moving down arrives there
const doubt = 250; // ms after which a movement that moved nothing, as over another box, counts as none

const upward = new Set(['ArrowUp', 'PageUp', 'Home']);

export class ScrollEnd extends ScrollPlace {
  /**
   * @param {string} name By which the place outlives a reload.
   * @param {HTMLElement} scroller The page's own, or a box that scrolls.
   * @param {HTMLElement[]} grown The view, and what else makes it longer.
   * @param {HTMLElement} dock Above which the way back to the end floats.
   * @param {() => boolean} filled Whether there is anything to follow.
   * @param {() => number} [below] How many pixels of what stands behind the end there are.
   */
  constructor(name, scroller, grown, dock, filled, below = () => 0) {
    super(name, scroller, grown[0]);
    this.filled = filled;
    this.below = below;
    this.followed = !this.known;
    this.height = scroller.scrollHeight;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.doubting = undefined;
    /** @type {(() => number) | null} */
    this.held = null; // how far what is held in sight is from where it was
    this.jump = button('Jump to the latest', () => this.show(), 'quiet jump');
    this.jump.hidden = true;
    dock.append(this.jump);
    this.observe(...grown);
    addEventListener('resize', () => this.grown());
    this.#listen(this.hears);
  }

  // At its end it has none: it follows that.
  get place() {
    return this.followed ? null : super.place;
  }

  // Watches more parts that make it longer.
  observe(...parts) {
    for (const part of parts) this.growing.observe(part);
  }

  // Goes to the end, and stays there.
  show() {
    this.followed = true;
    this.coming = false;
    this.held = null;
    this.grown();
  }

  /**
   * Holds something where it is in sight, whatever comes above it, until the reader moves.
   * @param {() => number} off How many pixels below its place it is.
   */
  hold(off) {
    this.followed = false;
    this.coming = false;
    this.held = off;
    this.grown();
  }

  // Stays where it is, until the reader moves to the end.
  leave() {
    this.followed = false;
    this.held = null;
    this.#settle();
  }

  moved() {
    super.moved();
    this.held = null;
  }

  get #end() {
    const { scrollHeight, clientHeight } = this.scroller;
    return scrollHeight - clientHeight - this.below();
  }

  // To the end; less than nothing beyond it.
  get #left() {
    return this.#end - this.scroller.scrollTop;
  }

  grown() {
    super.grown();
    if (this.away) return;
    if (this.held) this.scroller.scrollBy({ top: this.held(), behavior: 'instant' });
    else if (this.followed && this.filled()) this.scroller.scrollTo({ top: this.#end, behavior: 'instant' });
    this.#settle();
  }

  #settle() {
    if (!this.coming) super.scrolled();
    this.height = this.scroller.scrollHeight;
    this.jump.hidden = this.followed || !this.filled() || this.#left < near;
  }

  #listen(hears) {
    hears.addEventListener('wheel', ({ deltaY }) => { if (deltaY < 0) this.#up(); }, { passive: true });
    hears.addEventListener('keydown', ({ key, shiftKey, target }) => {
      if (!target.matches('input, textarea, select') && (upward.has(key) || (key === ' ' && shiftKey))) this.#up();
    });
    let finger = 0;
    hears.addEventListener('touchstart', ({ touches }) => { finger = touches[0].clientY; }, { passive: true });
    hears.addEventListener('touchmove', ({ touches }) => {
      if (touches[0].clientY > finger) this.#up();
      finger = touches[0].clientY;
    }, { passive: true });
  }

  // The reader moves up: from now on, and not from when it has moved, nothing is followed.
  #up() {
    if (!this.here || !this.followed || this.scroller.scrollTop <= 0) return;
    this.followed = false;
    const from = this.top; // it may have moved already
    clearTimeout(this.doubting);
    this.doubting = setTimeout(() => {
      if (!this.followed && this.scroller.scrollTop >= from) this.show();
    }, doubt);
  }

  scrolled() {
    const { scrollTop, scrollHeight } = this.scroller;
    // What has become shorter moves up by itself.
    if (scrollTop < this.top && scrollHeight >= this.height && this.#left > 1) this.followed = false;
    else if (scrollTop > this.top && this.#left < near) this.followed = this.#left > -near;
    this.#settle();
  }
}
