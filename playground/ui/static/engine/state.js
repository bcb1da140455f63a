// The engine's state, polled from /api/engine and told to whoever listens.

import { json } from '../lib/api.js';
import { share } from './progress.js';

const calm = 10_000; // ms between looks while the engine is ready
const keen = 2_000; // and while it is not

const listeners = new Set();
/** @type {EngineState} */
const unknown = { state: 'unknown', reason: '', engine: null, applied: {}, raw: null };
let current = unknown;
let timer;
let looking = false;
let followed = ''; // the id of the engine that is looked at, '' for the default
let told = ''; // the id of the one that was told of last

export function engine() {
  return current;
}

/** @param {(state: EngineState) => void} listener */
export function onEngine(listener) {
  listeners.add(listener);
  listener(current);
}

function tell(state) {
  for (const listener of listeners) listener(state);
}

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

function words(state) {
  if (state.state === 'ready') return 'Ready'; // the model's badge beside it names the engine
  if (state.refused) return state.refused === 'login' ? 'Logged out' : 'Another login';
  if (state.state !== 'loading') return 'Offline';
  const done = state.progress ? share(state.progress) : null;
  return done === null ? 'Loading' : `Loading ${Math.floor(100 * done)} %`;
}

// A page outside Gradio has no place for it.
function show() {
  const shown = document.getElementById('engine-state');
  if (!shown) return;
  shown.dataset.state = current.state;
  shown.title = current.reason || current.engine?.name || '';
  const [said, ticking] = shown.querySelectorAll('span');
  const text = words(current);
  if (said.textContent !== text) said.textContent = text;
  ticking.textContent = current.state === 'loading' ? ` · ${clock(current.elapsed_s)}` : '';
}

// Looks at another engine from now on, which the chat has chosen.
/** @param {string} id */
export function followEngine(id) {
  if (followed === id) return;
  followed = id;
  void look();
}

/** @returns {string | null} the id, null for the default */
export const followedEngine = () => followed || null;

export async function look() {
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  const asked = followed;
  try {
    current = await json(asked === '' ? 'api/engine' : `api/engine?engine=${encodeURIComponent(asked)}`);
  } catch (error) {
    current = { ...(asked === told ? current : unknown), state: 'offline', reason: error.message, progress: null, refused: ['login', 'other_login'].includes(error.kind) ? error.kind : undefined };
  }
  looking = false;
  if (asked !== followed) {
    void look();
    return;
  }
  show();
  // What is known of the one before does not hold for another that is away.
  if (asked !== told && current.engine === null) tell(unknown);
  told = asked;
  tell(current);
  // Who is refused is refused until somebody logs in, or the page is loaded anew.
  if (!document.hidden && !current.refused) timer = setTimeout(look, current.state === 'ready' ? calm : keen);
}

export function watchEngine() {
  document.addEventListener('visibilitychange', () => { if (!document.hidden) void look(); });
  addEventListener('online', look);
  addEventListener('focus', () => { if (current.refused) void look(); });
  void look();
}
