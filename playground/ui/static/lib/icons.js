// The icons of buttons: lines in a square of 24, in the colour of the text.

const strokes = {
  copy: 'M9 9h10v11H9zM5 15V4h10',
  done: 'M5 12.5l4.5 4.5L19 7',
  retry: 'M19 12a7 7 0 1 1-2.2-5.1M19 4v4.5h-4.5',
  edit: 'M4.5 19.5l1-4L16 5l3 3L8.5 18.5zM13.5 7.5l3 3',
  continue: 'M4 6h12M4 12h7M4 18h7M15 15h5M17.5 12.5L20 15l-2.5 2.5',
  delete: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5.5M13.5 11v5.5',
  chat: 'M4 5h16v11h-9l-4 4v-4H4z',
  receipt: 'M6 3v18l3-2 3 2 3-2 3 2V3zM9.5 8h5M9.5 12h5',
  more: 'M7 10l5 5 5-5',
};
const svg = 'http://www.w3.org/2000/svg';

/** @typedef {keyof typeof strokes} Icon */

/**
 * @param {Icon} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const drawn = /** @type {SVGElement} */ (document.createElementNS(svg, 'svg'));
  drawn.setAttribute('viewBox', '0 0 24 24');
  drawn.setAttribute('class', 'icon');
  drawn.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(svg, 'path');
  path.setAttribute('d', strokes[name]);
  drawn.append(path);
  return drawn;
}
