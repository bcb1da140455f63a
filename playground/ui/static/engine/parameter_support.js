// How the engine treats each parameter: what it says of itself, until it was proven.

import { json } from '../lib/api.js';
import { followedEngine } from './state.js';

const verdicts = { proven: 'Proven', weaker: 'Weaker than OpenAI’s', none: 'Without effect', unclear: 'Not clear' };
/** @type {Record<string, Support>} */
let applied = {}; // empty until an engine has answered
let proof = {}; // findings by parameter, once they were asked for
let engine = '';
let alone = false; // whether it repeats a seed only then

/**
 * When the same seed gives the same answer again, in words.
 * @param {Engine['seeds']} seeds
 */
export function seedWords({ repeat, condition }) {
  if (repeat === 'always') return `The same seed repeats its answer. ${condition}`.trim();
  if (condition !== '') return condition;
  return repeat === 'alone' ? 'The same seed repeats only if nothing else is being generated at the same time.' : 'The same seed does not repeat its answer here.';
}

/**
 * Why the same seed may not give the same answers where several are written at once, or ''.
 * @param {(Engine['seeds']['repeat'] | null | undefined)[]} repeats Of each answer's engine.
 */
export function seedDoubt(repeats) {
  if (repeats.includes('never')) return 'The same seed does not repeat its answer here.';
  return repeats.includes('alone') ? 'A seed repeats an answer here only if nothing else is being generated at the same time.' : '';
}

/**
 * What becomes of a system text.
 * @param {Engine} engine
 */
export function systemWords({ system_role: has, default_system: own }) {
  const where = has ? 'The model has a role for this of its own.' : 'The model has no system role: this goes in front of your first message.';
  return own === '' ? where : `${where} Where this is empty, the model’s own default is sent: “${own}”.`;
}

// Takes in the engine's state. Another engine or model needs a proof of its own.
export function engineSays(state) {
  if (state.state === 'unknown') applied = {};
  if (!state.engine) return; // while it is away, what it said last holds
  applied = state.applied;
  alone = state.engine.seeds.repeat === 'alone';
  const now = [state.engine.name, state.engine.model_id, state.engine.model_sha].join(' ');
  if (now !== engine) proof = {};
  engine = now;
}

// The parameters that the engine is said to treat so.
/** @param {Support['how']} how */
export const treated = (how) => Object.keys(applied).filter((name) => applied[name].how === how);

// {words, level, word}, where level is calm (only worth a look when one is at the knob), said, proven or
// unsupported, and word stands for the words where they are worth a look only for who asks. emulate:
// whether the reader lets parameters be emulated.
export function treatment(name, emulate = true) {
  const found = proof[name];
  const { how, reason } = applied[name] ?? { how: '', reason: '' };
  if (how === 'emulated' && !emulate) {
    const lacks = name === 'frequency_penalty' ? 'and the engine’s own is far weaker than OpenAI’s' : 'and the engine has none of its own';
    return { words: `Emulation is switched off below, ${lacks}: it is not sent.`, level: 'unsupported', word: 'off' };
  }
  if (found) {
    const words = `${verdicts[found.verdict]}${how === 'emulated' ? ', emulated' : ''}: ${found.evidence}.`;
    // What the engine means by it stays worth knowing.
    return { words: reason ? `${words} ${reason}` : words, level: found.verdict === 'none' ? 'unsupported' : 'proven' };
  }
  if (!how) return { words: '', level: 'calm' };
  if (how === 'unsupported') return { words: `Not applied: ${reason}`, level: 'unsupported' };
  if (how === 'emulated') return { words: reason, level: 'said', word: 'emulated' };
  return reason ? { words: reason, level: 'said' } : { words: 'Applied by the engine itself.', level: 'calm' };
}

// How far the proof of the engine is, as {answers, about}, where this server can tell.
export function proofProgress() {
  const id = followedEngine();
  return json(`api/proof${id === null ? '' : `?engine=${encodeURIComponent(id)}`}`);
}

/**
 * Asks the engine's answers instead of its word. Gives the outcome in words; throws in words.
 * @param {AbortSignal} signal ends it
 */
export async function prove(signal) {
  const { findings, seeds_repeat: repeat } = await json('api/proof', { engine: followedEngine() }, signal);
  proof = Object.fromEntries(findings.map((found) => [found.parameter, found]));
  const proven = findings.filter(({ verdict }) => verdict === 'proven').length;
  const seed = repeat ? `and a seed repeats its answer${alone ? ' while it is alone' : ''}` : 'and a seed does not repeat its answer';
  return `${proven} of ${findings.length} parameters are proven, ${seed}.`;
}
