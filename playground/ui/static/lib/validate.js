// Checks of values that came from elsewhere, as a file. Pure.
//
// A shape is a function (value, path) that throws an Error in words when the value has another
// shape. The path names the place, as columns[0].messages[2].state, for which the words have another name.

// What one of a list is called, and what a value is called where its name does not tell. Any other name
// is told as it stands where the value comes from.
const singular = { columns: 'column', panes: 'column', messages: 'message', entries: 'entry', stop: 'stop sequence', notices: 'notice' };
const names = { content: 'text', stop: 'stop sequences', budget_tokens: 'budget', max_new_tokens: 'limit of new tokens' };
const within = new Set(['record', 'setting', 'sampler', 'sent']); // which say nothing that the reader knows

// A place in words, to begin a sentence with: “State of message 3 of column 1”.
export function placeOf(path) {
  const parts = path.split('.').flatMap((part, i, all) => {
    const [, name = '', index] = part.match(/^(.*?)(?:\[(\d+)\])?$/s) ?? [];
    if (index !== undefined) return [`${singular[name] ?? name} ${Number(index) + 1}`];
    if (within.has(name) && i < all.length - 1) return [];
    return [names[name] ?? name];
  });
  const words = parts.reverse().join(' of ');
  if (words === '') return 'The whole';
  return /^\w+_/.test(words) ? words : words[0].toUpperCase() + words.slice(1); // but for a name as it is written
}

function refuse(path, what) {
  throw new Error(`${placeOf(path)} must be ${what}.`);
}

const kind = (what, test) => (value, path) => {
  if (!test(value)) refuse(path, what);
};

export const text = kind('a text', (value) => typeof value === 'string');
export const flag = kind('true or false', (value) => typeof value === 'boolean');
export const finite = kind('a number', Number.isFinite);
export const whole = kind('a whole number from 0', (value) => Number.isInteger(value) && value >= 0);
export const date = kind('a date', (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)));
export const anything = () => {};

export const oneOf = (...values) => kind(`one of ${values.join(', ')}`, (value) => values.includes(value));
export const orNull = (shape) => (value, path) => {
  if (value !== null) shape(value, path);
};

export const list = (shape, { least = 0, most = Infinity } = {}) => (value, path) => {
  if (!Array.isArray(value)) refuse(path, 'a list');
  if (value.length < least || value.length > most) refuse(path, `a list of ${least} to ${most}`);
  value.forEach((each, i) => shape(each, `${path}[${i}]`));
};

export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const at = (path, name) => (path ? `${path}.${name}` : name);

// An object of values that all have one shape, under any names.
export const table = (shape) => (value, path) => {
  if (!isObject(value)) refuse(path, 'an object');
  for (const name of Object.keys(value)) shape(value[name], at(path, name));
};

// An object with these fields, and no others unless it is `open`.
export const object = (fields, optional = {}, { open = false } = {}) => (value, path) => {
  if (!isObject(value)) refuse(path, 'an object');
  for (const [name, shape] of Object.entries(fields)) {
    if (!Object.hasOwn(value, name)) throw new Error(`${placeOf(at(path, name))} is missing.`);
    shape(value[name], at(path, name));
  }
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(fields, name)) continue;
    if (Object.hasOwn(optional, name)) optional[name](value[name], at(path, name));
    else if (!open) throw new Error(`${placeOf(at(path, name))} is not known here.`);
  }
};
