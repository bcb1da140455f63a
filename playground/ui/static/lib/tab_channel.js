// What the tabs of this page tell each other. A browser that lets a page keep nothing lets its tabs not
// talk, either: then each is by itself.

/**
 * @param {string} name
 * @param {(message: any) => void} [heard]
 * @returns {(message: any) => void} What tells the other tabs something.
 */
export function tabChannel(name, heard) {
  try {
    const channel = new BroadcastChannel(name);
    if (heard) channel.onmessage = ({ data }) => heard(data);
    return (message) => channel.postMessage(message);
  } catch {
    return () => {};
  }
}
