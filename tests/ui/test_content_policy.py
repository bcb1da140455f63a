"""What browsers let run on the pages: what this server has put there, and nothing that got in."""

from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import httpx
from playwright.sync_api import BrowserContext, Page

from playground.ui.content_policy import gradio_policy
from tests.pages import READY

# What somebody would write who has found a way into a page: each either runs, or is refused by a
# directive of the page's policy.
ATTEMPTS = """async () => {
  const elsewhere = 'http://127.0.0.1:9/';
  const add = (tag, properties, attributes = {}) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    document.body.append(node);
    Object.assign(node, properties);
    return node;
  };
  const outcomes = {};
  let went;
  const attempts = {
    script: () => {
      const script = document.createElement('script');
      script.textContent = 'ran()';
      document.body.append(script);
    },
    handler: () => add('img', { src: 'data:,' }, { onerror: 'ran()' }),
    markup: () => add('div', { innerHTML: '<img src="data:," onerror="ran()">' }),
    data: () => add('script', { src: 'data:text/javascript,ran()' }),
    elsewhere: () => add('script', { src: elsewhere, onerror: went }),
    link: () => add('a', { href: 'javascript:ran()' }).click(),
    eval: () => eval('ran()'),
    frame: () => add('iframe', { src: elsewhere, onload: went }),
    object: () => add('object', { data: elsewhere, onerror: went }),
    image: () => add('img', { src: elsewhere, onerror: went }),
    style: () => add('link', { rel: 'stylesheet', href: elsewhere, onerror: went }),
    form: () => add('form', { action: elsewhere, method: 'post' }).submit(),
    request: () => fetch(elsewhere).catch(went),
    base: () => {
      document.head.prepend(add('base', { href: elsewhere }));
      if (document.baseURI === elsewhere) went();
    },
  };
  for (const [name, attempt] of Object.entries(attempts)) {
    outcomes[name] = await new Promise((settle) => {
      window.ran = () => settle('ran');
      // What is refused fails, too: the policy's own event comes first then, or soon after.
      went = () => setTimeout(settle, 2000, 'went');
      setTimeout(settle, 10000, 'nothing');
      const refused = ({ effectiveDirective: by }) => settle(by);
      addEventListener('securitypolicyviolation', refused, { once: true });
      try { attempt(); } catch {}
    });
  }
  return outcomes;
}"""
REFUSED = {
    "script": "script-src-elem",
    "handler": "script-src-attr",
    "markup": "script-src-attr",
    "data": "script-src-elem",
    "elsewhere": "script-src-elem",
    "link": "script-src-elem",
    "eval": "script-src",
    "frame": "frame-src",
    "object": "object-src",
    "image": "img-src",
    "style": "style-src-elem",
    "base": "base-uri",
    "form": "form-action",
    "request": "connect-src",
}


class Scripts(HTMLParser):
    """The scripts of a page as a browser's parser finds them: with an address, or a text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            address = dict(attrs).get("src")
            self._inside = address is None
            self.addresses += [address] if address else []

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"


def directives(policy: str) -> dict[str, list[str]]:
    named = (each.split() for each in policy.split(";"))
    return {name: values for name, *values in named}


def test_the_scripts_of_gradios_page_are_named_and_no_others(site: str) -> None:
    answer = httpx.get(site, headers={"Accept-Encoding": "br, gzip"})
    scripts = Scripts()
    scripts.feed(answer.text)
    policy = directives(answer.headers["content-security-policy"])
    digests = [b64encode(sha256(each.encode()).digest()).decode() for each in scripts.texts]
    named = [f"'sha256-{each}'" for each in digests]
    assert policy["script-src"] == ["'self'", "'unsafe-eval'", *named]
    assert len(named) == 4, "Gradio's page has another script, which wants to be read first"
    assert all(each.startswith("./") for each in scripts.addresses)
    assert httpx.head(site).headers["content-security-policy"]


def test_a_name_adds_no_script_to_the_page() -> None:
    page = b'<script>a</script><script type="module" src="./b.js"></script><SCRIPT>c</SCRIPT>'
    assert gradio_policy(page).count("sha256") == 1


def test_what_got_into_gradios_page_does_not_run(page: Page) -> None:
    """But for `eval`, which Gradio's component for HTML needs, and which takes a script to call."""
    with page.context.new_page() as visit:
        visit.goto(page.url)
        visit.wait_for_selector(READY)
        assert visit.evaluate(ATTEMPTS) == {**REFUSED, "eval": "ran"}


def test_what_got_into_a_page_of_our_own_does_not_run(profile: BrowserContext, site: str) -> None:
    trusted = "require-trusted-types-for"
    with profile.new_page() as page:
        page.goto(f"{site}/s/nothing")
        assert page.evaluate(ATTEMPTS) == {
            **REFUSED,
            **dict.fromkeys(
                ("script", "handler", "markup", "data", "elsewhere", "eval", "object"), trusted
            ),
        }
