// Where and how two texts differ. Pure: texts in, places in them out, counted in UTF-16 units.

const limit = 1000; // edits after which two texts count as different throughout

// The words of a text, and whatever else is not white space, as {text, start, stop}.
export function words(text) {
  return Array.from(text.matchAll(/[\p{L}\p{M}\p{N}_'’]+|[^\s]/gu),
    (match) => ({ text: match[0], start: match.index, stop: match.index + match[0].length }));
}

function commonStart(a, b) {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n += 1;
  return n;
}

// The word at a place, or the first one after it; empty at the text's end.
function wordAt(all, place, end) {
  const word = all.find(({ stop }) => stop > place);
  return word ? [word.start, word.stop] : [end, end];
}

// Where b parts from a: null while they are the same as far as both have come, else
// {a: [start, stop], b: [start, stop]}, the words of the first difference. Each text is
// {text, ended}; only a text that has ended can part by being shorter.
export function firstDifference(a, b) {
  const at = commonStart(a.text, b.text);
  if (at === a.text.length && at === b.text.length) return null;
  if ((at === a.text.length && !a.ended) || (at === b.text.length && !b.ended)) return null;
  // In the middle of a word in either text, it is the whole word that differs.
  const both = [words(a.text), words(b.text)];
  const start = Math.min(...both.map((all) => all.find((word) => word.start < at && at < word.stop)?.start ?? at));
  return { a: wordAt(both[0], start, a.text.length), b: wordAt(both[1], start, b.text.length) };
}

// The same by tokens: `a` and `b` are texts cut into pieces. null when they are the same.
export function firstPiece(a, b) {
  const at = commonStart(a, b);
  if (at === a.length && at === b.length) return null;
  const start = a.slice(0, at).join('').length;
  return { a: [start, start + (a[at] ?? '').length], b: [start, start + (b[at] ?? '').length] };
}

// Which items of b a shortest edit from a to b puts in, as an array of booleans (E. W. Myers, An
// O(ND) Difference Algorithm and Its Variations, Algorithmica 1986).
export function inserted(a, b) {
  const head = commonStart(a, b);
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const n = a.length - head - tail;
  const m = b.length - head - tail;
  const added = b.map((_, i) => i >= head && i < head + m);
  if (n === 0 || m === 0) return added;
  const most = Math.min(n + m, limit);
  const furthest = new Int32Array(2 * most + 3); // by diagonal x - y, shifted by most + 1
  const at = (diagonal) => most + 1 + diagonal;
  const steps = [];
  for (let d = 0; d <= most; d += 1) {
    steps.push(furthest.slice(at(-d) - 1, at(d) + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && furthest[at(k - 1)] < furthest[at(k + 1)]);
      let x = down ? furthest[at(k + 1)] : furthest[at(k - 1)] + 1;
      while (x < n && x - k < m && a[head + x] === b[head + x - k]) x += 1;
      furthest[at(k)] = x;
      if (x < n || x - k < m) continue;
      // Walk back: what lies on a diagonal is kept.
      for (let step = d, diagonal = k, end = x; step >= 0; step -= 1) {
        const before = (each) => steps[step][each + step + 1];
        const fell = diagonal === -step || (diagonal !== step && before(diagonal - 1) < before(diagonal + 1));
        const from = fell ? diagonal + 1 : diagonal - 1;
        const start = step === 0 ? 0 : before(from) + (fell ? 0 : 1);
        for (let i = start; i < end; i += 1) added[head + i - diagonal] = false;
        end = step === 0 ? 0 : before(from);
        diagonal = from;
      }
      return added;
    }
  }
  return added;
}

// The words of b that are not a's, as {ranges, count, of}. While a text is being written, only as
// many words are judged as both have.
export function differentWords(a, b) {
  let [left, right] = [words(a.text), words(b.text)];
  if (!a.ended || !b.ended) {
    const both = Math.min(left.length, right.length);
    [left, right] = [left.slice(0, both), right.slice(0, both)];
  }
  const added = inserted(left.map(({ text }) => text), right.map(({ text }) => text));
  const ranges = [];
  right.forEach(({ start, stop }, i) => {
    if (!added[i]) return;
    if (i > 0 && added[i - 1]) ranges.at(-1)[1] = stop;
    else ranges.push([start, stop]);
  });
  return { ranges, count: added.filter(Boolean).length, of: right.length };
}

const space = /\s/;
const reach = 400; // how much markup may stand before a rendered character, such as a link's address

// For every character of a rendered text its place in the Markdown that it came from. Rendering
// keeps the order of what is shown, so each character is the next equal one; one that has none
// near, as a decoded entity, keeps the place of the one before.
export function places(raw, rendered) {
  const found = new Int32Array(rendered.length);
  let at = 0;
  for (let i = 0; i < rendered.length; i += 1) {
    let next = at;
    if (space.test(rendered[i])) {
      next = at < raw.length && space.test(raw[at]) ? at : -1;
    } else {
      next = raw.indexOf(rendered[i], at);
      if (next - at > reach) next = -1;
    }
    found[i] = next < 0 ? at : next;
    if (next >= 0) at = next + 1;
  }
  return found;
}
