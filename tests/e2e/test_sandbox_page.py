"""The sandbox's page in Chromium: what arrives is seen, found and read, and nothing in it runs."""
import base64
import email.message
import json
import os

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import support
from test_sandbox import NO_DOORS, Session
from test_sandbox_mailpit import invoice, plain, send

DOT = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@pytest.fixture
def browser(folder):
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--disable-gpu", f"--user-data-dir={folder}/chromium", "--no-first-run", "--window-size=1200,900",
                     *(["--no-sandbox"] if os.geteuid() == 0 else [])):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    yield driver
    driver.quit()


def wait(browser, what):
    return WebDriverWait(browser, support.PATIENCE).until(lambda _: what())


def subjects(browser):
    # Read at once: the list is made anew while mail arrives.
    return browser.execute_script("return [...document.querySelectorAll('#list button span:first-child')].map(e => e.textContent)")


def text_of(browser, selector="#message"):
    return browser.execute_script(f"return (document.querySelector({json.dumps(selector)}) || {{}}).textContent || ''")


def click(browser, label):
    wait(browser, lambda: browser.execute_script(
        "const b = [...document.querySelectorAll('button')].find(b => b.textContent.startsWith(arguments[0])); if (b) b.click(); return !!b", label))


def open_page(browser, s):
    browser.get(f"http://127.0.0.1:{s.http}/")
    wait(browser, lambda: text_of(browser, "#state"))


def asked_for(browser):
    """Every address the browser asked for."""
    found = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return found


def test_mail_appears_while_somebody_looks(browser, sandbox):
    s = sandbox(*NO_DOORS)
    open_page(browser, s)
    c = Session(s)
    send(c, plain("first"), "b@example.org")
    wait(browser, lambda: subjects(browser) == ["first"])
    send(c, invoice(), "b@example.org", "hidden@example.com")
    wait(browser, lambda: subjects(browser) == ["Invoice 4711: Grüße", "first"])
    assert "limits: none broken" in text_of(browser, "#verdict")
    click(browser, "Invoice")
    wait(browser, lambda: "hidden@example.com" in text_of(browser))
    assert "Ana, of Contoso <a@contoso.com>" in text_of(browser) and "4711.pdf" in text_of(browser)
    for tab, says in (("Text", "your code is 90210."), ("Headers", "<4711@contoso.com>"), ("Source", "Content-Type: multipart/"),
                      ("Session", "MAIL FROM:<a@contoso.com>"), ("Checks", "one click unsubscribes (RFC 8058)")):
        click(browser, tab)
        wait(browser, lambda says=says: says in text_of(browser, "[role=tabpanel]"))
    click(browser, "Session")
    wait(browser, lambda: "AUTH LOGIN [secret]" in text_of(browser, "[role=tabpanel]"))
    assert "c2FuZGJveA" not in text_of(browser, "[role=tabpanel]")  # the password in base64


def test_the_keyboard_finds_and_walks(browser, sandbox):
    s = sandbox(*NO_DOORS)
    c = Session(s)
    for n in range(3):
        send(c, plain(f"number {n}"), "b@example.org")
    open_page(browser, s)
    wait(browser, lambda: len(subjects(browser)) == 3)
    box = browser.find_element(By.ID, "query")
    box.send_keys("subject:1")
    wait(browser, lambda: subjects(browser) == ["number 1"])
    box.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    wait(browser, lambda: len(subjects(browser)) == 3)
    browser.execute_script("document.querySelector('#list button').focus()")
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    wait(browser, lambda: text_of(browser, "#message h2") == "number 1")
    box.send_keys("larger:many")
    wait(browser, lambda: "is no size" in text_of(browser, "#state"))


def test_a_hostile_message_is_text(browser, sandbox):
    s = sandbox(*NO_DOORS)
    m = email.message.EmailMessage()
    m["From"] = '"<img src=x onerror=window.hacked=1>" <a@contoso.com>'
    m["To"] = "b@example.org"
    m["Subject"] = "<script>window.hacked=1</script>"
    m.set_content("<b>no</b>")
    m.add_alternative('<script>top.hacked=1;fetch("/reset",{method:"POST"})</script><img src="http://127.0.0.1:9/pixel.png">'
                      '<form action="/reset" method="post"><input autofocus></form><p>seen</p><img src="cid:dot">', subtype="html")
    m.get_payload()[1].add_related(base64.b64decode(DOT), "image", "gif", cid="<dot>", disposition="inline")
    send(Session(s), m, "b@example.org")
    open_page(browser, s)
    wait(browser, lambda: subjects(browser) == ["<script>window.hacked=1</script>"])
    click(browser, "<script>")
    frame = wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "iframe"))[0]
    browser.switch_to.frame(frame)
    wait(browser, lambda: browser.find_elements(By.TAG_NAME, "p"))
    assert browser.find_element(By.TAG_NAME, "p").text == "seen"
    assert browser.execute_script("return [...document.querySelectorAll('img')].pop().naturalWidth") == 1
    browser.switch_to.default_content()
    assert browser.execute_script("return window.hacked") is None
    assert len(s.messages()) == 1  # nobody reset it
    assert not [url for url in asked_for(browser) if not url.startswith((f"http://127.0.0.1:{s.http}/", "chrome:", "data:"))]


def test_narrow_dark_and_without_errors(browser, sandbox):
    s = sandbox(*NO_DOORS)
    send(Session(s), plain("x" * 300), "b@example.org")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    open_page(browser, s)
    wait(browser, lambda: subjects(browser))
    click(browser, "xxx")
    wait(browser, lambda: text_of(browser, "#message h2"))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 24, 30)"
    assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
