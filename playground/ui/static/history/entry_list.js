// The list of the history: what of an entry is listed and searched, and its row.

import { element } from '../lib/dom.js';
import { menu } from '../lib/menu.js';
import { brief, count, plainName, within } from '../lib/text.js';
import { shownOf } from '../lib/tree.js';
import { readEntry } from '../records/archive.js';

const around = 70; // characters in front of what a search has found
export const kinds = { chat: 'Chat', comparison: 'Comparison' };
export const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const thisYear = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' });
const otherYears = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'long', year: 'numeric' });

// What was said last, in short, by which entries of one title are told apart: the last question, or
// what was answered where that is the title itself.
/** @type {(record: Conversation) => string} */
export function lastSaid({ title, columns }) {
  const said = shownOf(columns[0]);
  const question = brief(said.findLast(({ role }) => role === 'user')?.content ?? '');
  return `“${question === title ? brief(said.at(-1)?.content ?? '') : question}”`;
}

// The titles that more than one of these have.
export function sharedTitles(titled) {
  const [once, shared] = [new Set(), new Set()];
  for (const { title } of titled) (once.has(title) ? shared : once).add(title);
  return shared;
}

// What is listed of an entry: {id, revision, kind, title, last, updated, facts, text, problem}; text is
// what was said, all of it, and `sought` is searched.
export function itemOf(entry) {
  const { id, revision, updated, record, problem } = readEntry(entry);
  if (problem) {
    const title = typeof record?.title === 'string' && brief(plainName(record.title));
    return { id, revision, problem, title: title || 'Unreadable', updated, facts: [], text: '', sought: (title || 'unreadable').toLowerCase() };
  }
  const { kind, title, columns } = record;
  const messages = columns.flatMap((column) => column.messages);
  const models = messages.flatMap((message) => (
    message.role === 'assistant' && message.receipt ? [within(message.receipt.model_id.split('/').at(-1))] : []));
  const facts = [
    kinds[kind], columns.map(({ label }) => within(label)).join(' / '), [...new Set(models)].join(', '),
    count(Math.max(...columns.map((column) => column.messages.filter(({ role }) => role === 'user').length)), 'prompt'),
  ].filter(Boolean);
  const text = messages.map(({ content }) => content).join('\n');
  return { id, revision, kind, title, last: lastSaid(record), updated, facts, text, sought: [title, ...facts, text].join('\n').toLowerCase() };
}

// The items that hold every word of the query, the newest first.
export function search(items, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return [...items].filter(({ sought }) => words.every((word) => sought.includes(word)))
    .sort((a, b) => b.updated - a.updated);
}

// In words, from now.
export function dayOf(time, now = new Date()) {
  const day = new Date(time);
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const days = Math.ceil((midnight.getTime() - day.getTime()) / 86_400_000);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return (day.getFullYear() === now.getFullYear() ? thisYear : otherYears).format(day);
}

// A text with the words of the query marked.
function marked(text, words) {
  if (words.length === 0) return [text];
  const pattern = new RegExp(`(${words.map((word) => word.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')).join('|')})`, 'giu');
  return text.split(pattern).map((part, i) => (i % 2 === 1 ? element('mark', { textContent: part }) : part));
}

// The place of the text that holds the longest word of the query, or nothing.
function excerpt({ text }, words) {
  const [longest = ''] = [...words].sort((a, b) => b.length - a.length);
  const at = longest === '' ? -1 : text.toLowerCase().indexOf(longest);
  if (at < 0) return [];
  const begin = Math.max(0, at - around);
  const part = text.slice(begin, at + longest.length + 2 * around).replace(/\s+/g, ' ').trim();
  return [element('p', { className: 'entry-found' }, begin > 0 ? '…' : '', ...marked(part, words), '…')];
}

// shared: whether another one has its title. actions: {open, rename(item, title), choices(item)}
export function row(item, query, shared, actions) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const open = element('button', { type: 'button', className: 'entry-title', onclick: () => actions.open(item) },
    ...marked(item.title, words));
  open.disabled = item.problem !== undefined;
  const time = element('time', { textContent: clock.format(item.updated), dateTime: new Date(item.updated).toISOString() });
  const main = element('div', { className: 'entry-main' }, open,
    element('p', { className: 'entry-facts', textContent: [...(shared && item.last ? [item.last] : []), ...item.facts].join(' · ') }),
    ...(item.problem ? [element('p', { className: 'entry-problem', textContent: item.problem })] : excerpt(item, words)));
  const node = element('li', { className: 'entry', dataset: { testid: 'entry', id: item.id } }, main, time,
    menu(`More for “${within(item.title)}”`, () => actions.choices(item, () => renaming(node, item, actions))));
  return node;
}

// Puts a field in the place of the title.
function renaming(node, item, actions) {
  const title = node.querySelector('.entry-title');
  const field = element('input', { type: 'text', className: 'entry-name', value: item.title, maxLength: 120 });
  field.setAttribute('aria-label', 'Title');
  let open = true;
  const close = (name) => {
    if (!open) return;
    open = false;
    field.replaceWith(title);
    title.focus();
    actions.rename(item, plainName(name).trim());
  };
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.isComposing) close(field.value);
    else if (event.key === 'Escape') close('');
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  field.addEventListener('blur', () => close(field.value));
  title.replaceWith(field);
  field.select();
  field.focus();
}
