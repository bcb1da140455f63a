// What is written in a field, read as a value, and stepped.

import { number } from './text.js';

// Stop sequences that an answer may have beside those that the prompt's format needs.
export const mostStops = 3;

// A seed of 32 bits, as the server draws them.
export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

// A whole number with its thousands apart: 1,000 is never 1.
const grouped = /^\d{1,3}(?:([.,'’_ \u00a0\u202f])\d{3})(?:\1\d{3})*$/;
const ungrouped = (text) => (grouped.test(text) ? text.replace(/\D/g, '') : text);

/**
 * A number, or null for unset; or what is wrong with it, in words.
 * @param {string} written
 * @param {Parameter} parameter
 * @returns {{ value?: number | null, problem?: string }}
 */
export function readValue(written, { name, minimum, maximum, smallest, integer }) {
  const text = (integer ? ungrouped(written.trim()) : written.trim()).replace(',', '.');
  if (text === '' || text === '–' || text === '-') return { value: null };
  const value = Number(text);
  if (!Number.isFinite(value)) return { problem: `${name} must be a number from ${minimum} to ${maximum}, or empty for unset.` };
  if (value < minimum || value > maximum) return { problem: `${name} must lie between ${minimum} and ${maximum}.` };
  if (value > 0 && value < smallest) return { problem: `${name} must be 0 or lie between ${smallest} and ${maximum}.` };
  if (integer && !Number.isInteger(value)) return { problem: `${name} must be a whole number from ${minimum} to ${maximum}.` };
  return { value };
}

/**
 * A text that must be a whole number or empty. Throws in words.
 * @param {string} text
 * @param {string} name
 * @param {number} minimum
 * @returns {number | null}
 */
export function wholeNumber(text, name, minimum, maximum = Number.MAX_SAFE_INTEGER) {
  const written = ungrouped(text.trim());
  if (written === '') return null;
  const value = Number(written);
  if (!/^\d+$/.test(written) || value < minimum || value > maximum) {
    throw new Error(`${name} must be a whole number from ${minimum} to ${number.format(maximum)}, or empty.`);
  }
  return value;
}

/**
 * The value a step further, within its bounds.
 * @param {number} value
 * @param {{ minimum: number, maximum: number, step: number }} bounds
 * @param {number} by 1 or -1
 */
export function stepped(value, { minimum, maximum, step }, by) {
  const next = Number((value + by * step).toFixed(6)); // 0.7 + 0.05 is 0.7500000000000001
  return Math.min(maximum, Math.max(minimum, next));
}
