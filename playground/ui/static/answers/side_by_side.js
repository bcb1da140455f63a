// Keeps the turns of columns side by side: the n-th question begins at one height in all of them.

// How far below its own place a question stands, in pixels.
/** @type {WeakMap<HTMLElement, number>} */
const lowered = new WeakMap();

const topOf = (node) => node.getBoundingClientRect().top;

export class SideBySide {
  /**
   * @param {() => HTMLElement[]} logs The conversations that stand beside each other, as there are now.
   * @param {() => void} [moved] Questions may stand elsewhere, though nothing has another size.
   */
  constructor(logs, moved = () => {}) {
    this.logs = logs;
    this.moved = moved;
    this.asked = 0; // the frame in which they are aligned next, 0 for none
    // The last answer grows while it is written, and no question stands below it.
    this.growing = new ResizeObserver(() => this.align());
    this.changing = new MutationObserver(() => this.watch());
  }

  // Watches the conversations that there are now.
  watch() {
    this.growing.disconnect();
    this.changing.disconnect();
    for (const log of this.logs()) {
      this.changing.observe(log, { childList: true });
      if (log.previousElementSibling) this.growing.observe(log.previousElementSibling);
      for (const answer of log.querySelectorAll(':scope > [data-role="assistant"]:not(:last-child)')) this.growing.observe(answer);
    }
    this.align();
  }

  // In the next frame: what is measured is watched.
  align() {
    if (this.asked !== 0) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.#align();
    });
  }

  #align() {
    const logs = this.logs().filter((log) => log.checkVisibility());
    const columns = logs.map((log) => /** @type {HTMLElement[]} */ ([...log.querySelectorAll(':scope > [data-role="user"]')]));
    const tops = columns.map((questions) => questions.map(topOf));
    const beside = new Set(logs.map((log) => log.getBoundingClientRect().left)).size === logs.length; // none below another
    const moved = columns.map(() => 0); // how much lower the rest of a column stands now than when it was measured
    const turns = Math.max(0, ...columns.map(({ length }) => length));
    for (let turn = 0; turn < turns; turn += 1) {
      const own = columns.map((_, i) => (tops[i][turn] ?? -Infinity) + moved[i]);
      const level = Math.max(...own);
      columns.forEach(({ [turn]: question }, i) => {
        if (!question) return;
        const before = lowered.get(question) ?? 0;
        const by = beside ? level - own[i] : 0;
        if (Math.abs(by - before) < 0.5) return;
        question.style.paddingTop = by > 0 ? `${by}px` : '';
        lowered.set(question, by);
        moved[i] += by - before;
      });
    }
    this.moved();
  }
}
