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

// What the visible tab holds, in History and About what Chat or else Compare does; null when nothing was said there.
export function currentRecord() {
  const all = [...views.values()];
  const visible = all.find((view) => view.visible);
  return (visible ? [visible] : all).map((view) => view.record()).find(Boolean) ?? null;
}
