// What the test of the samplers found on the engine that is followed. This browser keeps it for as long
// as the same engine has the same model there.

import { json } from '../lib/api.js';
import { load, save } from '../lib/storage.js';
import { dates } from '../lib/text.js';
import { flag, list, object, oneOf, text, whole } from '../lib/validate.js';
import { followedEngine } from './state.js';

const version = 1; // of what is stored
const most = 8; // engines
const longest = 1000; // characters of an evidence

const shape = object({
  version: oneOf(version),
  proofs: list(object({
    engine: text, // its id, '' for the default
    of: text, // what it is true of
    made: whole, // seconds since 1970
    alone: flag, // whether a seed repeats only then
    seeds_repeat: flag,
    findings: list(object({ parameter: text, verdict: oneOf('proven', 'weaker', 'none', 'unclear'), evidence: text })),
  })),
});

/** @type {Proof | null} */
let proof = null;
let about = ''; // what a proof must be of
let alone = false;
const listeners = new Set();

/** @returns {Proof[]} */
function kept() {
  const stored = load('proofs', null);
  try {
    shape(stored, '');
    return stored.proofs;
  } catch {
    return []; // nothing, or of another version
  }
}

const keep = (proofs) => save('proofs', { version, proofs: proofs.slice(-most) });
const id = () => followedEngine() ?? '';

// Takes in what the engine is. What was found of another one, or of another model, holds no more.
/**
 * @param {Engine} engine
 * @param {Record<string, Support>} applied
 */
export function proofFor({ kind, name, model_id: model, model_sha: sha, quantisation, seeds }, applied) {
  alone = seeds.repeat === 'alone';
  const ways = Object.entries(applied).map(([parameter, { how }]) => [parameter, how]);
  const now = JSON.stringify([id(), kind, name, model, sha, quantisation, ways]);
  if (now === about) return;
  about = now;
  const all = kept();
  const still = all.filter((each) => each.engine !== id() || each.of === about);
  if (still.length < all.length) keep(still);
  proof = still.find(({ engine }) => engine === id()) ?? null;
}

// Hears of each proof that is made.
/** @param {() => void} listener */
export function onProof(listener) {
  listeners.add(listener);
}

/** @returns {Finding[]} of the engine, none where it was not tested */
export const findings = () => proof?.findings ?? [];

/** @param {Proof} proof */
function outcome({ made, findings: found, seeds_repeat: repeat, alone: only }) {
  const proven = found.filter(({ verdict }) => verdict === 'proven').length;
  const seed = repeat ? `and a seed repeats its answer${only ? ' if nothing else is being generated' : ''}` : 'and a seed does not repeat its answer';
  return `Tested on ${dates.format(made * 1000)}: ${proven} of ${found.length} parameters are proven, ${seed}.`;
}

// The outcome in words, '' where the engine was not tested.
export const proofWords = () => (proof === null ? '' : outcome(proof));

// How far the proof of the engine is, as {answers, about}, where this server can tell.
export function proofProgress() {
  return json(`api/proof${id() === '' ? '' : `?engine=${encodeURIComponent(id())}`}`);
}

/**
 * Asks the engine's answers instead of its word, anew where they were asked before. Gives the outcome in
 * words; throws in words.
 * @param {AbortSignal} signal ends it
 */
export async function prove(signal) {
  const of = about;
  const engine = id();
  const told = await json('api/proof', { engine: followedEngine(), again: proof !== null }, signal);
  const found = {
    engine, of, alone, made: told.made, seeds_repeat: told.seeds_repeat,
    findings: told.findings.map(({ parameter, verdict, evidence }) => ({ parameter, verdict, evidence: evidence.slice(0, longest) })),
  };
  keep([...kept().filter((each) => each.engine !== engine), found]);
  if (of === about) proof = found; // else another engine is there by now
  for (const listener of listeners) listener();
  return outcome(found);
}
