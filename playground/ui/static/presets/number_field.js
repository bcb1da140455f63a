// A field for a number: the arrow keys step it, and when it is left it shows what was read.

import { stepped } from '../lib/values.js';

/**
 * @param {HTMLInputElement} input
 * @param {{ minimum: number, maximum: number, step: number }} bounds
 * @param {() => number | null | undefined} read What it says: null for nothing, undefined where it cannot be read.
 * @param {() => number} start What an empty one is stepped from.
 */
export function startNumber(input, bounds, read, start) {
  const write = (value) => {
    input.value = String(value);
    input.dispatchEvent(new Event('input', { bubbles: true }));
  };
  input.addEventListener('keydown', (event) => {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const value = read();
    if (!by || value === undefined) return;
    event.preventDefault();
    write(stepped(value ?? start(), bounds, by));
  });
  input.addEventListener('change', () => {
    const value = read();
    if (typeof value === 'number' && String(value) !== input.value.trim()) write(value);
  });
}
