/**
 * Makes the children of a node like those of another one, which it uses up. What is alike stays where
 * it is, with its selection, its scroll and its listeners, and text that has grown is appended to.
 * @param {Node} live
 * @param {Node} made
 */
export function patch(live, made) {
  let at = live.firstChild;
  for (const next of [...made.childNodes]) {
    if (at !== null && at.nodeName === next.nodeName) {
      if (!at.isEqualNode(next)) become(at, next);
      at = at.nextSibling;
    } else if (at !== null) {
      const gone = at;
      at = at.nextSibling;
      live.replaceChild(next, gone);
    } else {
      live.appendChild(next);
    }
  }
  while (at !== null) {
    const gone = at;
    at = at.nextSibling;
    live.removeChild(gone);
  }
}

function become(live, made) {
  if (live instanceof Text) {
    if (made.data.startsWith(live.data)) live.appendData(made.data.slice(live.length));
    else live.data = made.data;
    return;
  }
  for (const { name } of [...live.attributes]) if (!made.hasAttribute(name)) live.removeAttribute(name);
  for (const { name, value } of made.attributes) if (live.getAttribute(name) !== value) live.setAttribute(name, value);
  patch(live, made);
}
