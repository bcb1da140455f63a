// How far an engine is that is getting ready: a bar, and in words how much, how fast, and how long yet.

import { element } from '../lib/dom.js';
import { number } from '../lib/text.js';

/** @type {[string, number][]} */
const units = [['GB', 1e9], ['MB', 1e6], ['kB', 1e3], ['bytes', 1]];

// The largest unit in which there is at least one of them.
const unitOf = (bytes) => units.find(([, size]) => bytes >= size) ?? units[3];
const inUnit = (bytes, [, size]) => number.format(Number((bytes / size).toFixed(bytes / size < 10 && size > 1 ? 1 : 0)));
const sized = (bytes) => `${inUnit(bytes, unitOf(bytes))} ${unitOf(bytes)[0]}`;

function left(seconds) {
  if (seconds < 60) return 'less than a minute left';
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min left`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}

// Whether it counts bytes: a download does, and nothing else is counted in millions.
const inBytes = ({ what, done, total }) => /^download/i.test(what) || (total ?? done) >= 1e6;

// What is done, of what there is.
function amounts(progress) {
  const { done, total } = progress;
  if (!inBytes(progress)) return total === null ? number.format(done) : `${number.format(done)} of ${number.format(total)}`;
  if (total === null) return sized(done);
  const unit = unitOf(total);
  return `${inUnit(done, unit)} of ${inUnit(total, unit)} ${unit[0]}`;
}

/** @param {Progress} progress */
export const share = ({ done, total }) => (total ? Math.min(1, done / total) : null);

/** @param {Progress} progress */
export function progressWords(progress) {
  const { what, rate, left_s: seconds } = progress;
  return [
    `${what}: ${amounts(progress)}`,
    ...(rate > 0 && inBytes(progress) ? [`${sized(rate)}/s`] : []),
    ...(seconds === null ? [] : [left(seconds)]),
  ].join(', ');
}

// The bar with its words, and `show(progress)`, which takes null where there is nothing to show. It
// is no live region: its figures change every two seconds.
export function progressBar() {
  const bar = element('progress', { max: 1 });
  const words = element('span');
  const node = element('div', { className: 'progress', hidden: true }, bar, words);
  /** @param {Progress | null | undefined} progress */
  const show = (progress) => {
    node.hidden = !progress;
    if (!progress) return;
    const done = share(progress);
    if (done === null) bar.removeAttribute('value');
    else bar.value = done;
    bar.setAttribute('aria-label', progress.what);
    bar.setAttribute('aria-valuetext', progressWords(progress));
    words.textContent = progressWords(progress);
  };
  return { node, show };
}
