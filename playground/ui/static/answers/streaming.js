// Runs one request whose answers stream into the last messages of panes.

/** @typedef {import('./pane.js').Pane} Pane */

import { look } from '../engine/state.js';
import { patientJson, stopPane, stream } from '../lib/api.js';

// A page that is left aborts its requests: what that breaks off was stopped, and did not fail.
let leaving = false;
addEventListener('beforeunload', () => {
  leaving = true;
  setTimeout(() => { leaving = false; }, 2000); // the reader may have chosen to stay
});
addEventListener('pagehide', () => { leaving = true; });
addEventListener('pageshow', () => { leaving = false; });

/**
 * The n-th pane of the request streams into the last message of panes[n]. Every answer ends as
 * done, stopped or failed; resolves when all have.
 * @param {Pane[]} panes
 * @param {StreamRequest} body
 * @param {AbortSignal} signal
 * @param {object} [options]
 * @param {(id: string | null) => void} [options.onOpen] The stream has begun, and its id stops single panes.
 * @param {(n: number, name: EventName) => void} [options.onEvent] After each event.
 * @param {string} [options.at] The path below which stream and render are asked for.
 * @param {() => void} [options.onFailure] An answer failed.
 */
export async function answerInto(panes, body, signal, {
  onOpen, onEvent = () => {}, at = 'api', onFailure = look,
} = {}) {
  const answers = panes.map((pane) => pane.lastAnswer);
  panes.forEach((pane, i) => pane.begin(answers[i]));
  /** @type {(state: Answer['state'], problem: Problem | null) => void} */
  const end = (state, problem) => answers.forEach((answer, i) => {
    if (answer.state !== 'streaming') return;
    panes[i].end(answer, state, { problem });
    onEvent(i, 'error');
  });
  try {
    for await (const event of stream(body, signal, onOpen, `${at}/stream`)) {
      if (answers[event.data.pane]?.state !== 'streaming') continue;
      panes[event.data.pane].receive(event);
      onEvent(event.data.pane, event.name);
    }
    if (signal.aborted || leaving) end('stopped', null);
    else end('failed', { kind: 'incomplete', message: 'The stream ended early.', retryable: true });
  } catch (error) {
    const { message, kind, retryable } = error;
    if (leaving) end('stopped', null);
    else end('failed', { message, kind, retryable });
  }
  if (answers.some((answer) => answer.state === 'failed')) onFailure();
  panes.forEach((pane, i) => renderRest(pane, answers[i], at).then(() => onEvent(i, 'rendered')));
}

const patience = 1500; // ms that the server has to end a stopped answer

/**
 * Stops answers of a stream: the server ends them and tells their figures; where it does not, the page
 * leaves.
 * @param {string | null} id Of the stream, null while it is not begun.
 * @param {number[]} panes
 * @param {AbortController} controller
 */
export async function stopAnswers(id, panes, controller) {
  if (id === null) {
    controller.abort();
    return;
  }
  setTimeout(() => controller.abort(), patience); // without effect on what has ended
  try {
    await Promise.all(panes.map((pane) => stopPane(id, pane)));
  } catch {
    controller.abort(); // as where another replica writes them
  }
}

/**
 * Markdown of an answer that broke off in the middle of a block, or that came without its HTML.
 * @param {Pane} pane
 * @param {Answer} answer
 */
export async function renderRest(pane, answer, at = 'api') {
  if (!['done', 'stopped', 'failed'].includes(answer.state) || pane.rest(answer).trim() === '') return;
  const text = answer.content;
  try {
    const { blocks } = await patientJson(`${at}/render`, { text });
    if (answer.state !== 'streaming' && answer.content === text) pane.setBlocks(answer, blocks);
  } catch {
    // the plain text stays, and the next start tries again
  }
}

/**
 * The same for all answers of a pane that are drawn, the last ones first, and for earlier ones as they are.
 * @param {Pane} pane
 */
export async function renderAll(pane, at = 'api') {
  pane.whenEarlier = () => void renderAll(pane, at);
  for (const message of [...pane.beside.toReversed(), ...pane.drawn.toReversed()]) {
    if (message.role !== 'assistant') continue;
    await renderRest(pane, message, at);
  }
}
