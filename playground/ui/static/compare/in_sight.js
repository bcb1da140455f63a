// Where not all columns fit beside each other, as on a phone, the board ends where those in sight do,
// however long the others are.

import { $ } from '../lib/dom.js';

const half = 0.5; // of its width: a column of which less is seen is not in sight
const still = 150; // ms without a movement, after which it stands: one that a finger began is not to be cut short

export class InSight {
  /**
   * @param {HTMLElement} board That scrolls.
   * @param {() => void} stands Others may be in sight, and it stands still.
   */
  constructor(board, stands) {
    const seen = new WeakSet();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(stands, still);
    };
    // By their heads, which are in sight however far down the reader is.
    this.watching = new IntersectionObserver((entries) => {
      for (const { target, intersectionRatio } of entries) {
        if (intersectionRatio >= half) seen.add(target);
        else seen.delete(target);
      }
      const heads = [...board.querySelectorAll(':scope > .column > header')];
      const any = heads.some((head) => seen.has(head));
      for (const head of heads) head.parentElement?.classList.toggle('beyond', any && !seen.has(head));
      wait();
    }, { root: board, rootMargin: '10000px 0px', threshold: half });
    board.addEventListener('scroll', wait, { passive: true });
  }

  /** @param {HTMLElement} column */
  watch(column) {
    this.watching.observe($(':scope > header', column));
  }
}
