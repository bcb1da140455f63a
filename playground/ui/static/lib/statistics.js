// The figures of comparisons. Pure.

import { words } from './diff.js';

// Wilson's score interval of a share, as [low, high] (E. B. Wilson, Probable Inference, the Law of
// Succession, and Statistical Inference, JASA 22, 1927). z = 1.96 for 95 %.
export function wilson(successes, trials, z = 1.96) {
  if (trials === 0) return [0, 1];
  const share = successes / trials;
  const square = (z * z) / trials;
  const centre = share + square / 2;
  const spread = z * Math.sqrt((share * (1 - share)) / trials + square / (4 * trials));
  return [Math.max(0, (centre - spread) / (1 + square)), Math.min(1, (centre + spread) / (1 + square))];
}

function grams(text, n) {
  const all = words(text.toLowerCase()).map((word) => word.text).filter((word) => /[\p{L}\p{N}]/u.test(word));
  return Array.from({ length: Math.max(0, all.length - n + 1) }, (_, i) => all.slice(i, i + n).join(' '));
}

// Distinct-n of several texts: different n-grams of words ÷ all of them (Li et al., A
// Diversity-Promoting Objective Function for Neural Conversation Models, NAACL 2016). null without any.
export function distinct(texts, n) {
  const all = texts.flatMap((text) => grams(text, n));
  return all.length === 0 ? null : new Set(all).size / all.length;
}

// How much two texts share: word pairs that stand in both ÷ those that stand in either (Jaccard
// index of their bigrams). 1 for the same text, 0 for nothing in common.
export function overlap(a, b) {
  if (a === b) return 1;
  const [left, right] = [new Set(grams(a, 2)), new Set(grams(b, 2))];
  const both = [...left].filter((gram) => right.has(gram)).length;
  const either = left.size + right.size - both;
  return either === 0 ? 0 : both / either;
}

// The overlaps of every two of these texts.
export function overlapsWithin(texts) {
  return texts.flatMap((text, i) => texts.slice(i + 1).map((other) => overlap(text, other)));
}

// The overlaps of every text of one list with every text of the other but the one at its place:
// those have the same seed, and share its luck. An empty text stands for none.
export function overlapsBetween(texts, others) {
  return texts.flatMap((text, i) => others.flatMap((other, j) => (i === j || text === '' || other === '' ? [] : [overlap(text, other)])));
}

export function mean(values) {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}
