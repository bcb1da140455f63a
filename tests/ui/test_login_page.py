"""Logging in and out in a real browser."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from playground.auth.passwords import Passwords
from playground.auth.users import UsersFile
from tests.axe import in_both_themes
from tests.pages import READY, listen, serve
from tests.servers import Server
from tests.ui.test_comparison_page import ERRORS
from tests.ui.test_page_keeps import DENIED

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> UsersFile:
    users = UsersFile(tmp_path_factory.mktemp("data") / "users")
    for name in ("anna", "bob"):
        users.put(name, Passwords().hashed(PASSWORD), instead_of=None)
    return users


@pytest.fixture(scope="module")
def team(engine: Server, users: UsersFile) -> Iterator[str]:
    with serve(engine.url, auth="users", data_dir=users.path.parent) as server:
        yield server.url


@pytest.fixture
def guest(chromium: Browser, team: str) -> Iterator[Page]:
    """A browser that nobody has logged in with."""
    context = chromium.new_context(base_url=team)
    context.set_default_timeout(20_000)
    page = context.new_page()
    problems: list[str] = []
    listen(page, problems)
    yield page
    context.close()
    assert problems == []


def enter(page: Page, password: str = PASSWORD, name: str = "anna") -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_in_chat_reload_and_out(guest: Page, team: str) -> None:
    guest.goto("/#preset-of-a-link")
    expect(guest).to_have_url(f"{team}/login#preset-of-a-link")
    expect(guest.get_by_label("Name")).to_be_focused()
    assert in_both_themes(guest) == []
    enter(guest, "not her password")
    expect(guest.get_by_role("alert")).to_contain_text("do not belong together")
    assert in_both_themes(guest) == []
    expect(guest.get_by_label("Name")).to_have_value("anna")
    expect(guest.get_by_label("Password")).to_be_focused()
    enter(guest)
    guest.wait_for_selector(READY)
    expect(guest.locator("#account")).to_contain_text("anna")

    guest.locator("#chat-prompt").fill("Name two animals.")
    guest.locator("#chat-send").click()
    answer = guest.locator("[data-testid=message][data-role=assistant]")
    expect(answer).to_have_attribute("data-state", "done")
    said = answer.locator(".body").inner_text()
    guest.reload()
    guest.wait_for_selector(READY)
    expect(answer.locator(".body")).to_have_text(said, use_inner_text=True)

    guest.get_by_role("button", name="Log out").click()
    expect(guest.get_by_role("heading", name="Log in")).to_be_visible()
    guest.go_back()
    expect(guest.get_by_role("heading", name="Log in")).to_be_visible()
    guest.goto("/")
    expect(guest).to_have_url(f"{team}/login")


def test_a_page_that_could_not_learn_its_reader_asks_again(guest: Page) -> None:
    """Without the name, what it sends would go out in that of whoever logs in next."""
    guest.add_init_script(f"({DENIED})()")  # nor is the name kept, where nothing may be stored
    guest.goto("/")
    guest.route("**/api/visitor", lambda route: route.fulfill(status=502))
    with guest.expect_response("**/api/visitor"):
        enter(guest)
    guest.wait_for_selector(READY)
    guest.unroute("**/api/visitor")
    guest.evaluate("dispatchEvent(new Event('online'))")
    expect(guest.locator("#account")).to_contain_text("anna")


def test_logged_out_elsewhere_while_the_page_is_open(guest: Page, team: str) -> None:
    guest.goto("/login")
    enter(guest)
    guest.wait_for_selector(READY)
    guest.evaluate(ERRORS)
    guest.locator("#chat-prompt").fill("Say one word.")
    [session] = [c for c in guest.context.cookies() if c["name"] == "playground_session"]
    httpx.post(f"{team}/logout", cookies={session["name"]: session["value"]})
    guest.locator("#chat-send").click()

    answer = guest.locator("[data-testid=message][data-role=assistant]")
    expect(answer).to_have_attribute("data-state", "failed")
    expect(answer).to_contain_text("Not sent: you are logged out.")
    expect(answer.get_by_role("link", name="Log in")).to_be_visible()
    expect(guest.locator("#engine-state")).to_contain_text("Logged out")
    words = guest.locator("#logged-out")
    expect(words).to_contain_text("What is on this page stays.")
    assert guest.evaluate("errors") == []
    expect(guest.locator(".engine-note")).to_be_hidden()
    for tab in ("Chat", "About"):  # the banner lies above the tabs, not over them
        guest.get_by_role("tab", name=tab, exact=True).click()
    guest.get_by_role("tab", name="Chat", exact=True).click()
    expect(guest.locator("[data-testid=message][data-role=user]")).to_contain_text("Say one word.")

    with guest.context.expect_page() as opened:
        words.get_by_role("link", name="Log in again").click()
    enter(opened.value)
    expect(opened.value.get_by_role("heading", name="You are logged in")).to_be_visible()
    opened.value.close()
    expect(words).to_have_count(0)
    answer.get_by_role("button", name="Retry").click()
    expect(answer).to_have_attribute("data-state", "done")


def test_another_login_in_another_tab_does_nothing_in_the_wrong_name(
    guest: Page, team: str
) -> None:
    guest.goto("/login")
    enter(guest)
    guest.wait_for_selector(READY)
    # Told of nothing, the tab is still refused whatever it asks.
    guest.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    guest.locator("#chat-prompt").fill("Say one word.")
    other = guest.context.new_page()
    other.add_init_script("BroadcastChannel.prototype.postMessage = () => {}")
    other.goto("/")
    other.get_by_role("button", name="Log out").click()
    enter(other, name="bob")
    expect(other.locator("#account")).to_contain_text("bob")

    guest.locator("#chat-send").click()
    answer = guest.locator("[data-testid=message][data-role=assistant]")
    expect(answer).to_have_attribute("data-state", "failed")
    expect(answer).to_contain_text("opened as anna, and you are logged in as bob now")
    words = guest.locator("#logged-out")
    expect(words).to_contain_text("opened as anna, and you are logged in as bob now")
    words.get_by_role("button", name="Reload").click()
    expect(guest.locator("#account")).to_contain_text("bob")
    expect(words).to_have_count(0)
    answer.get_by_role("button", name="Retry").click()
    expect(answer).to_have_attribute("data-state", "done")

    aware = guest.context.new_page()  # which tells, and the first tab hears it
    aware.goto("/")
    aware.get_by_role("button", name="Log out").click()
    expect(words).to_contain_text("You are logged out.")
    enter(aware)
    expect(words).to_contain_text("opened as bob, and you are logged in as anna now")


def test_what_stands_behind_the_hash_is_kept(guest: Page, team: str) -> None:
    """A link to a set-up leads there, too, when its reader has to log in first."""
    guest.goto("/s?x=1#setup=1&tab=compare")
    expect(guest).to_have_url(f"{team}/login?next=/s%3Fx%3D1#setup=1&tab=compare")
    enter(guest)
    expect(guest).to_have_url(f"{team}/s?x=1#setup=1&tab=compare")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_login_works_without_scripts_on_a_phone(
    chromium: Browser, team: str, scheme: str
) -> None:
    context = chromium.new_context(
        viewport={"width": 320, "height": 568},
        java_script_enabled=False,
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(f"{team}/login?next=/livez")
    boxes = [
        box for box in (each.bounding_box() for each in page.locator("main input").all()) if box
    ]
    assert boxes
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 320 for box in boxes)
    assert all(box["height"] >= 44 for box in boxes)
    enter(page)
    expect(page).to_have_url(f"{team}/livez")
    context.close()
