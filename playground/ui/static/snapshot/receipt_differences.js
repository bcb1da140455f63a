// A frozen answer's request, to be sent once more, and how two receipts differ. Pure.

import { number } from '../lib/text.js';

const older = ['<|user|>']; // what the server put in front of the reader's own stop sequences, where the receipt does not say
const shown = 12; // characters of a revision

// What engines call what is asked for here under another name.
const others = { repetition_penalty: ['repeat_penalty'], max_new_tokens: ['n_predict', 'max_tokens'] };

// What was sent of a value, under whatever name; undefined where nothing was.
const sentAs = (sent, name) => [name, ...(others[name] ?? [])].map((each) => sent[each]).find((value) => value !== undefined);

// The value that was asked for, of one parameter. What was sent says it; of what was set and not
// sent, the column's setting does.
function asked(name, { sent, left_out: out = {}, edits = {}, applied = {}, emulated = {} }, sampler) {
  if (name in emulated) return emulated[name];
  const value = sentAs(sent, name);
  if (value !== undefined) return name === 'top_k' && value < 0 ? undefined : value; // as some say that it is unset
  if (!(name in out) && applied[name]?.how !== 'emulated') return undefined;
  if (name in edits) return edits[name].to ?? undefined;
  if (name in sampler) return sampler[name];
  return name === 'temperature' ? Number(sent.do_sample !== false) : undefined;
}

// The engine that is to answer again: that of the receipt, or else of the setting, where there is
// such a one here. ids: of those that there are.
/**
 * @param {Receipt | null} receipt
 * @param {Setting} setting
 * @param {string[]} ids
 */
const engineAgain = (receipt, setting, ids) => [receipt?.engine_id, setting.engine].find((id) => id && ids.includes(id));

// What a reader should know of a receipt whose engine is not here any more, or ''.
/**
 * @param {Receipt} receipt
 * @param {ListedEngine[]} engines
 */
export function engineGone({ engine_id: id, engine: name }, engines) {
  if (!id || id === 'default' || engines.length === 0 || engines.some((each) => each.id === id)) return '';
  return `The engine “${id}” (${name}) is not here any more: ${engines[0].name} answers in its place.`;
}

// The pane of a request that asks for a column's last answer again, exactly. ids: of the engines
// that there are here.
export function paneAgain({ messages, setting }, parameters, ids = []) {
  const answer = messages.at(-1);
  const { receipt, done } = answer;
  const turns = messages.slice(0, -1).filter(({ content }) => content !== '').map(({ role, content }) => ({ role, content }));
  /** @type {RequestPane} */
  const pane = { sampler: setting.sampler, stop: setting.stop, messages: turns };
  let { system, seed, max_new_tokens: limit } = setting;
  if (receipt) {
    ({ system = '' } = receipt);
    seed = done?.seed ?? receipt.sent.seed ?? seed;
    limit = receipt.max_new_tokens ?? sentAs(receipt.sent, 'max_new_tokens') ?? limit;
    const needed = receipt.prompt_format?.stop ?? older;
    pane.stop = (receipt.sent.stop ?? []).filter((each) => !needed.includes(each));
    pane.sampler = Object.fromEntries(parameters.map((name) => [name, asked(name, receipt, setting.sampler)])
      .filter(([, value]) => value !== undefined));
    if (receipt.continued > 0) {
      turns.push({ role: 'assistant', content: [...answer.content].slice(0, receipt.continued).join('') });
    }
  }
  if (system !== '') turns.unshift({ role: 'system', content: system });
  if (seed !== null) pane.seed = seed;
  if (limit !== null) pane.max_new_tokens = limit;
  const engine = engineAgain(receipt, setting, ids);
  if (engine) pane.engine = engine;
  if ((receipt ?? setting).emulate === false) pane.emulate = false;
  return pane;
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const said = (value) => (value === undefined ? 'not sent' : JSON.stringify(value));
const emulatedAs = (value) => (value === undefined ? 'not emulated' : `emulated with ${value}`);
const revision = (sha) => (sha ? sha.slice(0, shown) : 'not told');

// How the second receipt differs from the first, a sentence each; none when it does not.
export function differences(then, now) {
  const found = [];
  if (then.model_id !== now.model_id) found.push(`Another model: ${then.model_id} then, ${now.model_id} now.`);
  if (then.model_sha !== now.model_sha) found.push(`Another revision of the model: ${revision(then.model_sha)} then, ${revision(now.model_sha)} now.`);
  // Receipts of earlier versions do not have it.
  if (then.quantisation !== undefined && then.quantisation !== now.quantisation) {
    found.push(`Another quantisation of the model: ${then.quantisation || 'not told'} then, ${now.quantisation || 'not told'} now.`);
  }
  if (then.engine !== now.engine) found.push(`Another engine: ${then.engine} then, ${now.engine} now.`);
  const [before, after] = [then.prompt_format?.label, now.prompt_format?.label];
  if (before && after && before !== after) found.push(`Another prompt format: ${before} then, ${after} now.`);
  for (const name of new Set([...Object.keys(then.sent), ...Object.keys(now.sent)])) {
    if (same(then.sent[name], now.sent[name])) continue;
    found.push(`${name}: ${said(then.sent[name])} then, ${said(now.sent[name])} now.`);
  }
  // Receipts of earlier versions do not have it.
  if (then.emulated !== undefined) {
    const [was, is] = [then.emulated, now.emulated ?? {}];
    for (const name of new Set([...Object.keys(was), ...Object.keys(is)])) {
      if (!same(was[name], is[name])) found.push(`${name}: ${emulatedAs(was[name])} then, ${emulatedAs(is[name])} now.`);
    }
  }
  for (const [name, way] of Object.entries(now.applied)) {
    const how = then.applied[name]?.how;
    if (how !== undefined && how !== way.how) {
      const words = (one) => (one === 'unsupported' ? 'not applied' : one);
      found.push(`${name} was ${words(how)} then, and is ${words(way.how)} now.`);
    }
  }
  if (then.prompt_sha256 !== now.prompt_sha256) {
    found.push(`Another prompt: ${number.format(then.prompt_tokens)} tokens then, ${number.format(now.prompt_tokens)} now.`);
  } else if (then.prompt_tokens !== now.prompt_tokens) {
    found.push(`The same prompt is ${number.format(then.prompt_tokens)} tokens then, ${number.format(now.prompt_tokens)} now.`);
  }
  if (then.dropped_turns !== now.dropped_turns) found.push(`Turns left out: ${then.dropped_turns} then, ${now.dropped_turns} now.`);
  return found;
}
