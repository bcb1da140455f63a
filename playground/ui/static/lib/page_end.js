// Keeps the end of the page in sight while it grows, until the reader scrolls away from it.

const near = 60; // pixels from the end that still count as there

export class PageEnd {
  // changed(): whether it is followed may have changed.
  constructor(changed = () => {}) {
    this.followed = true;
    this.scrolling = 0;
    addEventListener('scroll', () => {
      const { scrollHeight, scrollTop, clientHeight } = document.documentElement;
      this.followed = scrollHeight - scrollTop - clientHeight < near;
      changed();
    }, { passive: true });
  }

  // Goes to the end, and stays there.
  show() {
    this.followed = true;
    cancelAnimationFrame(this.scrolling);
    this.scrolling = requestAnimationFrame(() => {
      scrollTo({ top: document.documentElement.scrollHeight, behavior: 'instant' });
    });
  }

  // The page has grown.
  follow() {
    if (this.followed) this.show();
  }
}
