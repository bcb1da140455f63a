// The columns of a comparison: which there are, in what order, under what names.

import { SideBySide } from '../answers/side_by_side.js';
import { renderAll } from '../answers/streaming.js';
import { $, button } from '../lib/dom.js';
import { ScrollEnd } from '../lib/scroll_end.js';
import { allPresets } from '../presets/presets.js';
import { setting } from '../presets/setting.js';
import { Column } from './column.js';
import { InSight } from './in_sight.js';

export const fewest = 2;
export const most = 4;

// How far below its column's head a message of it stands, with what brings it level with the others.
/** @param {HTMLElement} node */
export function belowHead(node) {
  const column = /** @type {Element} */ (node.closest('.column'));
  const lowered = Number.parseFloat(node.style.paddingTop) || 0;
  return node.getBoundingClientRect().top + lowered - $('header', column).getBoundingClientRect().bottom;
}

export class Board {
  // dock: what stands below. actions: {retry, rewrite, stop, toChat, join, chosen, pin} of a column,
  // changed(), notice(words, undo), complain(words), wait()
  constructor(node, dock, actions) {
    this.node = node;
    this.actions = actions;
    /** @type {Column[]} */
    this.columns = [];
    /** @type {any} */
    this.reference = null; // the column that the others are compared against
    // As high as the highest head, so that the conversations begin side by side.
    this.levelling = new ResizeObserver(() => {
      requestAnimationFrame(() => { // in which the heads may wrap otherwise
        node.style.setProperty('--head', `${Math.max(...this.columns.map((column) => column.headHeight))}px`);
      });
    });
    this.turns = new SideBySide(() => this.columns.map(({ log }) => log), () => this.end.grown());
    this.add = button('Add column', () => this.#addColumn(), 'quiet add-column');
    node.append(this.add);
    this.end = new ScrollEnd('columns', node, [node], dock, () => this.columns.some(({ messages }) => messages.length > 0));
    this.sight = new InSight(node, () => this.end.grown());
  }

  // kept: [{setting, messages, shown}]; reference: a position among them.
  show(kept, reference) {
    for (const { setting: value, ...branches } of kept) this.#insert(value, branches);
    this.reference = this.columns[reference] ?? this.columns[0];
    this.#arrange();
  }

  // The same instead of the columns that are there. Gives what brings those back.
  replace(kept, at = 0) {
    const { columns, reference } = this;
    this.columns = [];
    this.show(kept, at);
    this.widen(null);
    return () => {
      Object.assign(this, { columns, reference });
      this.#arrange();
    };
  }

  #insert(value, { messages, shown }, at = this.columns.length) {
    for (const message of messages) if (message.state === 'streaming') message.state = 'stopped';
    const column = new Column(value, {
      ...this.actions,
      changed: () => { this.#name(); this.actions.changed(); },
      menu: (each) => this.#menu(each),
      reading: () => this.end.leave(),
    });
    column.pane.show(messages, shown);
    void renderAll(column.pane);
    this.columns.splice(at, 0, column);
    for (const part of column.heads) this.levelling.observe(part);
    this.end.observe(column.log);
    this.sight.watch(column.node);
    return column;
  }

  // Puts the columns' nodes into their order and names them by it.
  #arrange() {
    const { node, columns } = this;
    columns.forEach((column, i) => {
      if (node.children[i] !== column.node) node.insertBefore(column.node, node.children[i]);
      column.place(i, columns.length);
    });
    while (node.children[columns.length] !== this.add) node.children[columns.length].remove();
    this.add.hidden = columns.length >= most;
    node.style.setProperty('--columns', columns.length);
    if (!columns.includes(this.reference)) [this.reference] = columns;
    if (!columns.some((column) => column.node.classList.contains('wide'))) this.widen(null);
    this.turns.watch();
    this.#name();
    this.actions.changed();
  }

  // Shows the last question so many pixels below its head.
  bring(height) {
    this.end.hold(() => {
      const question = this.columns[0].lastQuestion;
      return question === null ? 0 : belowHead(question) - height;
    });
  }

  // Brings a column into sight, as far down as the others are.
  turnTo(column) {
    const [{ left, right }, seen] = [column.node, this.node].map((each) => each.getBoundingClientRect());
    this.node.scrollBy({ left: Math.max(0, right - seen.right) || Math.min(0, left - seen.left), behavior: 'instant' });
  }

  // Gives every column a label that no other one has, with its engine where that is not the same for all.
  #name() {
    const differ = new Set(this.columns.map(({ engineName }) => engineName)).size > 1;
    const names = this.columns.map(({ name, engineName }) => (differ ? `${name} · ${engineName}` : name));
    this.columns.forEach((column, i) => {
      const alone = names.filter((name) => name === names[i]).length === 1;
      column.label = alone ? names[i] : `${names[i]} (column ${i + 1})`;
    });
  }

  #menu(column) {
    const at = this.columns.indexOf(column);
    const wide = column.node.classList.contains('wide');
    return [
      { label: wide ? 'Back to all columns' : 'Full width', run: () => this.widen(wide ? null : column) },
      { label: 'Duplicate', run: () => this.duplicate(column), hidden: this.columns.length >= most },
      { label: 'Move left', run: () => this.move(column, at - 1), hidden: at === 0 },
      { label: 'Move right', run: () => this.move(column, at + 1), hidden: at === this.columns.length - 1 },
      { label: 'Remove', run: () => this.remove(column), hidden: this.columns.length <= fewest || column.running !== null },
    ];
  }

  // A new column begins with a preset that no other one has, if there is one.
  #addColumn() {
    const used = new Set(this.columns.map(({ setting: { preset } }) => preset));
    const free = allPresets().find(({ id }) => !used.has(id));
    this.#put(free ? { ...setting(free.id), engine: this.reference.setting.engine } : structuredClone(this.reference.setting), { messages: [] }, this.columns.length);
  }

  duplicate(column) {
    this.#put(structuredClone(column.setting), structuredClone(column.pane.branches), this.columns.indexOf(column) + 1);
  }

  #put(value, branches, at) {
    const added = this.#insert(value, branches, at);
    this.widen(null);
    this.#arrange();
    added.node.scrollIntoView({ inline: 'nearest', block: 'nearest' });
    added.select.focus({ preventScroll: true });
  }

  move(column, to) {
    this.columns.splice(this.columns.indexOf(column), 1);
    this.columns.splice(to, 0, column);
    this.#arrange();
    column.node.scrollIntoView({ inline: 'nearest', block: 'nearest' });
    column.select.focus({ preventScroll: true });
  }

  remove(column) {
    const at = this.columns.indexOf(column);
    this.columns.splice(at, 1);
    this.#arrange();
    this.actions.notice('Removed the column.', () => {
      if (this.columns.length < most) this.columns.splice(at, 0, column);
      this.#arrange();
    });
  }

  // Shows one column over the whole width, or all of them with null.
  widen(column) {
    this.node.classList.toggle('single', column !== null);
    for (const each of this.columns) each.node.classList.toggle('wide', each === column);
  }
}
