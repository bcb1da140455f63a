// How the engine treats each parameter: what it says of itself, and what a test of it found.

import { firstSentence } from '../lib/text.js';
import { findings, proofFor } from './proof.js';

// Of each verdict the words for who asks, and those below a knob.
const verdicts = {
  proven: { words: 'It takes effect.', word: 'tested' },
  weaker: { words: 'It is weaker than OpenAI’s.', word: 'weaker than OpenAI’s' },
  none: { words: 'It does nothing here.', word: 'does nothing here' },
  unclear: { words: 'Whether it takes effect is not clear.', word: 'effect not clear' },
};
/** @type {Record<string, Support>} */
let applied = {}; // empty until an engine has answered

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

// Takes in the engine's state.
/** @param {EngineState} state */
export function engineSays(state) {
  if (state.state === 'unknown') applied = {};
  if (!state.engine) return; // while it is away, what it said last holds
  applied = state.applied;
  proofFor(state.engine, applied);
}

// The parameters that the engine is said to treat so.
/** @param {Support['how']} how */
export const treated = (how) => Object.keys(applied).filter((name) => applied[name].how === how);

// What is known of a parameter without a test, as treatment() gives it.
function said(name) {
  if (!applied[name]) return { words: '', level: 'calm', word: '' };
  const { how, reason } = applied[name];
  if (how === 'unsupported') return { words: `Not applied: ${reason}`, level: 'unsupported', word: `Not applied: ${reason}` };
  if (how === 'emulated') return { words: reason, level: 'said', word: 'emulated' };
  if (reason === '') return { words: 'Applied by the engine itself.', level: 'calm', word: '' };
  return { words: reason, level: 'said', word: firstSentence(reason) };
}

// What a test found of a parameter, in sentences.
/** @param {Finding} found */
export const findingWords = ({ verdict, evidence }) => `${verdicts[verdict].words} ${evidence}`;

/**
 * {words, level, word}, where level is calm (nothing is to be said at the knob), said or unsupported, words
 * are for who asks, and word stands below the knob.
 * @param {string} name
 * @param {boolean} emulate whether the reader lets parameters be emulated
 */
export function treatment(name, emulate = true) {
  if (applied[name]?.how === 'emulated' && !emulate) {
    const lacks = name === 'frequency_penalty' ? 'and the engine’s own is far weaker than OpenAI’s' : 'and the engine has none of its own';
    return { words: `Emulation is switched off below, ${lacks}: it is not sent.`, level: 'unsupported', word: 'off' };
  }
  const untested = said(name);
  const found = findings().find(({ parameter }) => parameter === name);
  if (!found) return untested;
  // What the engine means by it stays worth knowing.
  const words = ['Tested.', findingWords(found), ...(untested.level === 'calm' ? [] : [untested.words])].join(' ');
  const { word } = verdicts[found.verdict];
  if (found.verdict !== 'proven') return { words, level: found.verdict === 'none' ? 'unsupported' : 'said', word };
  const note = untested.level === 'said' ? untested.word : '';
  return { words, level: 'said', word: note.endsWith('.') ? `${note} Tested.` : [note, word].filter(Boolean).join(', ') };
}
