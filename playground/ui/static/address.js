// The page's address. What stands after its “#” is handed to who can open it, and is otherwise kept
// as what the page is set to now.
//
// The entries of the browser's history that this page writes carry {playground: tab}, and going back
// to one goes to its tab. Any other entry is a link that somebody opened.

const pause = 400; // ms between two changes of the address: browsers allow 100 in 30 s
const openers = new Map(); // by the name in front of “=”
let describe = null; // gives {tab, text}
let opening = 0; // links that are being opened
let timer = null;

// open(value, fragment): what is done with an address that ends in #name=value…; false leaves the
// address as it is until something is changed.
export function onFragment(name, open) {
  openers.set(name, open);
}

function write() {
  timer = null;
  if (opening > 0) return;
  const { tab, text } = describe();
  const url = `${location.pathname}${location.search}${text && `#${text}`}`;
  const before = history.state?.playground;
  if (before === tab && url === location.pathname + location.search + location.hash) return;
  const state = { ...history.state, playground: tab };
  if (before === undefined || before === tab) history.replaceState(state, '', url);
  else history.pushState(state, '', url);
}

// What the page is set to may have changed.
export function touch() {
  if (describe) timer ??= setTimeout(write, pause);
}

async function dispatch() {
  const [, name, value] = /^#([a-z]+)=(.*)$/s.exec(location.hash) ?? [];
  opening += 1;
  try {
    if (await openers.get(name)?.(value, location.hash.slice(1)) === false) return;
  } finally {
    opening -= 1;
    clearTimeout(timer);
    timer = null;
  }
  write();
}

// describing(): {tab, text} of now. selecting(tab): goes to a tab. known: whether this browser tab
// still has what it was set to, so that an address of ours has nothing to tell.
export function startAddress(describing, selecting, known) {
  describe = describing;
  addEventListener('popstate', ({ state }) => {
    if (!state?.playground) return;
    selecting(state.playground);
    touch();
  });
  addEventListener('hashchange', () => { if (!history.state?.playground) dispatch(); });
  const ours = history.state?.playground;
  if (ours && known) {
    selecting(ours);
    touch();
  } else {
    dispatch();
  }
}
