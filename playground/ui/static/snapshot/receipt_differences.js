// How two receipts differ, in words. Pure.

import { number, within } from '../lib/text.js';

const shown = 12; // characters of a revision

// What a reader should know of a receipt whose engine is not here any more, or ''.
/**
 * @param {Receipt} receipt
 * @param {ListedEngine[]} engines
 */
export function engineGone({ engine_id: id, engine: name }, engines) {
  if (!id || id === 'default' || engines.length === 0 || engines.some((each) => each.id === id)) return '';
  return `The engine “${within(id)}” (${within(name)}) is not here any more: ${within(engines[0].name)} answers in its place.`;
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const said = (value) => (value === undefined ? 'not sent' : JSON.stringify(value));
const emulatedAs = (value) => (value === undefined ? 'not emulated' : `emulated with ${value}`);
const revision = (sha) => (sha ? sha.slice(0, shown) : 'not reported');

// How the second receipt differs from the first, a sentence each; none when it does not.
export function differences(then, now) {
  const found = [];
  if (then.model_id !== now.model_id) found.push(`Another model: ${within(then.model_id)} then, ${within(now.model_id)} now.`);
  if (then.model_sha !== now.model_sha) found.push(`Another revision of the model: ${revision(then.model_sha)} then, ${revision(now.model_sha)} now.`);
  // Receipts of earlier versions do not have it.
  if (then.quantisation !== undefined && then.quantisation !== now.quantisation) {
    found.push(`Another quantisation of the model: ${then.quantisation || 'not reported'} then, ${now.quantisation || 'not reported'} now.`);
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
