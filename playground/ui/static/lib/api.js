// Requests to this server's own routes, relative to where this module was loaded from
// (<root>/ui/<version>/lib/api.js), so that a proxy may put the page under any path.

import { placeOf } from './validate.js';

const root = new URL('../../../', import.meta.url);
const tries = 5; // times that a busy server is asked again

// An event of the document: a request was refused since nobody is logged in any more, or somebody else
// is.
export const LOGGED_OUT = 'playground-logged-out';

// For whom the page is drawn. The server refuses what is asked after somebody else has logged in.
/** @type {string | null} */
let visitor = null;
export function drawnFor(name) {
  visitor = name;
}

export const address = (path) => new URL(path, root).href;

export class RequestFailed extends Error {
  /**
   * @param {string} message
   * @param {string} kind
   * @param {string | null | undefined} field
   * @param {boolean} retryable
   * @param {number} [retryAfter] Seconds after which the server asks to be asked again, 0 where it does not say.
   */
  constructor(message, kind, field, retryable, retryAfter = 0) {
    super(message);
    this.kind = kind;
    this.field = field;
    this.retryable = retryable;
    this.retryAfter = retryAfter;
  }
}

/**
 * What the server says of a field by its name, with its place in words.
 * @param {string} error
 * @param {string | null} [field] null for what is wrong with no field.
 */
function inWords(error, field) {
  if (!field) return error;
  const name = [field, field.split('.').at(-1)].find((each) => each && error.startsWith(`${each} `));
  return name ? placeOf(field) + error.slice(name.length) : error;
}

/**
 * @param {string} path
 * @param {unknown} body
 * @param {AbortSignal} [signal]
 */
async function request(path, body, signal, method = body === undefined ? 'GET' : 'POST') {
  /** @type {RequestInit & { headers: Record<string, string> }} */
  const options = { signal, method, headers: {} };
  if (visitor !== null) options.headers['X-Opened-As'] = encodeURIComponent(visitor);
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    // Half a surrogate pair, as a cut text may end with, is no character and would be refused.
    options.body = JSON.stringify(body, (_, value) => (typeof value === 'string' ? value.toWellFormed?.() ?? value : value));
  }
  let response;
  try {
    response = await fetch(new URL(path, root), options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new RequestFailed('The playground does not answer. Is it still running?', 'unreachable', null, true);
  }
  if (response.ok) return response;
  /** @type {{ error?: string, kind?: string, field?: string | null }} */
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // not ours: a proxy's page, say; the status is all there is to tell
  }
  if (problem.kind === 'login' || problem.kind === 'other_login') document.dispatchEvent(new Event(LOGGED_OUT));
  throw new RequestFailed(
    problem.error ? inWords(problem.error, problem.field) : `The server answered ${response.status}.`,
    problem.kind ?? `http_${response.status}`,
    problem.field,
    response.status === 429 || response.status >= 500,
    Number(response.headers.get('Retry-After')) || 0,
  );
}

/**
 * @param {string} path
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function json(path, body, signal) {
  return (await request(path, body, signal)).json();
}

/**
 * Ends after so many seconds, or when `signal` aborts.
 * @param {number} seconds
 * @param {AbortSignal} [signal]
 */
export function pause(seconds, signal) {
  return new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

/**
 * As `json`, for what a page shows by itself: a server that is busy, or stops, is asked again when
 * it says, a few times. Throws its last refusal.
 * @param {string} path
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function patientJson(path, body, signal) {
  for (let left = tries; ; left -= 1) {
    try {
      return await json(path, body, signal);
    } catch (error) {
      if (!['busy', 'shutdown'].includes(error.kind) || left === 0) throw error;
      await pause(Math.max(error.retryAfter, 1), signal);
    }
  }
}

/**
 * Changes or deletes what stands under a path.
 * @param {'PATCH' | 'DELETE'} method
 * @param {string} path
 * @param {unknown} [body]
 */
export async function change(method, path, body) {
  await request(path, body, undefined, method);
}

/**
 * Stops one pane of a stream that goes on for the others.
 * @param {string} id
 * @param {number} pane
 */
export async function stopPane(id, pane) {
  await change('DELETE', `api/stream/${id}/panes/${pane}`);
}

const patience = 40_000; // ms; the server gives a sign of life every 15 s
const silent = 'Nothing has come from the playground for 40 seconds: the connection is gone, or this computer slept.';

/**
 * The events of a POST. Ends without a word when `signal` aborts.
 * @param {StreamRequest} body
 * @param {AbortSignal} signal
 * @param {(id: string | null) => void} [onOpen] Called with the stream's id when the answer begins.
 * @returns {AsyncGenerator<StreamEvent, void, void>}
 */
export async function* stream(body, signal, onOpen = () => {}, path = 'api/stream') {
  const silence = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let watch;
  const alive = () => {
    clearTimeout(watch);
    watch = setTimeout(() => silence.abort(), patience);
  };
  try {
    const response = await request(path, body, AbortSignal.any([signal, silence.signal]));
    onOpen(response.headers.get('X-Stream-Id'));
    if (!response.body) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      alive();
      const { done, value } = await reader.read();
      if (done) return;
      const events = (rest + value).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        let name = 'message';
        let data = '';
        for (const line of event.split('\n')) {
          if (line.startsWith('event:')) name = line.slice(6).trim();
          else if (line.startsWith('data:')) data += line.slice(5);
        }
        if (data) yield /** @type {StreamEvent} */ ({ name, data: JSON.parse(data) });
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    if (silence.signal.aborted) throw new RequestFailed(silent, 'silent', null, true);
    if (error instanceof RequestFailed) throw error;
    throw new RequestFailed('The connection to the playground broke.', 'unreachable', null, true);
  } finally {
    clearTimeout(watch);
  }
}
