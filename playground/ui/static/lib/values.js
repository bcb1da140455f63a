// What is written in a field, read as a value.

import { number } from './text.js';

// A seed of 32 bits, as the server draws them.
export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/**
 * A number, or null for unset; or what is wrong with it, in words.
 * @param {string} written
 * @param {Parameter} parameter
 * @returns {{ value?: number | null, problem?: string }}
 */
export function readValue(written, { name, minimum, maximum, smallest, integer }) {
  const text = written.trim().replace(',', '.');
  if (text === '' || text === '–' || text === '-') return { value: null };
  const value = Number(text);
  if (!Number.isFinite(value)) return { problem: `${name} must be a number, or empty for unset.` };
  if (value < minimum || value > maximum) return { problem: `${name} must lie between ${minimum} and ${maximum}.` };
  if (value > 0 && value < smallest) return { problem: `${name} must be 0 or lie between ${smallest} and ${maximum}.` };
  if (integer && !Number.isInteger(value)) return { problem: `${name} must be a whole number.` };
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
  const written = text.trim();
  if (written === '') return null;
  const value = Number(written);
  if (!/^\d+$/.test(written) || value < minimum || value > maximum) {
    throw new Error(`${name} must be a whole number from ${minimum} to ${number.format(maximum)}, or empty.`);
  }
  return value;
}
