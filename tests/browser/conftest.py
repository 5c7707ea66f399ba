"""
Airflow's web interface, in a browser without a screen.

Needs Debian's packages chromium and chromium-driver, Selenium and Airflow 3.3; where one is missing, the tests are
skipped.
``HWSTATUS_SCREENSHOTS=docs/images`` makes the pictures of the documentation anew.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from airflow_provider_hwstatus.demo.airflow_home import HOST, AirflowHome, free_port, server_settings
from airflow_provider_hwstatus.demo.web_ui import START_TIMEOUT

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

#: Seconds for whatever the page does next.
PATIENCE = 60.0

T = TypeVar("T")

CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root otherwise
    "--disable-gpu",
    "--disable-dev-shm-usage",  # which is small in containers
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--lang=en-US",
    "--window-size=1100,1700",
)


def _missing() -> str | None:
    """Return what these tests lack here, if anything."""
    for program, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if not shutil.which(program):
            return f"there is no {program}; it is in Debian's package {package}"
    if not importlib.util.find_spec("selenium"):
        return "selenium is not installed"
    airflow = version("apache-airflow")
    if tuple(map(int, airflow.split(".")[:2])) < (3, 3):
        return f"they are about the web interface of Airflow 3.3, and this is {airflow}"
    return None


@pytest.fixture(scope="session", autouse=True)
def _everything_is_here() -> None:
    """Skip the tests where they cannot run."""
    if reason := _missing():
        pytest.skip(f"browser tests: {reason}")


class AirflowUi:
    """A running api-server, and what it says without a browser."""

    def __init__(self, url: str, log_path: Path) -> None:
        self.url = url
        self.log_path = log_path

    def request(self, path: str, method: str = "GET", body: dict[str, object] | None = None) -> dict[str, object]:
        """Return the reply of the public API."""
        request = urllib.request.Request(  # noqa: S310  # http, to 127.0.0.1
            f"{self.url}/api/v2/{path}",
            json.dumps(body).encode() if body else None,
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as reply:
            answer: dict[str, object] = json.load(reply)
            return answer


@pytest.fixture(scope="session")
def airflow_ui(_everything_is_here: None) -> Iterator[AirflowUi]:
    """Start Airflow's api-server, all that the connection form needs; whoever comes is an administrator."""
    port = free_port()
    settings = server_settings(port) | {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    with AirflowHome(poke_interval=1.0) as home:
        home.run("db", "migrate", settings=settings)
        ui = AirflowUi(f"http://{HOST}:{port}", home.log_path)
        _wait_until_up(ui, home.start("airflow", "api-server", settings=settings))
        yield ui


def _wait_until_up(ui: AirflowUi, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        assert server.poll() is None, ui.log_path.read_text()[-5000:]
        with suppress(OSError):
            ui.request("version")
            return
        time.sleep(0.3)
    pytest.fail(f"no answer after {START_TIMEOUT:g} s: {ui.log_path.read_text()[-5000:]}")


@pytest.fixture(scope="session")
def browser(_everything_is_here: None, airflow_home: Path) -> Iterator[WebDriver]:
    """Start Chromium without a screen; what it writes is thrown away with the home of this run of the tests."""
    from selenium import webdriver

    (directory := airflow_home / "chromium").mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={directory / 'profile'}"):
        options.add_argument(flag)
    # With a path, Selenium does not look for a driver to download.
    driver = shutil.which("chromedriver")
    service = webdriver.ChromeService(executable_path=driver, env=os.environ | {"TMPDIR": str(directory)})
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser


class ConnectionsPage:
    """Admin, Connections, by what a person sees on it."""

    def __init__(self, browser: WebDriver, ui: AirflowUi) -> None:
        self._browser = browser
        self._ui = ui

    def open(self) -> None:
        """Go to the list of connections."""
        self._browser.get(f"{self._ui.url}/connections")

    def add(self, conn_id: str, conn_type: str) -> None:
        """Open the form for a new connection, give it a name and choose its type."""
        self._click("//button[normalize-space()='Add Connection']")
        self.fill("Connection ID", conn_id)
        self.choose("Connection Type", conn_type)

    def edit(self, conn_id: str) -> None:
        """Open the form of a saved connection."""
        self._click_in_row(conn_id, "Edit Connection")
        self._find("//*[@role='dialog']//button[normalize-space()='Standard Fields']")

    def unfold(self, section: str) -> None:
        """Show a section of the form, which folds the others."""
        button = f"//*[@role='dialog']//button[normalize-space()='{section}']"
        if self._find(button).get_attribute("aria-expanded") != "true":
            self._click(button)

    def group(self, label: str) -> WebElement:
        """Return a field of the form with all that belongs to it."""
        text = f"normalize-space(translate(., '*', ''))='{label}'"
        return self._find(f"//*[@role='dialog']//label[{text}]/ancestor::*[@role='group'][1]")

    def box(self, label: str) -> WebElement:
        """Return the part of a field that one types into."""
        return self.group(label).find_element("xpath", ".//input[not(@type='hidden')]")

    def fill(self, label: str, text: str) -> None:
        """Paste *text* into a field, instead of what is in it."""
        self._until(lambda: self.group(label).is_displayed())
        box = self.box(label)
        box.send_keys("\ue009a\ue000\ue017")  # Ctrl-A, Delete; the page does not notice clear()
        # Pasted, because the page drops letters that are typed too fast.
        self._browser.execute_cdp_cmd("Input.insertText", {"text": text})
        self._until(lambda: self.box(label).get_property("value") == text)

    def fields(self, section: str) -> list[tuple[str, str]]:
        """Unfold a section; return the labels and help texts in it."""
        self.unfold(section)
        folder = f"//*[@role='dialog']//*[@data-part='item'][.//button[normalize-space()='{section}']]"
        self._until(lambda: self._find(f"{folder}//label").is_displayed())
        groups = self._browser.find_elements("xpath", f"{folder}//*[@role='group'][.//label]")
        parts = (".//label", ".//*[@data-part='helper-text']")
        return [
            tuple("".join(e.text for e in group.find_elements("xpath", part)) for part in parts) for group in groups
        ]

    def choices(self, label: str) -> dict[str, WebElement]:
        """Unfold a field's list of choices and return them."""
        self._until(lambda: self.group(label).is_displayed())
        self.box(label).send_keys("\ue015")  # arrow down
        self._find("//*[@role='option']")
        return {option.text: option for option in self._browser.find_elements("xpath", "//*[@role='option']")}

    def choose(self, label: str, choice: str) -> None:
        """Choose from a field's list."""
        self.choices(label)[choice].click()

    def save(self, conn_id: str) -> None:
        """Save the form."""
        self._click("//*[@role='dialog']//button[normalize-space()='Save']")
        self._until(lambda: not self._browser.find_elements("xpath", "//*[@role='dialog']"))
        if version("apache-airflow") == "3.3.2":  # it tests nothing without a port: apache/airflow#73298
            known = {name: self._ui.request(f"connections/{conn_id}")[name] for name in ("connection_id", "conn_type")}
            self._ui.request(f"connections/{conn_id}?update_mask=port", "PATCH", known | {"port": 0})
        self.open()

    def test(self, conn_id: str) -> str:
        """Press the button that tests a saved connection; return what pops up."""
        self._click_in_row(conn_id, "Test Connection")
        pop_up = "//*[@data-scope='toast'][@data-part='root'][contains(., 'Test Connection')]"
        self._until(lambda: "\n" in self._find(pop_up).text)
        return self._find(pop_up).text

    def text(self) -> str:
        """Return all of the page: what is seen, and what its fields and scripts hold."""
        values = "return [...document.querySelectorAll('input,textarea')].map(box => box.value).join('\\n')"
        return f"{self._browser.page_source}\n{self._browser.execute_script(values)}"

    def picture(self, name: str, height: int, part: str = "//html") -> None:
        """Keep a picture of a part of the page in a window of *height*, if pictures are asked for."""
        if folder := os.environ.get("HWSTATUS_SCREENSHOTS"):
            before = self._browser.get_window_size()
            self._browser.set_window_size(before["width"], height)
            time.sleep(1.0)  # until nothing moves
            Path(folder, f"{name}.png").write_bytes(self._find(part).screenshot_as_png)
            self._browser.set_window_size(before["width"], before["height"])

    def _click_in_row(self, conn_id: str, label: str) -> None:
        self._click(f"//tr[td[normalize-space()='{conn_id}']]//button[@aria-label='{label}']")

    def _click(self, xpath: str) -> None:
        self._until(lambda: (self._browser.find_element("xpath", xpath).click(), True))

    def _find(self, xpath: str) -> WebElement:
        return self._until(lambda: self._browser.find_element("xpath", xpath))

    def _until(self, probe: Callable[[], T]) -> T:
        """Return what *probe* returns once that is something and the page stands still for it."""
        from selenium.common import exceptions
        from selenium.webdriver.support.ui import WebDriverWait

        passing = (
            exceptions.NoSuchElementException,
            exceptions.StaleElementReferenceException,
            exceptions.ElementNotInteractableException,
            exceptions.ElementClickInterceptedException,
        )
        return WebDriverWait(self._browser, PATIENCE, 0.2, passing).until(lambda _: probe())


@pytest.fixture
def page(browser: WebDriver, airflow_ui: AirflowUi) -> ConnectionsPage:
    """Return the list of connections, opened."""
    page = ConnectionsPage(browser, airflow_ui)
    page.open()
    return page
