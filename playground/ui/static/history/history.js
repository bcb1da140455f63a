// The tab History: the list of what the archive keeps, and what is done with it.

import { openDialog } from '../lib/dialog.js';
import { $, button, element } from '../lib/dom.js';
import { download } from '../lib/download.js';
import { menu } from '../lib/menu.js';
import { Notice } from '../lib/notice.js';
import { count, number, within } from '../lib/text.js';
import {
  addEntries, allEntries, deleteEntries, entriesOf, onEntries, readEntry, renameEntry,
} from '../records/archive.js';
import { currentRefusal, whenRefusal } from '../records/archive_entry.js';
import { recordMarkdown } from '../records/record_text.js';
import { recordJSON } from '../records/records.js';
import { viewIfDrawn } from '../records/views.js';
import { dayOf, itemOf, row, search, sharedTitles } from './entry_list.js';
import { entriesJSON, entriesMarkdown, fileName, importFiles } from './history_files.js';
import { openEntry } from './recent.js';

const first = 60; // rows that are drawn at once
const quoted = (title) => `“${within(title.replace(/\.$/, ''))}”`;
const entriesIn = (n) => count(n, 'entry', 'entries');

class History {
  constructor(node) {
    this.node = node;
    this.list = $('#history-list');
    this.search = $('#history-search');
    this.items = new Map(); // by id
    /** @type {string | null} */
    this.failure = null; // why there is no list, in words
    this.shown = first;
    this.notice = new Notice($('#history-notice'));
    this.file = element('input', { type: 'file', multiple: true, accept: '.json,.md,.markdown,.txt', hidden: true });
    this.more = menu('More for the history', () => this.#more());
    this.stale = false; // whether what is drawn is out of date
  }

  async start() {
    this.search.addEventListener('input', () => { this.shown = first; this.#show(); });
    this.file.setAttribute('aria-label', 'Files to import');
    this.file.addEventListener('change', () => this.#import([...(this.file.files ?? [])]));
    $('#history-import').after(this.file);
    $('#history-import').addEventListener('click', () => this.file.click());
    $('#history-more').replaceWith(this.more);
    onEntries((ids) => this.#changed(ids));
    whenRefusal(() => this.#showRefusal());
    this.#showRefusal();
    const catchUp = () => (this.stale || this.failure || currentRefusal() || this.items.size === 0) && this.#show();
    new IntersectionObserver(catchUp).observe(this.node);
    this.list.addEventListener('focusout', () => setTimeout(catchUp));
    await this.#load();
  }

  async #load() {
    this.list.setAttribute('aria-busy', 'true');
    try {
      const entries = await allEntries();
      this.items = new Map(entries.map((entry) => [entry.id, itemOf(entry)]));
      this.failure = null;
    } catch ({ message }) {
      this.failure = message;
    }
    this.list.removeAttribute('aria-busy');
    this.#show();
  }

  // Runs what may be refused by the storage, which is then said.
  async #try(run) {
    try {
      await run();
    } catch (error) {
      if (error.name !== 'Refused') throw error;
      this.notice.complain(error.message);
    }
  }

  #changed(ids) {
    if (this.failure) return this.#load();
    return this.#try(async () => {
      const found = await entriesOf(ids);
      for (const id of ids) this.items.delete(id);
      for (const entry of found) this.items.set(entry.id, itemOf(entry));
      this.#show();
    });
  }

  #showRefusal() {
    const problem = $('#history-problem');
    const words = this.failure ?? currentRefusal() ?? '';
    problem.hidden = words === '';
    if (problem.textContent !== words) problem.textContent = words;
    $('#history-rescue').replaceChildren(...(words === '' ? [] : this.#rescue()));
  }

  // What only the page holds can be saved as a file.
  #rescue() {
    const held = ['chat', 'comparison'].flatMap((kind) => viewIfDrawn(kind)?.record() ?? []);
    return held.map((record) => button(`Export the ${record.kind} of this page`, () => (
      download(fileName(record.title, 'json'), 'application/json', recordJSON(record)))));
  }

  #show() {
    const busy = this.list.querySelector('.menu-list:not([hidden]), .entry-name');
    this.stale = busy !== null || !this.node.checkVisibility();
    if (this.stale) return;
    this.#showRefusal();
    const query = this.search.value.trim();
    const found = search(this.items.values(), query);
    const all = this.items.size;
    const shown = query === '' ? entriesIn(all) : `${number.format(found.length)} of ${entriesIn(all)}`;
    $('#history-count').textContent = all === 0 ? '' : shown;
    this.search.disabled = all === 0;
    this.more.hidden = all === 0;
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    const id = /** @type {HTMLElement | null} */ (focused?.closest('.entry') ?? null)?.dataset.id;
    this.list.replaceChildren(...this.#content(found, query));
    if (id && focused) this.list.querySelector(`[data-id="${CSS.escape(id)}"] .${focused.classList[focused.classList.length - 1]}`)?.focus({ preventScroll: true });
  }

  #content(found, query) {
    if (this.failure) {
      return [button('Try again', () => this.#load())];
    }
    if (this.items.size === 0) {
      const blind = viewIfDrawn('comparison')?.blind.open;
      return [element('div', { className: 'history-empty' }, element('h2', { textContent: 'Nothing here yet' }),
        element('p', { textContent: 'What you say in Chat and Compare is kept here by itself, in this browser only. What you exported elsewhere can be imported.' }),
        ...(blind ? [element('p', { textContent: 'The blind round in Compare comes here when it is voted on or revealed.' })] : []))];
    }
    if (found.length === 0) {
      return [element('p', { className: 'note', textContent: `Nothing found for “${query}”.` }),
        button('Clear the search', () => { this.search.value = ''; this.#show(); this.search.focus(); })];
    }
    return [...this.#days(found.slice(0, this.shown), query), ...this.#further(found.length)];
  }

  // A section for each day.
  #days(items, query) {
    const days = new Map();
    const shared = sharedTitles(this.items.values());
    for (const item of items) {
      const day = dayOf(item.updated);
      days.set(day, [...(days.get(day) ?? []), row(item, query, shared.has(item.title), this.#actions)]);
    }
    return [...days].map(([day, rows]) => {
      const section = element('section', {}, element('h2', { textContent: day }), element('ul', {}, ...rows));
      section.setAttribute('aria-label', day);
      return section;
    });
  }

  // More rows, asked for when the end of the list comes into sight.
  #further(length) {
    if (length <= this.shown) return [];
    const more = button(`Show more of ${number.format(length)}`, () => {
      const at = this.shown;
      this.shown += 4 * first;
      this.#show();
      this.#focus(at);
    });
    const watching = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      watching.disconnect();
      this.shown += 4 * first;
      this.#show();
    }, { rootMargin: '600px' });
    watching.observe(more);
    return [more];
  }

  #focus(at) {
    const titles = [...this.list.querySelectorAll('.entry-title')];
    (titles[Math.min(at, titles.length - 1)] ?? this.search).focus();
  }

  get #actions() {
    return {
      open: (item) => this.#try(() => this.#open(item)),
      rename: (item, title) => {
        if (title !== '' && title !== item.title) void this.#try(() => renameEntry(item.id, title));
        else this.#show();
      },
      choices: (item, rename) => {
        const whole = item.problem === undefined;
        return [
          { label: 'Open', hidden: !whole, run: () => this.#try(() => this.#open(item)) },
          { label: 'Rename', hidden: !whole, run: rename },
          { label: 'Share…', hidden: !whole, run: () => this.#with(item, async ({ record }) => (await import('../share/share_window.js')).openShare(record)) },
          { label: 'Export as Markdown', hidden: !whole, run: () => this.#with(item, ({ record }) => (
            download(fileName(item.title, 'md'), 'text/markdown', recordMarkdown(record)))) },
          { label: 'Export as JSON', run: () => this.#with(item, ({ record }, entry) => (
            download(fileName(item.title, 'json'), 'application/json', whole ? recordJSON(record) : entriesJSON([entry])))) },
          { label: 'Delete', run: () => this.#delete([item.id], `Deleted ${quoted(item.title)}.`) },
        ];
      },
    };
  }

  // run(entry, as it is stored)
  #with({ id }, run) {
    return this.#try(async () => {
      const [entry] = await entriesOf([id]);
      if (entry) await run(readEntry(entry), entry);
      else this.notice.complain('This entry is no longer there.');
    });
  }

  #open(item) {
    return this.#with(item, openEntry);
  }

  #delete(ids, words) {
    const at = [...this.list.querySelectorAll('.entry')].findIndex(({ dataset }) => dataset.id === ids[0]);
    return this.#try(async () => {
      const entries = await entriesOf(ids);
      await deleteEntries(ids);
      this.notice.show(words, { undo: () => this.#try(() => addEntries(() => entries)) });
      await this.#changed(ids);
      this.#focus(at);
    });
  }

  #more() {
    const all = (run) => this.#try(async () => run(await allEntries()));
    return [
      { label: 'Export all as JSON', run: () => all((entries) => download('history.json', 'application/json', entriesJSON(entries))) },
      { label: 'Export all as Markdown', run: () => all((entries) => download('history.md', 'text/markdown', entriesMarkdown(entries))) },
      { label: 'Delete all…', run: () => this.#deleteAll() },
    ];
  }

  #deleteAll() {
    const ids = [...this.items.keys()];
    const window = openDialog('Delete the whole history?',
      element('p', { textContent: `${entriesIn(ids.length)} in this browser would be gone. What Chat and Compare show stays there.` }),
      element('div', { className: 'row' },
        button(`Delete ${entriesIn(ids.length)}`, () => {
          window.close();
          void this.#delete(ids, `Deleted ${entriesIn(ids.length)}.`);
        }, 'primary'),
        button('Cancel', () => window.close())));
  }

  #import(files) {
    this.file.value = '';
    if (files.length === 0) return undefined;
    return this.#try(async () => {
      const { added, known, broken } = await importFiles(files);
      const found = added + known;
      const words = [`Imported ${entriesIn(added)}.`];
      if (known > 0) words.push(`${number.format(known)} ${known === 1 ? 'was' : 'were'} here already.`);
      const lines = broken.map(({ name, reason }) => `${within(name)} was left out. ${reason}`);
      const told = { lines, stay: lines.length > 0 };
      if (found === 0) this.notice.complain('Nothing was imported.', told);
      else this.notice.show(words.join(' '), told);
    });
  }
}

export function startHistory(node) {
  void new History(node).start();
}
