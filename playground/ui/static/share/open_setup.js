// Opens a set-up link: asks the server what it sets, sets it, and offers to run its prompt.
//
// Nothing that is on the page gets lost: conversations stay, and a notice brings back what was set.

import { areSeveral, engineOf } from '../engine/choice.js';
import { json } from '../lib/api.js';
import { openDialog } from '../lib/dialog.js';
import { button, element, write } from '../lib/dom.js';
import { quotedStops, unturned, within } from '../lib/text.js';
import { panelState, redrawPanel, usePanel, usePreset } from '../presets/panel.js';
import { addPreset, allPresets, locked, removePreset } from '../presets/presets.js';
import { editable } from '../presets/resolved_setting.js';
import { nameOf, presetOf, summary } from '../presets/setting.js';
import { viewOf } from '../records/views.js';
import { longest, setupText, tabButton } from './setup_link.js';

const paragraph = (className, textContent) => element('p', { className, textContent });

/**
 * False where the address may still be opened later.
 * @param {string} fragment
 * @param {Problem} problem
 */
function refuse(fragment, { message, kind = 'link_broken', retryable }) {
  const window = openDialog('This link was not opened',
    paragraph('problems', message),
    paragraph('note', 'Nothing was changed.'));
  window.dataset.kind = kind;
  if (retryable) {
    window.append(button('Try again', () => { window.close(); void openSetup(null, fragment); }, 'primary'));
  }
  return !retryable && kind !== 'login';
}

const same = (a, b) => a.max_new_tokens === (b.max_new_tokens ?? null)
  && [a, b].every(({ sampler }) => Object.keys(sampler).every((name) => a.sampler[name] === b.sampler[name]));

// A column as it is edited here, and what a reader should know of it. An own preset of the link
// becomes one of this browser, unless it has one of that name.
function place(column, notes, added) {
  const { kind, name, label, started, values, seed, engine, emulate } = column;
  if (kind === 'own') {
    const here = allPresets().find((preset) => preset.kind === 'own' && preset.name === name);
    if (here && !same(started, here)) notes.add(`“${within(name)}” has other values in this browser: the link’s values are used.`);
    if (!here && !locked()) {
      added.push(addPreset({ name, source: 'From a link.', ...started }));
      notes.add(`“${within(name)}” was added to the presets of this browser.`);
    }
  } else if (column.moved) {
    notes.add(`${within(label)} has other values now than when the link was made: the link’s values are used.`);
  }
  const { note, ...made } = editable({ preset: kind === 'server' ? name : null, name: label, ...values, seed, stop: [], system: '', engine, emulate });
  if (note) notes.add(note);
  return made;
}

function setChat(setup, [made]) {
  const before = panelState();
  usePreset(made.preset, made.edits, made.limit, {
    seed: String(setup.seed ?? ''), stop: setup.stop.join('\n'), system: setup.system, engine: made.engine, emulate: made.emulate,
  });
  return () => usePanel(before);
}

// The columns keep their conversations; further ones come back with the way back.
function setComparison(comparison, setup, made) {
  const { board, entry, options } = comparison;
  const before = { options: options.value, handle: entry.handle };
  entry.flush();
  if (made.length < comparison.columns.length) entry.begin(); // what the others say stays in its entry
  const back = board.replace(made.map(({ preset, edits, limit, seed, engine, emulate }, i) => ({
    setting: { preset, edits, limit, seed, engine, emulate },
    messages: structuredClone(comparison.columns[i]?.messages ?? []),
  })), setup.against);
  options.use({
    sameSeed: !setup.own_seeds,
    seed: String(setup.seed ?? ''),
    difference: setup.difference,
    blind: setup.blind,
    system: setup.system,
    stop: setup.stop.join('\n'),
  });
  comparison.settle();
  return () => {
    entry.flush();
    comparison.leave();
    back();
    options.use(before.options);
    entry.handle = before.handle;
    comparison.settle();
  };
}

const seedWords = ({ seed, own_seeds: own, columns }) => (own
  ? `seeds ${columns.map((column) => column.seed ?? 'random').join(', ')}`
  : seed === null ? 'a random seed' : `seed ${seed}`);

function valuesOf(each) {
  const most = presetOf(each).max_new_tokens ?? null;
  return summary(each) + (each.limit === '' && most !== null ? ` · max ${most}` : '');
}

function lines(setup, made) {
  const compared = setup.tab === 'compare';
  const on = ({ engine, emulate }) => (areSeveral() ? ` · ${within(engineOf(engine)?.name ?? '')}` : '') + (emulate ? '' : ' · emulation off');
  return [
    ...made.map((each, i) => `${compared ? `Column ${i + 1}: ` : ''}${within(nameOf(each))}${on(each)} – ${valuesOf(each)}`),
    seedWords(setup),
    ...(setup.stop.length > 0 ? [`stop sequences ${quotedStops(setup.stop)}`] : []),
    ...(compared ? [setup.blind ? 'blind' : `difference: ${{ first: 'first token', words: 'words', off: 'off' }[setup.difference]}`] : []),
  ];
}

// What was set, in short.
function brief(setup, made) {
  return [
    setup.tab === 'chat' ? within(nameOf(made[0])) : `${made.length} columns`,
    seedWords(setup),
    setup.stop.length > 0 && 'stop sequences',
    setup.system !== '' && 'a system text',
    setup.blind && 'blind',
  ].filter(Boolean).join(', ');
}

// Shows what was set, and what a click would send. Gives the window, which Run closes with a word.
function offer(setup, made, notes, busy, said, run) {
  const start = button('Run', () => { window.close('run'); run(); }, 'primary');
  const text = (title, content) => (content === '' ? [] : [
    element('h3', { textContent: title }), element('pre', { textContent: unturned(content), tabIndex: 0 })]);
  const remarks = [...notes];
  if (busy) remarks.push('An answer is being written here. The prompt waits in the composer.');
  else if (said) remarks.push('To run it begins anew here; what was said comes back with Undo, or from the history.');
  const window = openDialog('A set-up from a link',
    element('ul', {}, ...lines(setup, made).map((line) => element('li', { textContent: line }))),
    ...text('System text', setup.system), ...text('Prompt', setup.prompt),
    ...remarks.map((words) => paragraph('note', words)),
    ...(busy ? [] : [paragraph('note', 'The page is set up so. Run sends the prompt.'), start]));
  window.classList.add('link-card');
  if (!busy) start.focus({ preventScroll: true }); // what it sends is read first
  return window;
}

function use(view, setup) {
  const chat = setup.tab === 'chat';
  const [notes, added] = [new Set(), []];
  const made = setup.columns.map((column) => place(column, notes, added));
  const draft = view.prompt.value;
  const back = chat ? setChat(setup, made) : setComparison(view, setup, made);
  if (added.length > 0) redrawPanel();
  if (setup.prompt !== '') write(view.prompt, setup.prompt);
  const undo = () => {
    back();
    added.reverse().forEach((preset) => removePreset(preset));
    if (added.length > 0) redrawPanel();
    if (view.prompt.value === setup.prompt) write(view.prompt, draft);
  };
  const say = (words, stay = false) => view.notice.show(words, { undo, stay });
  const announce = () => say([`Set up from the link: ${brief(setup, made)}.`, ...notes].join(' '), notes.size > 0);
  announce();
  if (setup.prompt === '') return;
  const busy = chat ? view.running !== null : view.busy;
  const messages = chat ? view.pane.messages : view.columns.flatMap((column) => column.messages);
  const window = offer(setup, made, notes, busy, messages.length > 0, () => {
    // What was said in the chat comes back by itself; the columns of a comparison with what they are set to.
    const restore = messages.length > 0 && view.clear();
    view.send(setup.prompt);
    if (view.prompt.value === setup.prompt) return; // it was not sent, and the view says why
    write(view.prompt, draft === setup.prompt ? '' : draft);
    if (view.blind?.open) return;
    view.notice.show('Ran the prompt of the link.', { undo: () => { if (restore) restore(); undo(); } });
  });
  // Its time begins when it can be seen.
  window.addEventListener('close', () => { if (window.returnValue === '') announce(); });
}

const isShown = (fragment) => {
  try {
    return setupText() === fragment;
  } catch {
    return false;
  }
};

// Opens the link whose text this is, or says why not. False when it may be opened later.
export async function openSetup(_, fragment) {
  if (isShown(fragment)) return true;
  let setup;
  try {
    ({ setup } = await json('api/links/read', { link: fragment.slice(0, longest + 1) }));
  } catch (error) {
    return refuse(fragment, error);
  }
  const tab = tabButton(setup.tab);
  if (!tab) return refuse(fragment, { message: `This page has no tab ${setup.tab}.` });
  tab.click();
  if (setup.columns.length === 0) return true;
  const view = await viewOf({ chat: 'chat', compare: 'comparison' }[setup.tab]);
  if (setup.tab === 'compare' && (view.busy || view.blind.open)) {
    const message = 'Answers are being written or voted on in this comparison. Let them end, and try again.';
    return refuse(fragment, { message, kind: 'busy', retryable: true });
  }
  use(view, setup);
  return true;
}
