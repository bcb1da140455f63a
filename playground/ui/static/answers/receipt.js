// What is known about one answer: what was sent and what was not, programs that repeat it, and the
// prompt as the engine got it.
//
// The prompt is not stored with the conversation. After a reload the server renders it again, and
// its hash in the receipt says whether it is the same text.

import { patientJson } from '../lib/api.js';
import { copyButton, element } from '../lib/dom.js';
import { tabs } from '../lib/tabs.js';
import { brief, count, number, unturned } from '../lib/text.js';
import { before as inFrontOf } from '../lib/tree.js';
import { paneAgain } from './request_again.js';
import { conversation } from './turns.js';
import { beginningOf, isContinued } from './versions.js';

const prompts = new Map(); // by the hash that the receipt has

/**
 * The receipt as it is kept: without its prompt.
 * @param {Receipt} received
 * @returns {Receipt}
 */
export function takeReceipt({ prompt, ...receipt }) {
  if (prompt !== undefined) prompts.set(receipt.prompt_sha256, prompt);
  return receipt;
}

// The prompt of an answer. before: the conversation in front of it. Throws in words.
async function promptOf(message, before, alone = false) {
  const { receipt } = message;
  if (prompts.has(receipt.prompt_sha256)) return prompts.get(receipt.prompt_sha256);
  if (alone) throw new Error('The prompt is not kept with this answer.');
  const gone = 'This browser no longer has the prompt of this answer: what stands before it was changed since.';
  if (!receipt.prompt_sha256) throw new Error('This answer is older than the prompts in receipts.');
  const messages = conversation(before, null, receipt.system);
  if (receipt.continued > 0) messages.push({ role: 'assistant', content: [...message.content].slice(0, receipt.continued).join('') });
  const again = await patientJson('api/tokenize', { messages, max_new_tokens: receipt.max_new_tokens ?? receipt.sent.max_new_tokens, engine: receipt.engine_id });
  if (again.prompt_sha256 !== receipt.prompt_sha256) throw new Error(gone);
  prompts.set(receipt.prompt_sha256, again.prompt);
  return again.prompt;
}

// Gives the receipts of these messages, a tree's, their prompts, as far as they are to be had.
export async function addPrompts(messages) {
  for (const [i, message] of messages.entries()) {
    const { receipt } = message;
    if (!receipt || receipt.prompt !== undefined) continue;
    try {
      receipt.prompt = await promptOf(message, inFrontOf(messages, i));
    } catch {
      // its hash is there all the same
    }
  }
}

const value = (number_) => (number_ === null ? '–' : String(number_));
const list = (pairs) => element('dl', {}, ...pairs.flatMap(([name, text]) => [
  element('dt', { textContent: name }), element('dd', { textContent: unturned(String(text)) })]));
const heading = (text) => element('h3', { textContent: text });

const quoted = (words) => `“${brief(words)}”`;

/** @param {Answer} message */
function facts(message) {
  const { done, prefilled, rewritten } = message;
  const receipt = /** @type {Receipt} */ (message.receipt);
  const edits = Object.entries(receipt.edits ?? {}).map(([name, { from, to }]) => `${name} ${value(from)} → ${value(to)}`);
  const pairs = [
    ...(prefilled ? [['beginning', `given with the prompt, not written by the model: ${quoted(beginningOf(message))}`]] : []),
    ...(rewritten ? [['text', 'edited by hand: what follows is of the text that the model wrote']] : []),
    ['preset', `${receipt.preset ?? 'none'}${edits.length > 0 ? ', edited' : ''}`],
    ...(edits.length > 0 ? [['edits', edits.join(', ')]] : []),
    ['engine', receipt.engine],
    ...(receipt.engine_id && receipt.engine_id !== 'default' ? [['engine’s id', receipt.engine_id]] : []),
    ['model', receipt.model_id],
    ['revision', receipt.model_sha ?? 'not reported by the engine'],
    ['quantisation', receipt.quantisation || 'not reported by the engine'],
    ...(receipt.prompt_format ? [['prompt format', receipt.prompt_format.label]] : []),
    ['prompt tokens', number.format(receipt.prompt_tokens)],
    ['turns left out', receipt.dropped_turns],
    ['seed', done?.seed ?? receipt.sent.seed],
    ...(receipt.emulate === false ? [['emulation', 'switched off']] : []),
    ...(receipt.note ? [['note', receipt.note]] : []),
  ];
  if (isContinued(message)) pairs.push(['continued', `behind the first ${count(receipt.continued, 'character')}: this receipt is of what follows`]);
  if (done) {
    pairs.push(
      ['finish reason', done.finish_reason],
      ['tokens', number.format(done.generated_tokens)],
      ['duration', `${(done.duration_ms / 1000).toFixed(2)} s`],
    );
    if (done.ttft_ms !== null) pairs.push(['first token', `${Math.round(done.ttft_ms)} ms`]);
    if (done.tokens_per_second) pairs.push(['speed', `${done.tokens_per_second.toFixed(1)} tokens/s`]);
  }
  return list(pairs);
}

const share = (part, whole) => (whole === 0 ? '–' : `${(100 * part / whole).toFixed(1)} %`);

/**
 * What was applied to the engine's tokens on their way here, and what that took.
 * @param {Receipt} receipt
 * @param {Emulation | null} [took]
 */
function emulation({ emulated = {} }, took) {
  /** @type {[string, any][]} */
  const pairs = Object.entries(emulated);
  if (took) {
    pairs.push(
      ['restarts', number.format(took.restarts)],
      ['accepted', `${share(took.accepted, took.proposed)} of the engine’s ${count(took.proposed, 'token')}`],
      ['error', took.bound === 0 ? 'exact' : `at most ${took.bound.toPrecision(2)} a token on average, as total variation distance`],
      ['added time', `${(took.added_ms / 1000).toFixed(2)} s`],
      ['rereads', took.reread === 0 ? 'none' : `${count(took.reread, 'restart')} read the text so far in other tokens`],
      ['given up', took.given_up_at === null ? 'no' : `after ${count(took.given_up_at, 'token')}: the rest is the engine’s own`],
    );
  }
  return pairs.length === 0 ? [] : [heading('Emulated: applied to the engine’s tokens, not sent'), list(pairs)];
}

function receiptTab(message) {
  const { receipt, done } = message;
  const left = Object.entries(receipt.left_out ?? {});
  // Of what was asked for; receipts from before have no list of it.
  const asked = receipt.asked ?? receipt.sent;
  const ways = Object.entries(receipt.applied).filter(([name, way]) => name in asked && way.reason && !(name in (receipt.left_out ?? {})));
  return [
    facts(message),
    heading('Sent to the engine, with the prompt'),
    element('pre', { textContent: unturned(JSON.stringify(receipt.sent, null, 2)), tabIndex: 0 }),
    ...emulation(receipt, done ? done.emulation : message.emulation),
    ...(left.length > 0 ? [heading('Set, and not sent'), list(left)] : []),
    ...(ways.length > 0 ? [heading('How this engine treats what was asked for'),
      list(ways.map(([name, { how, reason }]) => [name, how === 'unsupported' ? `Not applied. ${reason}` : reason]))] : []),
    copyButton('Copy as JSON', () => {
      const prompt = prompts.get(receipt.prompt_sha256);
      const { prefilled, rewritten } = message; // JSON leaves out what is undefined
      return JSON.stringify({ receipt: prompt === undefined ? receipt : { ...receipt, prompt }, done, prefilled, rewritten }, null, 2);
    }),
  ];
}

// What to know of an answer's programs. asked: whether one of them asks this playground.
/**
 * @param {Receipt} receipt
 * @param {boolean} asked
 */
function programWords({ emulated = {}, max_new_tokens: most = null, sent }, asked) {
  const names = Object.keys(emulated);
  const several = most !== null && sent.max_new_tokens < most;
  if (names.length === 0 && !several) {
    return 'The same prompt, parameters and seed: the same answer where the engine repeats its seeds, up to the stop sequence that ended it. TGI and llama.cpp repeat one only while they write nothing else.';
  }
  const lacks = names.length > 0 ? `does not get ${names.join(' and ')}: that was applied to its tokens on their way here, so the answer will be another one` : 'holds to a limit of so many tokens only: a longer answer is asked for in several requests';
  return asked
    ? `The program “playground” asks this playground, which writes the answer as it is here. The others ask the engine itself, which ${lacks}.`
    : `These programs ask the engine itself, which ${lacks}.`;
}

async function codeTab(message, before) {
  const { receipt } = message;
  const prompt = await promptOf(message, before);
  const setting = { sampler: {}, stop: [], system: '', seed: null, max_new_tokens: null };
  const again = paneAgain({ messages: [...before, message], setting }, Object.keys(receipt.applied));
  const body = { prompt, sent: receipt.sent, engine: receipt.engine_id };
  const asked = (again.messages ?? []).length > 0;
  const { snippets } = await patientJson('api/code', asked ? { ...body, again } : body);
  const shown = tabs('Program', snippets.map((snippet) => ({
    label: snippet.label,
    content: () => [
      ...(snippet.note ? [element('p', { className: 'note', textContent: snippet.note })] : []),
      element('pre', { textContent: snippet.code, tabIndex: 0 }),
      copyButton('Copy the program', () => snippet.code),
    ],
  })));
  const notes = [programWords(receipt, asked)];
  if (receipt.continued > 0) notes.push('The prompt ends inside the answer: what asks the engine prints what follows.');
  if (message.rewritten) notes.push('The text was edited by hand since: they print what the model wrote.');
  return [element('p', { className: 'note', textContent: notes.join(' ') }), shown];
}

// By the format, its turn markers. Nobody can write one: in a message they are made harmless.
const tulu2 = '^<\\|(?:system|user|assistant)\\|>$';
const chatml = '<\\|im_start\\|>(?:system|user|assistant)$';
const mistral = '\\[/?INST\\]';
const turns = {
  tulu2, zephyr: tulu2, chatml, smollm2: chatml, 'mistral-v1': mistral, 'mistral-v3': mistral,
  llama3: '<\\|start_header_id\\|>(?:system|user|assistant)<\\|end_header_id\\|>',
};
// The marks that were made harmless, of any format.
const changed = '‹(?:\\|\\w+\\||/?s|unk|[a-z]+_[a-z]+|reponame|filename)›|⁅/?\\w+⁆';

/**
 * Whether the model was given the system text of its own prompt format, since none was written.
 * @param {Receipt} receipt
 */
export const hasDefaultSystem = ({ system = '', prompt_format: format }) => system === '' && Boolean(format?.default_system);

async function promptTab(message, before, alone) {
  const prompt = await promptOf(message, before, alone);
  const { prompt_tokens: count, prompt_format: format } = message.receipt;
  const marked = new RegExp(`${turns[format?.id] ?? tulu2}|${changed}`, 'gm');
  const parts = [];
  let at = 0;
  let harmless = 0;
  for (const found of prompt.matchAll(marked)) {
    const turn = /^[<[]/.test(found[0]);
    if (!turn) harmless += 1;
    parts.push(unturned(prompt.slice(at, found.index)), element('mark', {
      className: turn ? 'turn' : 'harmless', textContent: found[0],
      title: turn ? 'a turn marker' : 'changed so that it cannot act as a marker',
    }));
    at = found.index + found[0].length;
  }
  parts.push(unturned(prompt.slice(at)));
  const front = format?.bos === '' ? '' : ', the one that the engine puts in front included';
  const words = [`${number.format(count)} tokens${front}.`];
  if (hasDefaultSystem(message.receipt)) words.push('No system text was written, so the model’s own default was sent.');
  if (harmless === 1) words.push('A marker in what was written is changed, so that it cannot act as one.');
  if (harmless > 1) words.push(`${harmless} markers in what was written are changed, so that they cannot act as such.`);
  const text = element('pre', { tabIndex: 0 }, ...parts);
  return [element('p', { className: 'note', textContent: words.join(' ') }), text, copyButton('Copy the prompt', () => prompt)];
}

// The view of one answer. before(): the conversation in front of it. alone: nothing is asked of the
// server, which may not answer everybody.
export function receiptView(message, before, alone = false) {
  return element('section', { className: 'receipt' }, tabs('About this answer', [
    { label: 'Receipt', content: () => receiptTab(message) },
    ...(alone ? [] : [{ label: 'Code', content: () => codeTab(message, before()) }]),
    { label: 'Prompt', content: () => promptTab(message, before(), alone) },
  ]));
}
