// The section Demo of the window Share: makes a link under which others may try the set-up, and lists
// one's own with what their answers have taken.

import { areSeveral, engineOf } from '../engine/choice.js';
import { engine } from '../engine/state.js';
import { address, change, json } from '../lib/api.js';
import { $, alertOf, button, copyButton, element, note } from '../lib/dom.js';
import { dates, number, within } from '../lib/text.js';
import { wholeNumber } from '../lib/values.js';
import { none } from '../presets/presets.js';
import { columnSetting, labelOf, panelSetting } from '../presets/resolved_setting.js';
import { viewIfDrawn } from '../records/views.js';
import { linkList, openLink, showLink } from './link_list.js';

const day = 86_400;
/** @type {[number | null, string][]} */
const lives = [[null, 'until you switch it off'], [day, 'for a day'], [7 * day, 'for a week'], [30 * day, 'for 30 days']];
const usualBudget = 20_000;
const date = (seconds) => dates.format(new Date(1000 * seconds));
const addressOf = ({ token }) => address(`d/${token}`);

// The settings of the tab that is seen: one in Chat, a column's each in Compare.
function settings() {
  const comparison = viewIfDrawn('comparison');
  if (!comparison?.visible) return [panelSetting()];
  return comparison.columns.map(({ setting }) => columnSetting(setting, comparison.options.value));
}

function paneOf({ preset, name, sampler, max_new_tokens: limit, seed, stop, engine, emulate }) {
  const own = name === none.name ? null : { name, sampler, max_new_tokens: null };
  return { preset: preset ?? own, sampler, max_new_tokens: limit, seed, stop, engine, emulate };
}

function fixes(setting) {
  const { sampler, max_new_tokens: limit, seed } = setting;
  const set = Object.entries(sampler).map((pair) => pair.join(' '));
  if (limit !== null) set.push(`max ${limit}`);
  if (seed !== null) set.push(`seed ${seed}`);
  if (!setting.emulate) set.push('emulation off');
  const on = setting.engine === null ? '' : ` · ${within(engineOf(setting.engine)?.name ?? '')}`;
  return `${within(labelOf(setting))}${on}: ${set.join(' · ') || 'the engine’s own choice'}`;
}

// What becomes of the system text. Where there are several engines, each column's may do its own.
function systemFact(system) {
  if (system !== '') return `the system text, which visitors can read: “${system}”`;
  if (areSeveral()) return 'no system text: a model that has a default of its own gets that';
  return engine()?.engine?.default_system ? 'no system text: the model’s own default is sent' : 'no system text';
}

const labelled = (label, field) => element('label', {}, label, field);

function form(made) {
  const fixed = settings();
  const [{ system }] = fixed;
  const title = element('input', { type: 'text', className: 'name-field', maxLength: 120, required: true, value: `Try ${fixed.map(labelOf).join(', ')}`.slice(0, 120) });
  const budget = element('input', { type: 'text', className: 'name-field', inputMode: 'numeric', value: String(usualBudget) });
  const limit = element('input', { type: 'text', className: 'name-field', inputMode: 'numeric', placeholder: 'as the presets say, else 1024' });
  const life = element('select', {}, ...lives.map(([seconds, label]) => new Option(label, String(seconds ?? ''))));
  const problem = alertOf();
  const create = element('button', { type: 'submit', className: 'primary', textContent: 'Create the demo link' });
  const node = element('form', { className: 'share-form demo-form' },
    note('A demo: whoever opens the link can write to the model of this server, with exactly these settings:'),
    element('ul', {}, ...fixed.map((setting) => element('li', { textContent: fixes(setting) })),
      element('li', { textContent: systemFact(system) })),
    labelled('Title, which visitors read first', title),
    labelled('Tokens that all answers together may take', budget),
    labelled('Tokens that one answer may take', limit),
    element('label', { className: 'labelled' }, 'The link works ', life),
    problem, element('div', { className: 'row' }, create));
  // Once there is a link, its Copy is what comes next.
  const offer = (words, className) => Object.assign(create, { textContent: words, className });
  node.addEventListener('input', () => offer('Create the demo link', 'primary'));
  node.addEventListener('submit', async (event) => {
    event.preventDefault();
    problem.hidden = true;
    create.disabled = true;
    try {
      const body = { title: title.value, panes: fixed.map(paneOf), system, budget_tokens: wholeNumber(budget.value, 'The budget', 1) };
      const most = wholeNumber(limit.value, 'The limit of an answer', 1);
      if (most !== null) body.max_new_tokens = most;
      if (life.value !== '') body.expires_in_s = Number(life.value);
      made(await json('api/demos', body));
      offer('Create another demo link', 'second');
    } catch (error) {
      problem.textContent = `No link was created. ${error.message}`;
      problem.hidden = false;
    }
    create.disabled = false;
  });
  return node;
}

function facts({ spent, budget, left, held, enabled, used_up: usedUp, expired, expires, created }) {
  const state = expired ? `over since ${date(expires)}` : !enabled ? 'off' : usedUp ? 'used up' : 'on';
  return [
    state, `${number.format(spent)} of ${number.format(budget)} tokens spent, ${number.format(left)} left`,
    held > 0 && `${number.format(held)} held by running answers`,
    !expired && expires !== null && `works until ${date(expires)}`, `made ${date(created)}`,
  ].filter(Boolean).join(' · ');
}

function row(demo, again) {
  const problem = alertOf();
  const run = (words, act) => async () => {
    problem.hidden = true;
    try {
      await act();
      again(words);
    } catch (error) {
      if (error.kind === 'not_found') {
        again('It was deleted already.');
        return;
      }
      problem.textContent = error.message;
      problem.hidden = false;
    }
  };
  const path = `api/demos/${demo.token}`;
  const turn = button(demo.enabled ? 'Switch off' : 'Switch on', run(
    `Switched “${within(demo.title)}” ${demo.enabled ? 'off' : 'on'}.`, () => change('PATCH', path, { enabled: !demo.enabled })));
  turn.setAttribute('aria-label', `${turn.textContent} ${demo.title}`);
  const remove = button('Delete', () => {
    remove.replaceWith(sure);
    $('button', sure).focus();
  });
  remove.setAttribute('aria-label', `Delete ${demo.title}`);
  const sure = element('span', { className: 'sure' }, 'It stops working for good. ',
    button('Delete it', run(`Deleted “${within(demo.title)}”.`, () => change('DELETE', path))), ' ',
    button('Keep it', () => {
      sure.replaceWith(remove);
      remove.focus();
    }));
  const item = element('li', { dataset: { state: demo.expired ? 'expired' : demo.enabled ? 'on' : 'off' } },
    element('p', { className: 'title', textContent: demo.title }),
    element('p', { textContent: facts(demo) }),
    element('div', { className: 'row' }, openLink(addressOf(demo), demo.title), copyButton('Copy', () => addressOf(demo)), demo.expired ? '' : turn, remove), problem);
  return item;
}

// The list of one's own demo links.
export const myDemos = () => linkList(async () => (await json('api/demos')).demos, row,
  (demos) => (demos.length > 0 ? [] : [note('There are no demo links of yours yet.')]));

export function demoSection() {
  const result = element('div', { className: 'made' });
  result.setAttribute('aria-live', 'polite');
  const mine = myDemos();
  mine.node.id = 'my-demos';
  void mine.show();
  const made = (demo) => {
    showLink(result, 'The link is there', addressOf(demo));
    void mine.show();
  };
  return element('div', { className: 'demos' }, form(made), result,
    element('h3', { textContent: 'Your demo links' }), mine.node);
}
