// A frozen answer's request, to be sent once more, and how two receipts differ. Pure.

import { number } from '../lib/text.js';

const older = ['<|user|>']; // what the server put in front of the reader's own stop sequences, where the receipt does not say
const shown = 12; // characters of a revision

// The value that was asked for, of one parameter. What was sent says it; of what was set and not
// sent, the column's setting does.
function asked(name, { sent, left_out: out = {}, edits = {}, applied = {} }, sampler) {
  if (name in sent) return sent[name];
  if (!(name in out) && applied[name]?.how !== 'emulated') return undefined;
  if (name in edits) return edits[name].to ?? undefined;
  if (name in sampler) return sampler[name];
  return name === 'temperature' ? Number(sent.do_sample !== false) : undefined;
}

// The pane of a request that asks for a column's last answer again, exactly.
export function paneAgain({ messages, setting }, parameters) {
  const answer = messages.at(-1);
  const { receipt, done } = answer;
  const turns = messages.slice(0, -1).filter(({ content }) => content !== '').map(({ role, content }) => ({ role, content }));
  const pane = { sampler: setting.sampler, stop: setting.stop, messages: turns };
  let { system, seed, max_new_tokens: limit } = setting;
  if (receipt) {
    ({ system = '' } = receipt);
    seed = done?.seed ?? receipt.sent.seed ?? seed;
    limit = receipt.sent.max_new_tokens ?? limit;
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
  return pane;
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const said = (value) => (value === undefined ? 'not sent' : JSON.stringify(value));
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
