// The page's address. What stands after its “#” is handed to who can open it, and is otherwise kept
// as what the page is set to now.
//
// The entries of the browser's history that this page writes carry {playground: place, opened}, and going back
// to one goes to its place. Any other entry is a link that somebody opened. A place is a tab and the
// preset that is chosen there, as in chat/creative; what lies over it has entries of its own
// (layers.js), where the place may go on with the window's name, as in compare//links.

import { covered, settle, withAddress } from './layers.js';
import { recall, remember } from './storage.js';

const pause = 400; // ms between two changes of the address: browsers allow 100 in 30 s
const known = 12; // the last addresses, by which a reload knows its own
const openers = new Map(); // by the name in front of “=”
/** @type {((beneath: boolean) => { place: string, text: string }) | null} */
let describe = null;
let tellUnknown = (/** @type {string} */ _fragment) => {};
let opening = 0; // links that are being opened, and places
let held = false; // whether the address is a link that may be opened later
let below = ''; // the place of the last entry that nothing lies over
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let along = false; // whether the preset was chosen by what the reader opened, and not in its tabs
let [opened = 0] = recall('opened'); // how often: the presets of earlier entries go with what was shown then

// open(value, fragment): what is done with an address that ends in #name=value…; false leaves the
// address as it is until something is changed.
export function onFragment(name, open) {
  openers.set(name, open);
}

// Another place has an entry of its own, as soon as nothing lies over it.
function write() {
  if (held || !describe) return;
  const beneath = covered() === 0;
  const { place, text } = describe(beneath);
  const fragment = text && `#${text}`;
  remember('addresses', [fragment, ...recall('addresses').filter((each) => each !== fragment)].slice(0, known));
  const url = `${location.pathname}${location.search}${fragment}`;
  const before = history.state?.playground;
  if (before !== place || history.state.opened !== opened || url !== location.pathname + location.search + location.hash) {
    const state = { ...history.state, playground: place, opened };
    const here = along && before?.split('/')[0] === place.split('/')[0];
    if (before === undefined || before === place || !beneath || here) history.replaceState(state, '', url);
    else history.pushState(state, '', url);
  }
  if (!beneath) return;
  below = place;
  along = false;
}

// The preset changes along with what is opened, or put back: that is no step of the reader's, and Back
// must not undo the one without the other.
export function comeAlong() {
  along = true;
  opened += 1;
  remember('opened', [opened]);
}

// The place of an entry that the reader went back to.
function returned() {
  const { playground: place, opened: then } = history.state;
  if (then === opened) return place;
  along = true; // its preset is left as it is, and the entry says so
  return place.replace(/\/[^/]*/, '/');
}

// The reader went to another place: it is an entry at once, however soon the next one follows.
export function arrive() {
  if (!describe) return;
  clearTimeout(timer);
  timer = undefined;
  held = false;
  settle();
}

// What the page is set to may have changed.
export function touch() {
  if (describe) timer ??= setTimeout(arrive, pause);
}

// A link without any “=”, as a chat program encodes it as a whole; and whatever stands behind the
// value of one that is not a set-up, whose reader sees to that.
function whole(fragment) {
  if (fragment.includes('=') || /^setup/i.test(fragment)) return fragment;
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

// followed: whether it was opened in this page, which has made an entry for it. Where the link led to no other
// place, that goes again, as one whose layer is closed.
async function dispatch(followed = false) {
  const fragment = whole(location.hash.slice(1));
  const [, name, value] = /^([a-z]+)(?:=|%3D)(.*)$/is.exec(fragment) ?? [];
  const before = below;
  opening += 1;
  held = false;
  try {
    const open = openers.get(name);
    if (open) held = await open(value, fragment) === false;
    else if (fragment !== '') tellUnknown(fragment);
  } finally {
    opening -= 1;
    clearTimeout(timer);
    timer = undefined;
  }
  if (followed && !held && history.state === null && describe?.(true).place === before) history.replaceState({ layers: 1 }, '');
  settle();
}

// Where a reload goes on: the place of an address that this page wrote, which tells nothing that this
// browser tab does not know. A reload may come with an address of some changes ago and without the
// entry's state, since browsers take both over late.
function resumed() {
  const written = recall('addresses');
  const ours = history.state?.playground || written.includes(location.hash);
  if (written.length === 0 || !ours) return null;
  return history.state?.playground ?? /[#&]tab=([a-z]+)/.exec(written[0])?.[1] ?? null;
}

// describing(beneath): {place, text} of now, or of what is below what lies over it. selecting(place): goes
// there, and may take a moment. unknown(fragment): it leads nowhere.
export function startAddress(describing, selecting, unknown) {
  describe = describing;
  tellUnknown = unknown;
  const go = async (place) => {
    opening += 1; // on the way there the page is at places that nobody went to
    try {
      await selecting(place);
      await new Promise((done) => { setTimeout(done); });
    } finally {
      opening -= 1;
      touch();
    }
  };
  withAddress({
    ready: () => opening === 0,
    write,
    went: (closed) => {
      if (closed) settle();
      else if (history.state.playground) void go(returned());
    },
    later: touch,
  });
  addEventListener('hashchange', () => { if (history.state === null) void dispatch(true); });
  const place = resumed();
  if (place) void go(place);
  else void dispatch();
}
