// The tabs that hold conversations, Chat and Compare, once Gradio has drawn them.

const views = new Map(); // by kind
const waiting = new Map(); // what waits for a view that Gradio has not drawn yet

// Chat and Compare say that they are there.
export function addView(kind, view) {
  views.set(kind, view);
  waiting.get(kind)?.forEach((resolve) => resolve(view));
}

// Chat or Compare when it is there: {visible, entry, record(), adopt(…)}.
export const viewIfDrawn = (kind) => views.get(kind);

// The same, once Gradio has drawn it.
export function viewOf(kind) {
  if (views.has(kind)) return Promise.resolve(views.get(kind));
  return new Promise((resolve) => { waiting.set(kind, [...(waiting.get(kind) ?? []), resolve]); });
}

// What the visible tab holds, or null when nothing was said in it.
export function currentRecord() {
  return [...views.values()].find(({ visible }) => visible)?.record() ?? null;
}
