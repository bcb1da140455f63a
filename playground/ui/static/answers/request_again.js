// An answer's request, to be sent once more: what its receipt says of it. Pure.

import { conversation } from './turns.js';

const older = ['<|user|>']; // what the server put in front of the reader's own stop sequences, where the receipt does not say

// What engines call what is asked for here under another name.
const others = { repetition_penalty: ['repeat_penalty'], max_new_tokens: ['n_predict', 'max_tokens'] };

// What was sent of a value, under whatever name; undefined where nothing was.
const sentAs = (sent, name) => [name, ...(others[name] ?? [])].map((each) => sent[each]).find((value) => value !== undefined);

// The value that was asked for, of one parameter, where the receipt is older than its `asked`. What
// was sent says it; of what was set and not sent, the column's setting does.
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

// The pane of a request that asks for a column's last answer again, exactly. ids: of the engines
// that there are here.
export function paneAgain({ messages, setting }, parameters, ids = []) {
  const answer = messages.at(-1);
  const { receipt, done } = answer;
  const turns = conversation(messages.slice(0, -1));
  /** @type {RequestPane} */
  const pane = { sampler: setting.sampler, stop: setting.stop, messages: turns };
  let { system, seed, max_new_tokens: limit } = setting;
  if (receipt) {
    ({ system = '' } = receipt);
    seed = done?.seed ?? receipt.sent.seed ?? seed;
    limit = receipt.max_new_tokens ?? sentAs(receipt.sent, 'max_new_tokens') ?? limit;
    const needed = receipt.prompt_format?.stop ?? older;
    pane.stop = (receipt.sent.stop ?? []).filter((each) => !needed.includes(each));
    pane.sampler = receipt.asked ?? Object.fromEntries(parameters.map((name) => [name, asked(name, receipt, setting.sampler)])
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
