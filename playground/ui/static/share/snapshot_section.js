// Makes a snapshot of a record: says what its readers will see, and gives its link.

import { addPrompts } from '../answers/receipt.js';
import { json } from '../lib/api.js';
import { alertOf, button, element, note } from '../lib/dom.js';
import { count, number } from '../lib/text.js';
import { Tree } from '../lib/tree.js';
import { reachOf, showLink } from './link_list.js';

const day = 86_400;
/** @type {[number | null, string][]} */
const lives = [[null, 'until you delete it'], [day, 'for a day'], [7 * day, 'for a week'], [30 * day, 'for 30 days']];
const beside = 2_000; // bytes of a request that are not its record

// Whether people log in here: the masthead says who is.
const named = () => document.getElementById('account') !== null;

// What is in it, in words: nobody should be surprised by what a reader sees.
function visible({ kind, columns }) {
  const messages = columns.flatMap((column) => column.messages);
  const answers = messages.filter(({ role }) => role === 'assistant').length;
  // The columns of a comparison were asked the same.
  const asked = count(Math.max(...columns.map((column) => column.messages.filter(({ role }) => role === 'user').length)), 'question');
  const others = messages.length - columns.reduce((sum, { messages: own, shown }) => sum + new Tree(structuredClone(own), shown).path.length, 0);
  const kept = others === 0 ? '' : `, ${number.format(others)} of them other versions that can be leafed to`;
  const said = [`the whole ${kind === 'chat' ? 'conversation' : 'comparison'} (${asked}, ${count(answers, 'answer')}${kept})`];
  const systems = new Set(columns.flatMap(({ setting, messages: own }) => [setting.system, ...own.map(({ receipt }) => receipt?.system ?? '')]));
  systems.delete('');
  if (systems.size > 0) said.push('the system text');
  said.push('the sampler values');
  if (answers > 0) said.push('the receipt of every answer, with the exact prompt, the seed and the figures');
  return `${said.slice(0, -1).join(', ')} and ${said.at(-1)}`;
}

// The record with its prompts, as far as there is room for them, those of the last answers first.
async function complete(record) {
  const whole = structuredClone(record);
  const most = (await json('api/visitor')).max_body_bytes - beside;
  for (const { messages } of whole.columns) await addPrompts(messages);
  const size = (value) => new Blob([JSON.stringify(value)]).size;
  let taken = size(whole);
  for (const { receipt } of whole.columns.flatMap(({ messages }) => messages)) {
    if (taken <= most) break;
    if (receipt?.prompt === undefined) continue;
    taken -= size(receipt.prompt) + size('prompt') + 2;
    delete receipt.prompt;
  }
  return whole;
}

function form(record, created) {
  const title = element('input', { type: 'text', className: 'name-field', maxLength: 200, value: record.title });
  const life = element('select', {}, ...lives.map(([seconds, label]) => new Option(label, String(seconds ?? ''))));
  const hidden = element('input', { type: 'checkbox' });
  const login = named();
  const problem = alertOf();
  const create = element('button', { type: 'submit', className: 'primary', textContent: 'Create the link' });
  const node = element('form', { className: 'share-form' },
    element('label', {}, 'Title', title),
    element('label', { className: 'labelled' }, 'The link works ', life),
    element('label', { className: 'check' }, hidden, element('span', {},
      login ? 'Only for people who log in here' : 'Keep the title out of link previews')),
    note(`A snapshot: whoever opens the link sees ${visible(record)}, as it is now. What you write afterwards is not in it.`),
    problem, element('div', { className: 'row' }, create));
  const offer = (words, className) => Object.assign(create, { textContent: words, className });
  node.addEventListener('input', () => offer('Create the link', 'primary'));
  node.addEventListener('submit', async (event) => {
    event.preventDefault();
    problem.hidden = true;
    create.disabled = true;
    create.textContent = 'Creating…';
    try {
      const body = { record: await complete(record), private: hidden.checked };
      if (title.value.trim() !== '') body.title = title.value.trim();
      if (life.value !== '') body.expires_in_s = Number(life.value);
      created(await json('api/shares', body), hidden.checked && login);
      offer('Create another link', 'second');
    } catch (error) {
      problem.textContent = `No link was created, and nothing is lost. ${error.message}`;
      problem.hidden = false;
      offer('Try again', 'primary');
    }
    create.disabled = false;
  });
  return node;
}

// The section for a record, which is null when nothing was said yet. toLinks(): shows My links.
export function snapshotSection(record, toLinks) {
  if (record === null) {
    return element('div', {}, note('A snapshot is a copy of what was said, which others can read. Nothing was said here yet: ask something first, or share the settings.'));
  }
  const result = element('div', { className: 'made' });
  result.setAttribute('aria-live', 'polite');
  const created = ({ url: address }, restricted) => {
    const who = restricted ? 'People must log in here to open it. ' : reachOf(address).length > 0 ? '' : 'Everybody who has it can open it. ';
    const way = note(`${who}You can delete it under `);
    way.append(button('My links', toLinks), '.');
    showLink(result, 'The link', address, way);
  };
  const writing = document.querySelector('.message[data-state="streaming"]') !== null;
  const voting = record.kind === 'comparison' && document.querySelector('.blind-board:not([hidden])') !== null;
  return element('div', {},
    ...(voting ? [note('The blind answers are not in it: vote or reveal them first.')] : []),
    ...(writing ? [note('An answer is still being written: a link that is made now has what stood there when this window was opened.')] : []),
    form(record, created), result);
}
