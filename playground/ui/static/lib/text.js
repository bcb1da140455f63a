// Texts for readers: numbers, days, plurals, and texts made short or harmless. Pure.

export const number = new Intl.NumberFormat('en');

// Days with a time of 24 hours, as in the history.
export const dates = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' });

// A number with its word, as “1 token” and “2 tokens”.
export const count = (n, one, several = `${one}s`) => `${number.format(n)} ${n === 1 ? one : several}`;

// How often a link was opened, in words.
export function openings(views) {
  if (views === 0) return 'not opened by others yet';
  return `opened ${views === 1 ? 'once' : `${number.format(views)} times`} by others`;
}

const endings = { one: 'st', two: 'nd', few: 'rd', other: 'th' };
const rules = new Intl.PluralRules('en', { type: 'ordinal' });

export const ordinal = (n) => `${n}${endings[rules.select(n)]}`;

// Whether a text is empty to the eye; playground/domain/blank.py says the same of a request.
const unseen = /^(?:\p{Cc}|\p{Cf}|\p{Z}|\u034f|[\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]|[\u180b-\u180f]|[\ufe00-\ufe0f]|[\u{e0100}-\u{e01ef}])*$/u;
export const isBlank = (text) => unseen.test(text);
// A message as it is sent: its first line keeps its indentation.
export const content = (text) => text.replace(/^(?:[^\S\n]*\n)+/, '').trimEnd();

// Stop sequences, each as JSON: so the end of a line is seen. playground/ui/demo.py writes them the same.
/** @type {(stops: string[]) => string} */
export const quotedStops = (stops) => unturned(stops.map((each) => JSON.stringify(each)).join(', '));

// A text in one line, cut at a word, or within one that would take most of the line along.
export function brief(words, length = 60) {
  const line = words.replace(/\s+/g, ' ').trim();
  if (line.length <= length) return line;
  const whole = line.slice(0, length + 1).replace(/\s+\S*$/, '');
  const cut = (whole.length < length / 2 ? line : whole).slice(0, length);
  return `${cut.replace(/[\ud800-\udbff]$/, '').replace(/[\s.,:;…]+$/, '')}…`;
}

// What a text of several sentences says first.
/** @type {(words: string) => string} */
export const firstSentence = (words) => /^.*?\.(?=\s|$)/.exec(words)?.[0] ?? words;

// The marks, unseen, that turn the direction of a text.
const turning = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
// A text with them told by their numbers instead.
export const unturned = (text) => text.replace(turning, (mark) => `⟨U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
// A name that somebody gave, as it is taken wherever it comes from: without them. playground/domain/names.py
// does the same to what the server has.
export const plainName = (name) => name.replace(turning, '');
// The same among other words or names, of which it moves none, whichever way it is read itself.
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
export const within = (name) => {
  const plain = plainName(name);
  return rightToLeft.test(plain) ? `\u2068${plain}\u2069` : plain;
};
